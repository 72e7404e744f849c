"""FR101 with labels out of a raster in degrees, whose classes have names of their own."""

import io
import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from rasterio.transform import from_origin

from landpatch.patch import parse_patch
from tests.integration.fleet import fleet
from tests.unit.labels.rasters import centres, look_up, write_raster

# A build of a region, on whatever machine.
pytestmark = pytest.mark.stack

PLACE = from_origin(2.0, 49.0, 1 / 9000, 1 / 9000)
"""Upper left of a raster over Paris."""
NAMES = {10: "Trees", 20: "Meadow", 30: "Roofs"}


def test_labels_are_those_of_the_raster_and_the_index_says_so(stack, paris, tmp_path):
    codes = np.random.default_rng(3).choice(np.array([0, *NAMES], dtype="uint8"), (3600, 6300))
    (tmp_path / "city.tif").write_bytes(write_raster(codes, PLACE, "EPSG:4326", tiled=True, nodata=0))
    (tmp_path / "classes.yaml").write_text("".join(f"{code}: {name}\n" for code, name in NAMES.items()))
    with fleet(
        stack,
        4,
        processes=2,
        threads=1,
        LANDPATCH_MAX_PRODUCTS="1",
        LANDPATCH_LABEL_SOURCE=f"raster:{tmp_path}/city.tif",
        LANDPATCH_LABEL_CLASSES=f"{tmp_path}/classes.yaml",
    ) as workers:
        result, files = workers.build()
    labels = {name.split("/")[-1]: data for name, data in files.items() if name.endswith(".npy")}
    assert result["labels"] == len(labels) == 28
    becomes = np.zeros(256, dtype="uint8")
    becomes[list(NAMES)] = range(1, len(NAMES) + 1)
    for name, data in labels.items():
        patch = parse_patch(name.removesuffix(".npy"))
        expected = becomes[look_up(codes, PLACE, *centres(patch, "EPSG:4326"))]
        assert np.array_equal(np.load(io.BytesIO(data)), expected)
    index = pq.read_table(io.BytesIO(files["images/FR101/2021/patches.parquet"]))
    assert json.loads(index.schema.metadata[b"LANDPATCH_CLASSES"]) == {
        "1": "Trees", "2": "Meadow", "3": "Roofs"
    }  # fmt: skip
    assert set(index["label_edition"].to_pylist()) == {2021}
    (source,) = set(index["label_source"].to_pylist())
    assert source.startswith("raster=city.tif;classes=")
