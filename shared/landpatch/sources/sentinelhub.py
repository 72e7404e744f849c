"""Sentinel Hub at the Copernicus Data Space Ecosystem: scenes rendered on our grid, and its catalogue.

Sources: https://docs.sentinel-hub.com/api/latest/reference/ (Process API, Catalog API);
https://documentation.dataspace.copernicus.eu/APIs/SentinelHub.html
"""

import math
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import timedelta
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landpatch.codec import TIFF_SIGNATURES, decode_raster
from landpatch.errors import TransientError
from landpatch.messages import SceneRef
from landpatch.patch import PIXEL_SIZE_M
from landpatch.processing_units import count_units
from landpatch.quota import PROCESSING, Governor, open_governor
from landpatch.radiometry import REFLECTANCE_BANDS
from landpatch.settings import Settings
from landpatch.sources.account import Account, Traffic
from landpatch.sources.http import REQUEST_S, make_session, read_body
from landpatch.sources.tokens import Tokens, authorized, open_client_tokens

COLLECTION = "sentinel-2-l2a"
_WHAT = "Sentinel Hub (LANDPATCH_SENTINELHUB_URL)"
_CRS = "http://www.opengis.net/def/crs/EPSG/0/3035"
_BEFORE, _AFTER = timedelta(minutes=1), timedelta(minutes=45)
"""A product's name tells when its datatake began; its own tile comes so much later at most."""
_WAIT_UNIT_S = 0.001
"""Sentinel Hub asks to wait for so many milliseconds."""
_SCRIPT = files("landpatch.sources").joinpath("evalscript.js")


@dataclass(frozen=True, slots=True)
class Rendering:
    """What a scene shows of a window on the 10 m lattice."""

    numbers: NDArray[np.uint16]
    """(12, y, x) digital numbers as the product stores them, 0 where nothing was observed."""
    classes: NDArray[np.uint8]
    """(y, x) scene classification."""


def write_script(product: str) -> str:
    """The evalscript for a product; product: its name, with or without `.SAFE`."""
    return _SCRIPT.read_text(encoding="utf-8").replace("{product}", product.removesuffix(".SAFE"))


def write_request(scene: SceneRef, bounds: tuple[int, int, int, int]) -> dict[str, Any]:
    """The body of a request to render.

    bounds: xmin ymin xmax ymax, metres, EPSG:3035, multiples of 10.
    """
    time = {
        "from": f"{scene.sensed - _BEFORE:%Y-%m-%dT%H:%M:%SZ}",
        "to": f"{scene.sensed + _AFTER:%Y-%m-%dT%H:%M:%SZ}",
    }
    return {
        "input": {
            "bounds": {"bbox": list(bounds), "properties": {"crs": _CRS}},
            "data": [
                {
                    "id": name,
                    "type": COLLECTION,
                    "dataFilter": {"timeRange": time},
                    # Harmonised, values below zero would be cut off.
                    "processing": {
                        "upsampling": kernel, "downsampling": kernel, "harmonizeValues": False
                    },
                }
                for name, kernel in (("bands", "BILINEAR"), ("classes", "NEAREST"))
            ],
        },
        "output": {
            "width": (bounds[2] - bounds[0]) // PIXEL_SIZE_M,
            "height": (bounds[3] - bounds[1]) // PIXEL_SIZE_M,
            "responses": [{"identifier": "default", "format": {"type": "image/tiff"}}],
        },
        "evalscript": write_script(scene.name),
    }  # fmt: skip


class SentinelHub:
    """The service, within the account's quota. Its methods may be called from many threads."""

    def __init__(self, url: str, tokens: Tokens, governor: Governor, request_s: float = REQUEST_S) -> None:
        """url: of the deployment. request_s: seconds that a request may take."""
        self._url = url
        self._tokens = tokens
        self._account = Account(governor)
        # Without retries of its own: the governor has to know of every request.
        self._session = make_session(0, request_s)

    def counting(self) -> AbstractContextManager[Traffic]:
        """Bytes and requests while the context lasts; complete when it ends."""
        return self._account.counting()

    def check(self) -> None:
        """Raise ConfigurationError or TransientError when the credentials give no token."""
        self._tokens.get()

    def search(self, query: Mapping[str, Any], most_bytes: int) -> bytes:
        """A page of the catalogue. Raises PermanentError, ConfigurationError, TransientError."""
        return self._post("catalog/1.0.0/search", query, "application/geo+json", most_bytes, 0)

    def render(self, scene: SceneRef, bounds: tuple[int, int, int, int]) -> Rendering:
        """What a scene shows of a window, at most 2500 pixels a side.

        bounds: xmin ymin xmax ymax, metres, EPSG:3035, multiples of 10. Raises PermanentError that names the
        scene, ConfigurationError, TransientError.
        """
        request = write_request(scene, bounds)
        width, height = request["output"]["width"], request["output"]["height"]
        shape = (len(REFLECTANCE_BANDS) + 1, height, width)
        what = f"{_WHAT}, asked for {scene.name}"
        units = count_units(width, height)
        data = self._post("process", request, "image/tiff", 2 * math.prod(shape) + 1_000_000, units, what)
        if not data.startswith(TIFF_SIGNATURES):
            raise TransientError(f"{what}: no TIFF came, but {data[:200]!r}")
        pixels = decode_raster(data, shape, "uint16", what)
        return Rendering(pixels[:-1], pixels[-1].clip(max=255).astype("uint8"))

    def _post(
        self, path: str, body: Mapping[str, Any], kind: str, most_bytes: int, units: float, what: str = _WHAT
    ) -> bytes:
        def ask(_: float) -> bytes:
            with authorized(
                self._session,
                self._tokens,
                "POST",
                f"{self._url}/api/v1/{path}",
                what,
                json=body,
                headers={"Accept": kind},
                wait_unit_s=_WAIT_UNIT_S,
            ) as answer:
                return read_body(answer, what, most_bytes)

        volume = round(units * PROCESSING.scale)
        data = self._account.ask(0, ask, weight=max(1, math.ceil(units)), volume=volume)
        self._account.note_bytes(len(data))
        return data


def open_sentinel_hub(settings: Settings) -> SentinelHub:
    """The service of the settings. Raises ConfigurationError when credentials are missing."""
    tokens = open_client_tokens(settings, make_session(2, posts=True))
    return SentinelHub(settings.sentinelhub_url, tokens, open_governor(settings))
