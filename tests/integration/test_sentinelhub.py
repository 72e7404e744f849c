"""FR101 by Sentinel Hub: the images are those that are cut out of products, but for the resampling."""

import io

import numpy as np
import pandas as pd
import pytest
import rasterio

from tests.integration.fleet import fleet

# A build of a region, on whatever machine.
pytestmark = pytest.mark.stack

USUAL = {"LANDPATCH_VALID_SHARE": "0.995", "LANDPATCH_CLEAR_SHARE": "0.95", "LANDPATCH_MAX_PRODUCTS": "6"}


def read(data):
    with rasterio.MemoryFile(data) as memory, memory.open() as image:
        return image.read(), image.tags()


def test_images_that_are_rendered_are_those_that_are_cut(stack, paris):
    with fleet(stack, 5, processes=2, threads=1, LANDPATCH_IMAGE_SOURCE="sentinelhub", **USUAL) as workers:
        result, files = workers.build()
        planned = workers.run("plan", "FR101")
    assert result["images"] == 28
    folder = "images/FR101/2021"
    cut = {
        name.removeprefix("landpatch/data/"): data
        for name, data in stack.files().items()
        if name.startswith(f"landpatch/data/{folder}/") and name.endswith(".tif")
    }
    compared = 0
    for name, data in cut.items():
        (bands, tags), (rendered, how) = read(data), read(files[name])
        assert how["LANDPATCH_PIXELS"] == "sentinelhub"
        assert how["LANDPATCH_RECIPE"].endswith(";pixels=sentinelhub")
        if (
            tags["LANDPATCH_PRODUCTS"] == how["LANDPATCH_PRODUCTS"]
            and how["LANDPATCH_VALID_FRACTION"] == "1.000000"
        ):
            apart = np.abs(bands[:12] - rendered[:12])
            assert np.median(apart) <= 1e-4
            assert (apart > 5e-3).mean() < 1e-3
            compared += 1
    assert compared >= 10
    rows = pd.read_parquet(io.BytesIO(files[f"{folder}/patches.parquet"]))
    assert set(rows["recipe"].str.endswith("pixels=sentinelhub")) == {True}
    assert planned.returncode == 0, planned.stderr
    assert "28 images are there already" in planned.stdout
