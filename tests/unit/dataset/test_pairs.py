"""Pairs: the right pixels in the right place, and errors where they are not."""

import shutil

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin, rowcol, xy

import landpatch
from landpatch.errors import PermanentError
from tests.training_sets import LUXEMBOURG, PARIS, bands_at, centres, classes_at


@pytest.mark.parametrize("name", ["paris", "luxembourg"])
def test_every_pixel_shows_the_place_that_the_transform_gives_it(request, name):
    dataset = request.getfixturevalue(name)
    for pair, entry in zip(dataset, dataset.entries, strict=True):
        assert (pair.image.shape, pair.image.dtype) == ((14, 250, 250), np.float64)
        rows, columns = np.mgrid[:250, :250]
        x, y = (np.reshape(axis, (250, 250)) for axis in xy(pair.transform, rows.ravel(), columns.ravel()))
        np.testing.assert_allclose(pair.image, bands_at(x, y), rtol=0, atol=1e-12)
        assert (pair.patch, pair.bounds, pair.crs) == (entry.patch, entry.bounds, "EPSG:3035")
        if pair.label is not None:
            assert pair.label.dtype == np.uint8
            assert (pair.label == classes_at(x, y)).sum() >= 62_499  # in one patch a pixel is of water
        assert pair.observed.all()


def test_a_pair_tells_what_its_image_says_of_itself(paris):
    pair = paris.pair(0)
    assert (pair.nuts, pair.year) == ("FR101", 2021)
    assert pair.tags["SOURCE"] == "sandbox"
    assert pair.tags["BASELINES"] == "05.00,05.00"


def test_pairs_are_counted_from_both_ends(paris):
    assert len(paris) == len(list(paris)) == 4
    assert paris[-1].patch == paris[3].patch
    for number in (4, -5):
        with pytest.raises(IndexError):
            paris.pair(number)


def test_a_patch_without_a_label_gives_none(paris, public):
    by_name = {pair.patch: pair.label for pair in paris}
    assert by_name.pop(PARIS[3]) is None
    assert all(label is not None for label in by_name.values())
    assert all(pair.label is None for pair in landpatch.open(public, "LU000/2024"))


def test_image_and_label_are_read_alone(paris):
    pair = paris.pair(0)
    assert (paris.image(0) == pair.image).all()
    assert (paris.label(0) == pair.label).all()


def test_the_point_of_the_tutorial_lies_in_its_pixel(luxembourg):
    """Luxembourg city, (4044386, 2953974): 2386 m from the west edge, 216 m from the north edge."""
    pair = luxembourg.select(point=(4044386, 2953974), crs="EPSG:3035").pair(0)
    row, column = rowcol(pair.transform, 4044386, 2953974)
    assert (int(row), int(column)) == (21, 238)
    assert pair.image[0, 21, 238] == pytest.approx(4044385 / 1e8, abs=1e-12)
    assert pair.image[1, 21, 238] == pytest.approx(1 + 2953975 / 1e8, abs=1e-12)


def write_image(path, bands, **changed):
    xmin, ymin = (int(part) for part in path.stem.split("_")[:2])
    profile = {
        "driver": "GTiff", "width": 250, "height": 250, "count": 14, "dtype": "float64", "crs": "EPSG:3035",
        "transform": from_origin(xmin, ymin + 2500, 10, 10),
    } | changed  # fmt: skip
    with rasterio.open(path, "w", **profile) as image:
        image.write(
            bands[: profile["count"], : profile["height"], : profile["width"]].astype(profile["dtype"])
        )


@pytest.fixture
def copy(public, tmp_path):
    """A copy that may be broken, and the image of its first patch."""
    shutil.copytree(public, tmp_path / "data")
    return tmp_path / "data", tmp_path / "data" / "images" / "LU000" / "2021" / f"{LUXEMBOURG[0]}.tif"


def first_pair(root):
    dataset = landpatch.open(root, "LU000/2021")
    assert dataset.entries[0].patch == LUXEMBOURG[0]
    return dataset.pair(0)


@pytest.mark.parametrize(
    "changed",
    [
        {"dtype": "float32"}, {"compress": "lzw"}, {"compress": "deflate", "predictor": 3}, {"tiled": True,
        "blockxsize": 64, "blockysize": 64}, {"interleave": "band"}, {"BIGTIFF": "YES"},
    ],
)  # fmt: skip
def test_how_an_image_is_stored_does_not_matter(copy, changed):
    root, path = copy
    expected = bands_at(*centres(4042000, 2951690))
    write_image(path, expected, **changed)
    np.testing.assert_allclose(first_pair(root).image, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"count": 13}, "bands, rows and columns"),
        ({"width": 249}, "bands, rows and columns"),
        ({"dtype": "uint16"}, "pixels are uint16"),
        ({"crs": "EPSG:32631"}, "lies in another CRS"),
        ({"crs": None}, "lies in another CRS"),
        ({"transform": from_origin(4042010, 2954190, 10, 10)}, "the index says"),
        ({"transform": from_origin(4042000, 2954190, 10, 10.1)}, "the index says"),
        ({"transform": rasterio.Affine(10, 0.5, 4042000, 0, -10, 2954190)}, "the index says"),
        ({"transform": rasterio.Affine(10, 0, 4042000, 0, 10, 2951690)}, "the index says"),
    ],
)
def test_an_image_of_another_shape_or_place_is_refused(copy, changed, says):
    root, path = copy
    write_image(path, np.ones((14, 250, 250)), **changed)
    with pytest.raises(PermanentError, match=rf"{LUXEMBOURG[0]}.tif: .*{says}"):
        first_pair(root)


def test_a_pixel_that_is_not_finite_in_a_band_is_no_observation_in_all(copy):
    root, path = copy
    bands = np.ones((14, 250, 250))
    bands[3, 10, 20], bands[13, 0, 0] = np.nan, np.inf
    write_image(path, bands)
    pair = first_pair(root)
    assert not pair.observed[10, 20]
    assert not pair.observed[0, 0]
    assert not pair.image[:, 10, 20].any()
    assert pair.observed.sum() == 62_498
    assert (pair.image[:, pair.observed] == 1).all()


@pytest.mark.parametrize("data", [b"", b"II*\x00", b"<html>404</html>", b"II*\x00" + b"\x08\x00\x00\x00" * 9])
def test_what_is_no_image_is_refused(copy, data):
    root, path = copy
    path.write_bytes(data)
    with pytest.raises(PermanentError, match=LUXEMBOURG[0]):
        first_pair(root)


def test_an_image_cut_short_is_refused(copy):
    root, path = copy
    path.write_bytes(path.read_bytes()[:-100_000])
    with pytest.raises(PermanentError, match="not a whole GeoTIFF"):
        first_pair(root)


@pytest.mark.parametrize(
    "label",
    [np.full((250, 250), 12, "uint8"), np.zeros((250, 251), "uint8"), np.zeros((250, 250), "int64"), None],
)
def test_a_label_that_is_none_is_refused(copy, label):
    root, path = copy
    target = root / "labels" / "LU000" / "2021" / f"{path.stem}.npy"
    if label is None:
        target.write_bytes(b"not an array")
    else:
        np.save(target, label)
    with pytest.raises(PermanentError, match=rf"{path.stem}\.npy"):
        first_pair(root)


def label_with(codes):
    label = np.full((250, 250), 7, "uint8")
    label[0, : len(codes)] = codes
    return label


def test_where_the_public_training_set_has_no_class_there_is_no_label(copy):
    root, path = copy
    np.save(root / "labels" / "LU000" / "2021" / f"{path.stem}.npy", label_with([253, 254, 255]))
    assert (first_pair(root).label == label_with([0, 0, 0])).all()


def test_a_code_that_landpatch_never_writes_is_refused_in_its_own_sets(own, tmp_path):
    shutil.copytree(own, tmp_path / "own")
    np.save(tmp_path / "own" / "labels" / "FR101" / "2021" / f"{PARIS[0]}.npy", label_with([253]))
    with pytest.raises(PermanentError, match="class 253 is unknown"):
        landpatch.open(tmp_path / "own", "FR101/2021").pair(0)


def test_an_object_that_the_index_lists_and_is_not_there_is_named(copy, own, tmp_path):
    root, path = copy
    path.unlink()
    with pytest.raises(PermanentError, match=rf"{path.name} is not there, but its index lists it"):
        first_pair(root)
    shutil.copytree(own, tmp_path / "own")
    (tmp_path / "own" / "labels" / "FR101" / "2021" / f"{PARIS[0]}.npy").unlink()
    with pytest.raises(PermanentError, match=rf"{PARIS[0]}.npy is not there, but its index lists it"):
        landpatch.open(tmp_path / "own", "FR101/2021").pair(0)
