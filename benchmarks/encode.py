"""Deflating a patch: the setting in use against others, on one noisy patch."""

import time
from typing import Any

import numpy as np
from rasterio.io import MemoryFile

from landpatch.codec import _profile, encode_image
from landpatch.composite import Observation, compose_best
from landpatch.gdal import gdal_env
from landpatch.patch import Patch

REPEATS = 15


def encode() -> dict[str, Any]:
    """CPU milliseconds and bytes of a patch for the setting in use, for GDAL's defaults, and for none."""
    rng = np.random.default_rng(3)
    reflectance = rng.normal(2000, 200, (12, 250, 250)).round() / 10_000
    clear = np.full((250, 250), 2, dtype="uint8")
    bands = compose_best([Observation("scene", reflectance, clear)]).bands
    patch = Patch(0, 3757500, 2887500, 0)
    figures: dict[str, Any] = {}

    def measure(name: str, make: Any) -> None:
        size = len(make())
        begin = time.process_time()
        for _ in range(REPEATS):
            make()
        figures[f"{name}_cpu_ms"] = 1000 * (time.process_time() - begin) / REPEATS
        figures[f"{name}_bytes"] = size

    def write(**options: Any) -> bytes:
        with gdal_env(), MemoryFile() as memory:
            with memory.open(**_profile(patch), **options) as image:
                image.write(bands)
            return bytes(memory.getbuffer())

    measure("in_use", lambda: encode_image(bands, patch, {}))
    measure("deflate_defaults", lambda: write(compress="deflate"))
    measure("deflate_6_predictor_3", lambda: write(compress="deflate", zlevel=6, predictor=3))
    measure("uncompressed", write)
    figures["in_use_over_defaults"] = figures["in_use_cpu_ms"] / figures["deflate_defaults_cpu_ms"]
    return figures
