"""Bands are opened from memory and checked; a genuine product passes, everything else is refused."""

import numpy as np
import pytest
import rasterio
from rasterio.io import MemoryFile

from landpatch.errors import PermanentError
from landpatch.warp import Window
from services.image_worker.bands import OpenBand

PRODUCT = "S2A_MSIL2A_20221005T115411_N0400_R023_T29UNU_20221005T164454.SAFE"


@pytest.fixture(scope="module")
def files(data):
    folder = data / "sentinel2" / PRODUCT
    return {path.stem.split("_")[-2]: path for path in folder.rglob("*.jp2")}


def test_a_genuine_band_has_the_grid_that_its_own_georeference_says(files):
    with OpenBand(files["B09"].read_bytes(), "B9", PRODUCT) as band, rasterio.open(files["B09"]) as judge:
        grid = band.grid
        assert grid.crs == f"EPSG:{judge.crs.to_epsg()}" == "EPSG:32629"
        assert (grid.left, grid.top) == (judge.bounds.left, judge.bounds.top)
        assert (grid.pixel_size_m, grid.width, grid.height) == (60, 1830, 1830)


def test_a_window_of_a_genuine_band_is_what_rasterio_reads_there(files):
    with OpenBand(files["B09"].read_bytes(), "B9", PRODUCT) as band, rasterio.open(files["B09"]) as judge:
        pixels = band.read(Window(col=900, row=100, width=150, height=70))
        assert pixels.dtype == np.uint16
        assert (pixels == judge.read(1)[100:170, 900:1050]).all()
        assert pixels.any()


def test_the_genuine_scene_classification_shows_the_swath_edge(files):
    with OpenBand(files["SCL"].read_bytes(), "SCL", PRODUCT) as band:
        classes = band.read(Window(0, 0, 5490, 5490))
    assert classes.dtype == np.uint8
    assert 0.35 < (classes == 0).mean() < 0.45
    assert classes.max() <= 11


def jp2(width, height, dtype="uint16", epsg=32629, transform=None):
    profile = {"driver": "JP2OpenJPEG", "count": 1, "width": width, "height": height, "dtype": dtype}
    transform = transform or rasterio.Affine(60, 0, 500000, 0, -60, 6000000)
    with MemoryFile(ext=".jp2") as memory:
        with memory.open(**profile, crs=f"EPSG:{epsg}", transform=transform) as image:
            image.write(np.zeros((height, width), dtype), 1)
        return bytes(memory.getbuffer())


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (b"", "not a JP2"),
        (b"II*\x00 a TIFF in disguise", "not a JP2"),
        (b'{"error": "no"}', "not a JP2"),
        (b"\x00\x00\x00\x0cjP  \r\n\x87\n and then nothing", "cannot be opened"),
    ],
)
def test_what_is_no_jp2_is_refused_with_the_band_named(wrong, says):
    with pytest.raises(PermanentError, match=says) as refused:
        OpenBand(wrong, "B9", PRODUCT)
    assert f"{PRODUCT}: B9" in str(refused.value)


def test_a_band_of_another_size_type_zone_or_orientation_is_refused():
    skewed = rasterio.Affine(60, 1, 500000, 0, -60, 6000000)
    for wrong, says in (
        (jp2(1829, 1830), "1830 x 1830"),
        (jp2(1830, 1830, "uint8"), "uint16"),
        (jp2(1830, 1830, epsg=3035), "UTM"),
        (jp2(1830, 1830, transform=rasterio.Affine(20, 0, 500000, 0, -20, 6000000)), "60 m"),
        (jp2(1830, 1830, transform=skewed), "north up"),
    ):
        with pytest.raises(PermanentError, match=says):
            OpenBand(wrong, "B9", PRODUCT)


def test_flipped_bytes_in_a_band_end_in_an_error_and_never_in_a_crash(files):
    data = bytearray(files["B09"].read_bytes())
    for position in range(60_000, len(data), 7_001):
        data[position] ^= 0xFF
    with pytest.raises(PermanentError), OpenBand(bytes(data), "B9", PRODUCT) as band:
        band.read(Window(0, 0, 1830, 1830))
