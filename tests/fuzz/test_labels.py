"""Class tables and rasters of labels, broken: labels or an error of landpatch, as in test_parsers.py."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import strategies as st
from rasterio.transform import from_origin

from landpatch.class_table import parse_table
from landpatch.codec import encode_label
from landpatch.errors import ConfigurationError
from tests.fuzz.mutate import broken_bytes
from tests.fuzz.test_parsers import look
from tests.unit.labels.rasters import PATCH, lay_raster, open_labels, place_codes, write_raster

# GDAL's messages may repeat bytes of the file that are no text; rasterio says so on stderr and goes on.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

TABLES = [b"10: 2\n30: 6\n0: 0\n", b"code,class\n10,2\n30,Trees\n", b"{10: &a Trees, 20: *a, -3: !!int '0'}"]


def rasters() -> list[bytes]:
    """Small ones over the patch."""
    square = from_origin(PATCH.xmin, PATCH.ymin + 2500, 50, 50)
    turned, width, height = lay_raster("EPSG:32631", 60, 20)
    return [
        write_raster(place_codes(50, 50), square, "EPSG:3035", nodata=3),
        write_raster(
            place_codes(width, height), turned, "EPSG:32631", tiled=True, blockxsize=16, blockysize=16
        ),
        write_raster(place_codes(50, 50).astype("int32"), square, "EPSG:3035", compress="lzw", predictor=2),
    ]


def read_table(data: bytes) -> None:
    """Every class of a table is one of a label; what is wrong is one line."""
    try:
        table = parse_table(data.decode(errors="replace"), "the table")
    except ConfigurationError as error:
        assert "\n" not in str(error)
        raise
    assert set(table.classes.values()) <= set(range(12))
    assert set(table.names) <= set(range(1, 12))


def test_class_tables():
    strange = [b"1e999", b"*x", b"!!binary a", b"<<", b"? ", b"{[", b"\x00", b"0x1F", b"~", b"2001-01-01"]
    words = st.builds(
        lambda table, word: table.replace(b"10", word), st.sampled_from(TABLES), st.sampled_from(strange)
    )
    look(read_table, broken_bytes(TABLES) | words, TABLES)


def test_rasters_of_labels(tmp_path: Path):
    file = tmp_path / "map.tif"

    def cut(data: bytes) -> None:
        file.write_bytes(data)
        for resampling in ("nearest", "majority"):
            labels = open_labels(file, resampling=resampling).fetch(2021, [PATCH]).cut(PATCH)
            encode_label(labels)
            assert labels.max() <= 11
            assert (labels.shape, labels.dtype) == ((250, 250), np.dtype("uint8"))

    whole = rasters()
    look(cut, broken_bytes(whole), whole)
