"""Files have exactly the profile of the contract, and nothing else is taken for one of ours."""

import io
import zipfile

import numpy as np
import pytest
import rasterio
from rasterio.io import MemoryFile

from landpatch.codec import (
    decode_class_raster,
    decode_image,
    decode_label,
    decode_observation,
    encode_image,
    encode_label,
    encode_observation,
)
from landpatch.composite import Observation
from landpatch.errors import PermanentError
from landpatch.patch import parse_patch
from tests.memory import measured

PATCH = parse_patch("3757500_2887500_0_12")
BANDS = ["B1", "B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B9", "B11", "B12", "NDVI", "NDWI"]


@pytest.fixture(scope="module")
def pixels():
    return np.random.default_rng(0).normal(0.2, 0.1, (14, 250, 250))


def test_an_image_has_exactly_the_profile_of_the_contract(pixels):
    with MemoryFile(encode_image(pixels, PATCH, {"SOURCE": "sandbox"})) as memory, memory.open() as image:
        assert image.driver == "GTiff"
        assert (image.width, image.height, image.count) == (250, 250, 14)
        assert set(image.dtypes) == {"float64"}
        assert image.crs == rasterio.crs.CRS.from_epsg(3035)
        assert image.bounds == (3757500, 2887500, 3760000, 2890000)
        assert image.res == (10, 10)
        assert image.interleaving.value.lower() == "pixel"
        assert set(image.block_shapes) == {(1, 250)}
        assert image.compression.value.lower() == "deflate"
        assert image.nodata is None
        assert list(image.descriptions) == BANDS
        assert image.tags()["LANDPATCH_SOURCE"] == "sandbox"
        assert (image.read() == pixels).all()


def test_the_same_image_gives_the_same_bytes(pixels):
    tags = {"B": "2", "A": "1"}
    assert encode_image(pixels, PATCH, tags) == encode_image(pixels, PATCH, dict(reversed(tags.items())))


def test_an_image_is_read_back_with_its_tags(pixels):
    image = decode_image(encode_image(pixels, PATCH, {"VALID_FRACTION": "1.0"}), PATCH)
    assert (image.bands == pixels).all()
    assert image.tags["VALID_FRACTION"] == "1.0"


def test_a_truncated_or_foreign_or_misplaced_image_is_refused(pixels):
    data = encode_image(pixels, PATCH, {})
    beside = parse_patch("3760000_2887500_0_13")
    for wrong in (
        data[: len(data) // 2],
        b"",
        b'{"error": {"code": 400}}',
        data[:500_000] + b"\0" * 1000 + data[501_000:],
    ):
        with pytest.raises(PermanentError, match=r"3757500_2887500_0_12\.tif"):
            decode_image(wrong, PATCH)
    with pytest.raises(PermanentError, match="transform"):
        decode_image(data, beside)


def test_an_image_that_holds_nan_is_refused(pixels):
    broken = pixels.copy()
    broken[3, 5, 7] = np.nan
    with pytest.raises(PermanentError, match="finite"):
        decode_image(encode_image(broken, PATCH, {}), PATCH)


def test_a_label_is_plain_npy_and_is_read_back():
    classes = np.random.default_rng(1).integers(0, 12, (250, 250)).astype("uint8")
    data = encode_label(classes)
    plain = np.load(io.BytesIO(data))
    assert plain.dtype == np.uint8
    assert plain.flags.c_contiguous
    assert (plain == classes).all()
    assert (decode_label(data, "x") == classes).all()


@pytest.mark.parametrize(
    "wrong",
    [
        b"",
        encode_label(np.zeros((250, 250), "uint8"))[:-9],
        encode_label(np.zeros((249, 250), "uint8")),
        encode_label(np.full((250, 250), 12, "uint8")),
        encode_label(np.zeros((250, 250), "int64")),
    ],
)
def test_what_is_no_label_is_refused(wrong):
    with pytest.raises(PermanentError, match=r"x\.npy"):
        decode_label(wrong, "x")


def test_a_pickle_in_disguise_is_not_loaded():
    buffer = io.BytesIO()
    np.save(buffer, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(PermanentError):
        decode_label(buffer.getvalue(), "x")


def test_an_observation_is_read_back_and_a_broken_one_is_refused():
    seen = Observation("id", np.random.default_rng(1).random((12, 250, 250)), np.ones((250, 250), "uint8"))
    data = encode_observation(seen)
    again = decode_observation(data, "id")
    assert (again.reflectance == seen.reflectance).all()
    assert (again.clarity == seen.clarity).all()
    for wrong in (data[:-500], b"PK\x03\x04", b""):
        with pytest.raises(PermanentError):
            decode_observation(wrong, "id")


def tiff(array, **profile):
    with MemoryFile() as memory:
        with memory.open(
            driver="GTiff", count=1, width=array.shape[1], height=array.shape[0], dtype=array.dtype, **profile
        ) as raster:
            raster.write(array, 1)
        return bytes(memory.getbuffer())


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_a_label_answer_is_believed_for_its_bytes_and_shape_only():
    classes = np.arange(12, dtype="uint8").reshape(3, 4)
    assert (decode_class_raster(tiff(classes), 4, 3, "window") == classes).all()
    json = b'{"error":{"code":400,"details":["The requested image exceeds the size limit."]}}'
    for wrong, why in (
        (json, "exceeds the size limit"),
        (tiff(classes.T.copy()), "pixels"),
        (tiff(classes.astype("uint16")), "uint16"),
        (tiff(classes)[:60], "TIFF"),
        (b"\xff\xd8\xff\xe0 a JPEG", "not a TIFF"),
    ):
        with pytest.raises(PermanentError, match=why):
            decode_class_raster(wrong, 4, 3, "window")


def npy(header):
    padded = header.encode() + b" " * (-(len(header) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(padded).to_bytes(2, "little") + padded


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '|u1', 'fortran_order': False, 'shape': (9999999, 9999999), }",
        "{'descr': '|u1', 'fortran_order': True, 'shape': (250, 250), }",
        "{'descr': '|O', 'fortran_order': False, 'shape': (250, 250), }",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (250, 250), 'more': " + "[" * 500 + "}",
        "{'descr': '|u1', 'fortran_order",
    ],
)
def test_a_header_that_claims_something_else_is_refused_before_memory_is_taken(header):
    classes = bytes(62_500)
    members = io.BytesIO()
    with zipfile.ZipFile(members, "w") as archive:
        archive.writestr("reflectance.npy", npy(header) + classes)
        archive.writestr("clarity.npy", npy(header) + classes)
    with measured() as peak:
        with pytest.raises(PermanentError, match=r"x\.npy"):
            decode_label(npy(header) + classes, "x")
        with pytest.raises(PermanentError, match="observation of x"):
            decode_observation(members.getvalue(), "x")
    assert peak.taken < 30 * 2**20


def test_a_packed_observation_is_not_unpacked():
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("reflectance.npy", bytes(200 * 2**20))
        archive.writestr("clarity.npy", b"")
    with measured() as peak, pytest.raises(PermanentError, match="packed"):
        decode_observation(bomb.getvalue(), "x")
    assert peak.taken < 30 * 2**20
