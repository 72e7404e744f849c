"""The answers of Sentinel Hub, broken: valid values or an error of landpatch, as in test_parsers.py."""

import json
import math
from datetime import date

import numpy as np
import pytest
from hypothesis import strategies as st
from rasterio.io import MemoryFile
from shapely.geometry import MultiPolygon, Polygon, box

from landpatch.codec import decode_raster
from landpatch.sources.sentinelhub import Rendering
from landpatch.sources.stac import SentinelHubCatalogue
from services.image_worker.rendered import cut_observation
from services.sandbox.stac import search
from tests.fuzz.mutate import broken_bytes, broken_json
from tests.fuzz.test_parsers import look
from tests.unit.labels.rasters import PATCH
from tests.unit.sandbox.test_odata import PRODUCTS
from tests.unit.sentinelhub.test_rendered import SCENE

# GDAL's messages may repeat bytes of the file that are no text; rasterio says so on stderr and goes on.
pytestmark = [
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::RuntimeWarning:shapely"),
]


class Pages:
    """Stands for the service: the same page whatever is asked."""

    def __init__(self) -> None:
        self.page = b""

    def search(self, query: object, most_bytes: int) -> bytes:
        return self.page


def test_pages_of_items():
    query = {"collections": ["sentinel-2-l2a"], "bbox": [1, 48, 3, 50], "datetime": "2021-01-01/2021-12-31"}
    seed = json.dumps(search(query | {"limit": 3}, PRODUCTS)).encode()
    pages = Pages()

    def find(data: bytes) -> None:
        pages.page = data
        catalogue = SentinelHubCatalogue(pages)
        found = catalogue.find(box(2.2, 48.8, 2.4, 48.9), date(2021, 5, 1), date(2021, 9, 30), 30)
        for scene in found.scenes:
            assert 0 <= scene.cloud_cover <= 30
            assert scene.s3_path.endswith(scene.name)
            if scene.footprint is not None:
                assert isinstance(scene.footprint, Polygon | MultiPolygon)
                assert all(map(math.isfinite, scene.footprint.bounds))

    look(find, st.one_of(broken_json([seed]), broken_bytes([seed])), [seed])


def test_renderings():
    pixels = np.random.default_rng(4).integers(1, 12, (13, 250, 250), dtype="uint16")
    with MemoryFile() as memory:
        with memory.open(
            driver="GTiff", count=13, width=250, height=250, dtype="uint16", compress="deflate", predictor=2,
        ) as raster:  # fmt: skip
            raster.write(pixels)
        seed = bytes(memory.getbuffer())

    def cut(data: bytes) -> None:
        found = decode_raster(data, (13, 250, 250), "uint16", "rendering")
        rendering = Rendering(found[:-1], found[-1].clip(max=255).astype("uint8"))
        seen = cut_observation(rendering, PATCH.bounds, PATCH, SCENE)
        if seen is not None:
            assert np.isfinite(seen.reflectance).all()
            assert seen.clarity.max() <= 2

    look(cut, broken_bytes([seed]), [seed])
