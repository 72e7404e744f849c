"""Bands are opened by their first bytes and checked; a genuine one passes, everything else is refused."""

import numpy as np
import pytest
import rasterio
from rasterio.io import MemoryFile

from landpatch.errors import PermanentError
from landpatch.jp2 import HEAD_BYTES
from services.image_worker.bands import Band, open_head
from services.image_worker.loader import MemoryBytes

PRODUCT = "S2A_MSIL2A_20221005T115411_N0400_R023_T29UNU_20221005T164454.SAFE"


@pytest.fixture(scope="module")
def files(data):
    folder = data / "sentinel2" / PRODUCT
    return {path.stem.split("_")[-2]: path for path in folder.rglob("*.jp2")}


def head_of(data, band):
    return open_head(data[:HEAD_BYTES], len(data), band, PRODUCT)


def decode_all(data, band):
    """The whole image, put together from its tiles."""
    head = head_of(data, band)
    tiling = head.head.tiling
    opened = Band(head, MemoryBytes(data), range(tiling.count))
    image = np.zeros((tiling.height, tiling.width), "uint16")
    for tile in range(tiling.count):
        left, top, width, height = tiling.box(tile)
        image[top : top + height, left : left + width] = opened.decode(tile)
    return image


def test_a_genuine_band_has_the_grid_that_its_own_georeference_says(files):
    grid = head_of(files["B09"].read_bytes(), "B9").grid
    with rasterio.open(files["B09"]) as judge:
        assert grid.crs == f"EPSG:{judge.crs.to_epsg()}" == "EPSG:32629"
        assert (grid.left, grid.top) == (judge.bounds.left, judge.bounds.top)
        assert (grid.pixel_size_m, grid.width, grid.height) == (60, 1830, 1830)


def test_the_tiles_of_a_genuine_band_are_what_rasterio_reads_there(files):
    with rasterio.open(files["B09"]) as judge:
        assert (decode_all(files["B09"].read_bytes(), "B9") == judge.read(1)).all()


def test_the_genuine_scene_classification_shows_the_swath_edge(files):
    classes = decode_all(files["SCL"].read_bytes(), "SCL")
    assert 0.35 < (classes == 0).mean() < 0.45
    assert classes.max() <= 11


def test_what_of_a_file_is_no_longer_needed_is_forgotten(files):
    data = files["B09"].read_bytes()
    forgotten = []

    class Remembering(MemoryBytes):
        def forget(self, before):
            forgotten.append(before)

    head = head_of(data, "B9")
    band = Band(head, Remembering(data), [3, 4, 7])
    for tile in (4, 3, 7):
        band.decode(tile)
    parts = Band(head, MemoryBytes(data), ())._parts
    begin_of = {tile: parts.locate(tile)[0][0] for tile in (3, 5)}
    assert forgotten[:-1] == [begin_of[3], begin_of[5]]
    assert forgotten[-1] >= len(data) > head.head.end  # also what lies behind the last tile


def jp2(width, height, dtype="uint16", epsg=32629, transform=None, count=1):
    profile = {"driver": "JP2OpenJPEG", "count": count, "width": width, "height": height, "dtype": dtype}
    transform = transform or rasterio.Affine(60, 0, 500000, 0, -60, 6000000)
    with MemoryFile(ext=".jp2") as memory:
        with memory.open(**profile, crs=f"EPSG:{epsg}", transform=transform) as image:
            image.write(np.zeros((count, height, width), dtype))
        return bytes(memory.getbuffer())


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (b"", "not a JP2"),
        (b"II*\x00 a TIFF in disguise", "not a JP2"),
        (b'{"error": "no"}', "not a JP2"),
        (b"\x00\x00\x00\x0cjP  \r\n\x87\n and then nothing", "no whole JP2 header|no JP2 file"),
    ],
)
def test_what_is_no_jp2_is_refused_with_the_band_named(wrong, says):
    with pytest.raises(PermanentError, match=says) as refused:
        head_of(wrong, "B9")
    assert f"{PRODUCT}: B9" in str(refused.value)


def test_a_band_of_another_size_type_zone_or_orientation_is_refused():
    skewed = rasterio.Affine(60, 1, 500000, 0, -60, 6000000)
    for wrong, says in (
        (jp2(1829, 1830), "1830 x 1830"),
        (jp2(1830, 1830, "uint8"), "8 bits"),
        (jp2(1830, 1830, epsg=3035), "UTM"),
        (jp2(1830, 1830, transform=rasterio.Affine(20, 0, 500000, 0, -20, 6000000)), "60 m"),
        (jp2(1830, 1830, transform=skewed), "north up"),
        (jp2(1830, 1830, count=3), "one band"),
    ):
        with pytest.raises(PermanentError, match=says):
            head_of(wrong, "B9")


def test_flipped_bytes_in_a_band_end_in_an_error_and_never_in_a_crash(files):
    data = bytearray(files["B09"].read_bytes())
    for position in range(60_000, len(data), 7_001):
        data[position] ^= 0xFF
    with pytest.raises(PermanentError):
        decode_all(bytes(data), "B9")


def test_a_file_that_is_cut_off_is_an_error(files):
    data = files["B09"].read_bytes()
    head = head_of(data, "B9")
    with pytest.raises(PermanentError):
        Band(head, MemoryBytes(data[: len(data) // 2]), [99]).decode(99)
