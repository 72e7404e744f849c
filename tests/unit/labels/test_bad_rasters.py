"""What a raster of labels may be wrong in, and what is then said."""

import os
import struct
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.transform import Affine, from_origin

from landpatch.errors import ConfigurationError, LandpatchError, PermanentError, RequestError, TransientError
from tests.unit.labels.rasters import PATCH, open_labels, place_codes, write_raster

PLACE = from_origin(PATCH.xmin, PATCH.ymin + 2500, 10, 10)
GOOD = write_raster(place_codes(250, 250), PLACE, "EPSG:3035")
SECRET = "/etc/hostname"
VRT = f"""<VRTDataset rasterXSize="250" rasterYSize="250"><SRS>EPSG:3035</SRS>
<GeoTransform>{PATCH.xmin}, 10, 0, {PATCH.ymin + 2500}, 0, -10</GeoTransform>
<VRTRasterBand dataType="Byte" band="1"><SimpleSource><SourceFilename>{SECRET}</SourceFilename>
</SimpleSource></VRTRasterBand></VRTDataset>""".encode()
GRIDS = """PROJCRS["x",BASEGEOGCRS["y",DATUM["z",ELLIPSOID["GRS 1980",6378137,298.257222101]]],
CONVERSION["c",METHOD["Lambert Azimuthal Equal Area"],PARAMETER["Latitude of natural origin",48],
PARAMETER["Longitude of natural origin",2],PARAMETER["False easting",0],PARAMETER["False northing",0]],
CS[Cartesian,2],AXIS["e",east],AXIS["n",north],LENGTHUNIT["metre",1]]"""
BOUND = f"""BOUNDCRS[SOURCECRS[{GRIDS}],
TARGETCRS[GEOGCRS["WGS 84",DATUM["WGS",ELLIPSOID["WGS 84",6378137,298.257]],
CS[ellipsoidal,2],AXIS["lat",north],AXIS["lon",east],ANGLEUNIT["degree",0.0174532925199433]]],
ABRIDGEDTRANSFORMATION["t",METHOD["NTv2"],
PARAMETERFILE["Latitude and longitude difference file","{SECRET}"]]]"""


def claim_size(width: int, height: int) -> bytes:
    """GOOD, whose head tells another size."""
    data = bytearray(GOOD)
    entries = struct.unpack_from("<I", data, 4)[0]
    for number in range(struct.unpack_from("<H", data, entries)[0]):
        at = entries + 2 + 12 * number
        tag, kind = struct.unpack_from("<HH", data, at)
        if tag in {256, 257}:
            struct.pack_into("<H" if kind == 3 else "<I", data, at + 8, width if tag == 256 else height)
    return bytes(data)


BAD = {
    "nothing": (b"", "is no whole GeoTIFF"),
    "text": (b"10: 2\n", "is no whole GeoTIFF"),
    "a VRT": (VRT, "is no whole GeoTIFF"),
    "a PNG": (b"\x89PNG\r\n\x1a\n" + bytes(100), "is no whole GeoTIFF"),
    "half a head": (GOOD[:60], "is no whole GeoTIFF"),
    "fractions": (
        write_raster(np.zeros((250, 250), "float32"), PLACE, "EPSG:3035"),
        "has pixels of float32; classes are whole numbers",
    ),
    "no CRS": (write_raster(place_codes(250, 250), PLACE, None), "does not say its CRS"),
    "no place": (
        write_raster(place_codes(250, 250), Affine.identity(), "EPSG:3035"),
        "does not say where its pixels lie",
    ),
    "no area": (
        write_raster(place_codes(250, 250), Affine(10, 10, 0, 10, 10, 0), "EPSG:3035"),
        "does not say where its pixels lie",
    ),
    "not a number": (
        write_raster(place_codes(250, 250), Affine(float("nan"), 0, 0, 0, -10, 0), "EPSG:3035"),
        "does not say where its pixels lie",
    ),
    "one strip": (
        write_raster(
            np.zeros((4200, 4200), "uint8"), PLACE, "EPSG:3035", tiled=True, blockxsize=4208, blockysize=4208
        ),
        "has blocks of 4208 x 4208 pixels; write it with tiles of 512",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_is_no_raster_of_classes_is_said_in_one_line(tmp_path, kind):
    data, says = BAD[kind]
    (tmp_path / "map.tif").write_bytes(data)
    with pytest.raises(ConfigurationError) as caught:
        open_labels(tmp_path / "map.tif").check(2021)
    message = str(caught.value)
    assert message.startswith("the label raster (LANDPATCH_LABEL_SOURCE) map.tif ")
    assert says in message
    assert "\n" not in message
    assert Path(SECRET).read_text().strip() not in message


@pytest.mark.parametrize("wkt", [BOUND], ids=["a grid of shifts"])
def test_a_crs_that_names_a_file_is_refused_or_loses_it(tmp_path, wkt):
    (tmp_path / "map.tif").write_bytes(write_raster(place_codes(250, 250), PLACE, wkt))
    source = open_labels(tmp_path / "map.tif")
    try:
        source.check(2021)
    except ConfigurationError as error:
        assert "CRS" in str(error)
    else:
        (raster,) = source._rasters.values()
        assert SECRET not in raster.head().grid.crs


@pytest.mark.parametrize("length", [200, 5_000, 30_000, len(GOOD) - 1])
def test_a_raster_cut_off_is_never_read_as_labels(tmp_path, length):
    (tmp_path / "map.tif").write_bytes(GOOD[:length])
    source = open_labels(tmp_path / "map.tif")
    with pytest.raises(LandpatchError, match=r"is no whole GeoTIFF|does not say its CRS"):
        source.fetch(2021, [PATCH]).cut(PATCH)


@pytest.mark.parametrize("size", [(60_000, 250), (250, 60_000), (60_000, 60_000)])
def test_a_head_that_claims_more_than_there_is_is_never_read_as_labels(tmp_path, size):
    (tmp_path / "map.tif").write_bytes(claim_size(*size))
    with pytest.raises(LandpatchError):
        open_labels(tmp_path / "map.tif").fetch(2021, [PATCH]).cut(PATCH)


def test_pixels_too_small_to_be_held_are_refused(tmp_path):
    with rasterio.open(
        tmp_path / "map.tif", "w", driver="GTiff", count=1, dtype="uint8", crs="EPSG:3035", width=125_000,
        height=125_000, transform=from_origin(PATCH.xmin, PATCH.ymin + 2500, 0.02, 0.02), tiled=True,
        SPARSE_OK=True,
    ):  # fmt: skip
        pass
    with pytest.raises(PermanentError, match="its pixels are too small to be read"):
        open_labels(tmp_path / "map.tif", resampling="majority").fetch(2021, [PATCH]).cut(PATCH)


def test_a_raster_that_is_not_there_is_named(tmp_path):
    with pytest.raises(
        ConfigurationError, match=r"label raster \(LANDPATCH_LABEL_SOURCE\) map\.tif is not there"
    ):
        open_labels(tmp_path / "map.tif").check(2021)
    with pytest.raises(ConfigurationError, match="cannot be read: Is a directory"):
        open_labels(tmp_path).check(2021)


def test_a_year_without_a_raster_is_the_requests_fault(tmp_path):
    (tmp_path / "map_2020.tif").write_bytes(GOOD)
    source = open_labels(tmp_path / "map_{year}.tif")
    source.check(2020)
    with pytest.raises(RequestError, match=r"map_2021\.tif: there is none of 2021"):
        source.check(2021)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_raster_that_may_not_be_read_is_named(tmp_path):
    (tmp_path / "map.tif").write_bytes(GOOD)
    (tmp_path / "map.tif").chmod(0)
    with pytest.raises(ConfigurationError, match="cannot be read: Permission denied"):
        open_labels(tmp_path / "map.tif").check(2021)


def test_a_raster_that_is_replaced_while_it_is_in_use_is_read_anew(tmp_path):
    (tmp_path / "map.tif").write_bytes(GOOD)
    source = open_labels(tmp_path / "map.tif")
    assert source.fetch(2021, [PATCH]).cut(PATCH).all()
    east = from_origin(PATCH.xmin + 1250, PATCH.ymin + 2500, 10, 10)
    (tmp_path / "map.tif").write_bytes(write_raster(place_codes(250, 250), east, "EPSG:3035"))
    with pytest.raises(TransientError, match="has been replaced while it was read"):
        source.fetch(2021, [PATCH]).cut(PATCH)
    found = source.fetch(2021, [PATCH]).cut(PATCH)
    assert not found[:, :125].any()
    assert np.array_equal(found[:, 125:], place_codes(125, 250))
