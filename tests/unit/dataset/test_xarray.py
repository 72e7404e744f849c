"""xarray: the same pixels, with the coordinates of their centres, read when they are wanted."""

import shutil

import numpy as np
import pyproj
import pytest
import xarray as xr

import landpatch
from landpatch.errors import PermanentError, RequestError
from tests.training_sets import LUXEMBOURG, PARIS, bands_at, classes_at, write_own


def test_a_pair_has_its_pixels_at_their_centres(luxembourg):
    pair = luxembourg.pair(0)
    shown = pair.to_xarray()
    assert shown.image.dims == ("band", "y", "x")
    point = shown.sel(x=4044385, y=2953975)
    assert float(point.image.sel(band="B1")) == pytest.approx(4044385 / 1e8, abs=1e-12)
    assert float(point.image.sel(band="B2")) == pytest.approx(1 + 2953975 / 1e8, abs=1e-12)
    assert int(point.label) == classes_at(np.array([[4044385]]), np.array([[2953975]]))[0, 0]
    assert shown.attrs["patch"] == LUXEMBOURG[0]


def test_the_crs_is_told_as_cf_has_it(paris):
    for shown in (paris.pair(0).to_xarray(), paris.to_xarray()):
        assert shown.image.attrs["grid_mapping"] == "spatial_ref"
        assert pyproj.CRS.from_cf(shown.spatial_ref.attrs) == pyproj.CRS(3035)


def flags(shown):
    """Names of the classes by number, as CF tells them."""
    told = shown.label.attrs
    meanings = told["flag_meanings"].split(" ")
    assert told["flag_values"].dtype == shown.label.dtype
    return dict(zip(told["flag_values"].tolist(), meanings, strict=True))


def test_labels_of_clcplus_say_what_their_classes_are(paris, luxembourg):
    for shown in (paris.pair(0).to_xarray(), paris.to_xarray(), luxembourg.to_xarray()):
        assert shown.label.attrs["long_name"] == "CLC+ Backbone class, 0 = no label"
        named = flags(shown)
        assert len(named) == 12
        assert (named[0], named[2], named[10]) == ("no_label", "Woody_needle_leaved", "Water")


def test_labels_of_another_map_say_what_their_classes_are(other_map):
    dataset = landpatch.open(other_map, "FR101/2021")
    for shown in (dataset.pair(0).to_xarray(), dataset.to_xarray()):
        assert shown.label.attrs["long_name"] == "city.tif class, 0 = no label"
        assert flags(shown) == {0: "no_label", 1: "Bäume_&_hedges", 2: "Roofs"}


def test_where_regions_have_labels_of_several_maps_no_number_has_one_name(other_map):
    told = landpatch.open(other_map).to_xarray().label.attrs
    assert told["long_name"] == "CLC+ Backbone, city.tif class, 0 = no label"
    assert not [name for name in told if name.startswith("flag")]


def test_a_region_without_labels_takes_no_part_in_what_the_classes_are(tmp_path):
    told = {"source": "raster=city.tif;classes=0123;nearest", "names": {1: "Trees", 2: "Roofs"}}
    write_own(tmp_path, "FR101", 2021, PARIS[:1], **told)
    write_own(tmp_path, "FR101", 2018, PARIS[:2], unlabelled=PARIS[:2])
    shown = landpatch.open(tmp_path / "data").to_xarray()
    assert shown.label.attrs["long_name"] == "city.tif class, 0 = no label"
    assert flags(shown) == {0: "no_label", 1: "Trees", 2: "Roofs"}
    unlabelled = landpatch.open(tmp_path / "data", "FR101/2018").to_xarray()
    assert unlabelled.label.attrs["long_name"] == "CLC+ Backbone class, 0 = no label"


def test_what_the_classes_are_survives_a_file(other_map, tmp_path):
    pair = landpatch.open(other_map, "FR101/2021").pair(0)
    pair.to_xarray().to_netcdf(tmp_path / "pair.nc", engine="scipy")
    with xr.open_dataset(tmp_path / "pair.nc", engine="scipy") as shown:
        assert shown.label.attrs["flag_meanings"] == "no_label Bäume_&_hedges Roofs"


def test_a_pair_without_a_label_has_no_such_variable(paris):
    (number,) = [n for n, entry in enumerate(paris.entries) if entry.patch == PARIS[3]]
    assert set(paris.pair(number).to_xarray().data_vars) == {"image"}


def test_a_whole_set_is_stacked_with_the_place_of_each_patch(paris):
    stack = paris.to_xarray()
    assert stack.image.dims == ("patch", "band", "row", "column")
    assert stack.image.shape == (4, 14, 250, 250)
    for number, entry in enumerate(paris.entries):
        one = stack.isel(patch=number)
        assert str(one.patch.values) == entry.patch
        x, y = np.meshgrid(one.x.values, one.y.values)
        np.testing.assert_allclose(one.image.values, bands_at(x, y), rtol=0, atol=1e-12)
        if entry.patch == PARIS[3]:
            assert not one.label.values.any()
        else:
            assert (one.label.values == classes_at(x, y)).sum() >= 62_499
    assert stack.year.values.tolist() == [2021] * 4


def test_nothing_is_read_before_it_is_computed(public, tmp_path):
    shutil.copytree(public, tmp_path / "data")
    dataset = landpatch.open(tmp_path / "data", "LU000/2021")
    (tmp_path / "data" / "images" / "LU000" / "2021" / f"{LUXEMBOURG[1]}.tif").unlink()
    stack = dataset.to_xarray()
    assert stack.image.isel(patch=0, band=0, row=0, column=0).compute() > 0
    with pytest.raises(PermanentError, match=LUXEMBOURG[1]):
        stack.image.isel(patch=1).compute()


def test_of_nothing_there_is_no_stack(paris):
    with pytest.raises(RequestError, match="nothing was selected"):
        paris.select(years=1999).to_xarray()
