"""Labels out of rasters in any CRS, whose right classes are found another way."""

import numpy as np
import pytest
from rasterio.crs import CRS
from rasterio.transform import Affine, from_origin
from rasterio.warp import Resampling, reproject

from landpatch.class_table import parse_table
from landpatch.errors import PermanentError
from landpatch.patch import Patch
from tests.unit.labels.rasters import (
    CODES,
    LAEA_PARIS,
    PATCH,
    centres,
    lay_raster,
    look_up,
    open_labels,
    place_codes,
    write_raster,
)

GRIDS = {
    "EPSG:3035": (10, 0), "EPSG:4326": (1 / 12_000, 0), "EPSG:32631": (10, 0), "EPSG:2154": (7, 0),
    "EPSG:25832": (20, 0), LAEA_PARIS: (3, 0), "EPSG:3857": (15, 30),
}  # fmt: skip
"""CRS: size of a pixel in its units, and by how many degrees the grid is turned."""


@pytest.mark.parametrize("crs", GRIDS)
def test_each_pixel_has_the_class_at_its_centre(tmp_path, crs):
    transform, width, height = lay_raster(crs, *GRIDS[crs])
    codes = place_codes(width, height)
    (tmp_path / "classes.tif").write_bytes(write_raster(codes, transform, crs, tiled=True))
    found = open_labels(tmp_path / "classes.tif").fetch(2021, [PATCH]).cut(PATCH)
    assert (found.shape, found.dtype) == ((250, 250), np.dtype("uint8"))
    assert np.array_equal(found, look_up(codes, transform, *centres(PATCH, crs)))


@pytest.mark.parametrize("crs", GRIDS)
def test_gdal_warps_it_to_the_same_classes(tmp_path, crs):
    transform, width, height = lay_raster(crs, *GRIDS[crs])
    codes = place_codes(width, height)
    (tmp_path / "classes.tif").write_bytes(write_raster(codes, transform, crs))
    warped = np.zeros((250, 250), dtype="uint8")
    reproject(
        codes, warped, src_crs=CRS.from_user_input(crs), src_transform=transform, dst_crs=CRS.from_epsg(3035),
        dst_transform=from_origin(PATCH.xmin, PATCH.ymin + 2500, 10, 10), resampling=Resampling.nearest,
        tolerance=0,
    )  # fmt: skip
    found = open_labels(tmp_path / "classes.tif").fetch(2021, [PATCH]).cut(PATCH)
    from_edge = [np.abs(place - np.round(place)) for place in ~transform @ centres(PATCH, crs)]
    sure = np.minimum(*from_edge) > 0.02  # GDAL's warper comes so close, in pixels
    assert sure.mean() > 0.9
    assert np.array_equal(found[sure], warped[sure])


@pytest.mark.parametrize("size", [5, 2, 1])
def test_the_majority_is_that_of_the_pixels_within(tmp_path, size):
    across = 10 // size
    codes = np.random.default_rng(7).integers(1, 4, (250 * across, 250 * across), dtype="uint8")
    transform = from_origin(PATCH.xmin, PATCH.ymin + 2500, size, size)
    (tmp_path / "classes.tif").write_bytes(write_raster(codes, transform, "EPSG:3035"))
    found = open_labels(tmp_path / "classes.tif", resampling="majority").fetch(2021, [PATCH]).cut(PATCH)
    within = codes.reshape(250, across, 250, across).transpose(0, 2, 1, 3).reshape(250, 250, -1)
    votes = np.stack([np.count_nonzero(within == code, axis=2) for code in (1, 2, 3)], axis=-1)
    ranked = np.sort(votes, axis=-1)
    clear = ranked[..., -1] > ranked[..., -2]
    assert clear.mean() > 0.5
    assert np.array_equal(found[clear], votes.argmax(axis=-1)[clear] + 1)
    assert (
        np.take_along_axis(votes, found[..., None].astype(int) - 1, axis=-1)[..., 0] == ranked[..., -1]
    ).all()


@pytest.mark.parametrize(("crs", "size"), [("EPSG:32631", 2), ("EPSG:2154", 1), ("EPSG:4326", 1 / 40_000)])
def test_of_a_straight_border_each_pixel_has_the_side_of_its_centre_by_majority(tmp_path, crs, size):
    transform, width, height = lay_raster(crs, size)
    codes = np.where(np.arange(width) < width // 2, 4, 9).astype("uint8") * np.ones(
        (height, 1), dtype="uint8"
    )
    (tmp_path / "classes.tif").write_bytes(write_raster(codes, transform, crs))
    found = open_labels(tmp_path / "classes.tif", resampling="majority").fetch(2021, [PATCH]).cut(PATCH)
    columns, _ = ~transform @ centres(PATCH, crs)
    beside = columns - width // 2
    unit = 111_320 if crs == "EPSG:4326" else 1
    sure = np.abs(beside) * size * unit > 2
    assert sure.mean() > 0.99
    assert np.array_equal(found[sure], np.where(beside < 0, 4, 9)[sure])


def test_what_covers_most_is_not_what_is_at_the_centre(tmp_path):
    codes = np.ones((1250, 1250), dtype="uint8")
    codes[2::5, 2::5] = 2  # the middle one of 25
    transform = from_origin(PATCH.xmin, PATCH.ymin + 2500, 2, 2)
    (tmp_path / "classes.tif").write_bytes(write_raster(codes, transform, "EPSG:3035"))
    nearest, majority = (
        open_labels(tmp_path / "classes.tif", resampling=resampling).fetch(2021, [PATCH]).cut(PATCH)
        for resampling in ("nearest", "majority")
    )
    assert (nearest == 2).all()
    assert (majority == 1).all()


@pytest.mark.parametrize(
    ("quarters", "chosen"), [([[1, 2], [2, 1]], 1), ([[2, 1], [1, 2]], 2), ([[5, 3], [3, 5]], 5)]
)
def test_of_as_many_the_one_beside_the_centre_is_chosen(tmp_path, quarters, chosen):
    codes = np.tile(np.array(quarters, dtype="uint8"), (250, 250))
    transform = from_origin(PATCH.xmin, PATCH.ymin + 2500, 5, 5)
    (tmp_path / "classes.tif").write_bytes(write_raster(codes, transform, "EPSG:3035"))
    found = open_labels(tmp_path / "classes.tif", resampling="majority").fetch(2021, [PATCH]).cut(PATCH)
    assert (found == chosen).all()


def test_of_as_many_elsewhere_the_lowest_is_chosen(tmp_path):
    block = np.array([7] * 12 + [9] + [3] * 12, dtype="uint8").reshape(5, 5)
    transform = from_origin(PATCH.xmin, PATCH.ymin + 2500, 2, 2)
    (tmp_path / "classes.tif").write_bytes(write_raster(np.tile(block, (250, 250)), transform, "EPSG:3035"))
    found = open_labels(tmp_path / "classes.tif", resampling="majority").fetch(2021, [PATCH]).cut(PATCH)
    assert (found == 3).all()


def test_no_label_takes_part_in_the_vote(tmp_path):
    block = np.array([[255, 255], [255, 6]], dtype="uint8")
    transform = from_origin(PATCH.xmin, PATCH.ymin + 2500, 5, 5)
    data = write_raster(np.tile(block, (250, 250)), transform, "EPSG:3035", nodata=255)
    (tmp_path / "classes.tif").write_bytes(data)
    found = open_labels(tmp_path / "classes.tif", resampling="majority").fetch(2021, [PATCH]).cut(PATCH)
    assert (found == 0).all()


def half_covering(code, west, nodata=None):
    """A raster of one code over the western or the eastern half of PATCH."""
    codes = np.full((250, 125), code, dtype="uint8")
    codes[:50] = 0 if nodata is None else nodata
    transform = from_origin(PATCH.xmin + (0 if west else 1250), PATCH.ymin + 2500, 10, 10)
    return write_raster(codes, transform, "EPSG:3035", nodata=nodata)


def test_beside_the_raster_and_where_it_has_nothing_there_is_no_label(tmp_path):
    (tmp_path / "classes.tif").write_bytes(half_covering(7, west=True, nodata=200))
    found = open_labels(tmp_path / "classes.tif").fetch(2021, [PATCH]).cut(PATCH)
    assert (found[50:, :125] == 7).all()
    assert not found[:50].any()
    assert not found[:, 125:].any()


def test_of_several_rasters_the_first_that_has_a_code_counts(tmp_path):
    (tmp_path / "first.tif").write_bytes(half_covering(7, west=True, nodata=200))
    codes = np.full((250, 250), 4, dtype="uint8")
    transform = from_origin(PATCH.xmin, PATCH.ymin + 2500, 10, 10)
    (tmp_path / "second.tif").write_bytes(write_raster(codes, transform, "EPSG:3035"))
    found = open_labels(tmp_path / "first.tif", tmp_path / "second.tif").fetch(2021, [PATCH]).cut(PATCH)
    assert (found[50:, :125] == 7).all()
    assert (found[:50] == 4).all()
    assert (found[:, 125:] == 4).all()


def test_a_code_that_the_table_makes_no_label_is_a_code_all_the_same(tmp_path):
    (tmp_path / "first.tif").write_bytes(half_covering(7, west=True))
    codes = np.full((250, 250), 4, dtype="uint8")
    transform = from_origin(PATCH.xmin, PATCH.ymin + 2500, 10, 10)
    (tmp_path / "second.tif").write_bytes(write_raster(codes, transform, "EPSG:3035"))
    found = open_labels(tmp_path / "first.tif", tmp_path / "second.tif").fetch(2021, [PATCH]).cut(PATCH)
    assert not found[:50, :125].any()


@pytest.mark.parametrize("far", [Patch(0, 5_500_000, 4_500_000, 0), Patch(0, 1_500_000, 1_000_000, 0)])
@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:32631", "EPSG:27700"])
def test_a_patch_far_from_the_raster_has_no_label(tmp_path, crs, far):
    transform, width, height = lay_raster(crs, 1e-4 if crs == "EPSG:4326" else 10)
    (tmp_path / "classes.tif").write_bytes(write_raster(place_codes(width, height), transform, crs))
    assert not open_labels(tmp_path / "classes.tif").fetch(2021, [far]).cut(far).any()


def test_a_code_that_is_not_in_the_table_fails_the_patches_that_have_it(tmp_path):
    codes = np.full((250, 500), 5, dtype="uint8")
    codes[10, 300], codes[11, 301] = 77, 90
    transform = from_origin(PATCH.xmin, PATCH.ymin + 2500, 10, 10)
    (tmp_path / "map.tif").write_bytes(write_raster(codes, transform, "EPSG:3035"))
    east = Patch(1, PATCH.xmin + 2500, PATCH.ymin, 0)
    window = open_labels(tmp_path / "map.tif").fetch(2021, [PATCH, east])
    assert (window.cut(PATCH) == 5).all()
    with pytest.raises(
        PermanentError, match=r"map\.tif, window 3760000,.*: codes 77, 90 are not in the table"
    ):
        window.cut(east)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "uint32", "int32"])
@pytest.mark.parametrize("layout", [{}, {"tiled": True, "blockxsize": 128, "blockysize": 128},
                                    {"compress": "deflate"}, {"compress": "lzw", "predictor": 2},
                                    {"compress": "zstd", "BIGTIFF": "YES"}, {"ENDIANNESS": "BIG"}],
                         ids=["plain", "tiled", "deflate", "lzw", "zstd", "big endian"])  # fmt: skip
def test_whatever_the_type_and_compression_it_is_read(tmp_path, dtype, layout):
    codes = place_codes(250, 250).astype(dtype)
    transform = from_origin(PATCH.xmin, PATCH.ymin + 2500, 10, 10)
    (tmp_path / "classes.tif").write_bytes(write_raster(codes, transform, "EPSG:3035", **layout))
    found = open_labels(tmp_path / "classes.tif").fetch(2021, [PATCH]).cut(PATCH)
    assert np.array_equal(found, codes)


def test_years_are_put_into_names(tmp_path):
    transform = from_origin(PATCH.xmin, PATCH.ymin + 2500, 10, 10)
    for year, code in ((2020, 3), (2021, 8)):
        codes = np.full((250, 250), code, dtype="uint8")
        (tmp_path / f"map_{year}.tif").write_bytes(write_raster(codes, transform, "EPSG:3035"))
    source = open_labels(tmp_path / "map_{year}.tif")
    assert [source.fetch(year, [PATCH]).cut(PATCH)[0, 0] for year in (2020, 2021)] == [3, 8]


def test_the_recipe_changes_with_whatever_changes_labels(tmp_path):
    other = parse_table("{1: 2}", "the table")
    recipes = {
        open_labels(*files, table=table, resampling=resampling).recipe
        for files in (["a.tif"], ["b.tif"], ["a.tif", "b.tif"], ["b.tif", "a.tif"])
        for table in (CODES, other)
        for resampling in ("nearest", "majority")
    }
    assert len(recipes) == 16


def test_what_lies_beside_a_raster_is_not_read(tmp_path):
    transform = Affine(10, 0, PATCH.xmin, 0, -10, PATCH.ymin + 2500)
    codes = place_codes(250, 250)
    (tmp_path / "classes.tif").write_bytes(write_raster(codes, transform, "EPSG:3035"))
    other = write_raster(np.full((250, 250), 11, dtype="uint8"), transform, "EPSG:3035")
    for name in ("classes.tif.ovr", "classes.tif.msk", "classes.tfw", "classes.aux", "classes.tif.aux.xml"):
        (tmp_path / name).write_bytes(other)
    found = open_labels(tmp_path / "classes.tif").fetch(2021, [PATCH]).cut(PATCH)
    assert np.array_equal(found, codes)
