"""Selection: by place in any CRS, class, clear fraction, year and label."""

import numpy as np
import pytest
from shapely.geometry import LineString, Point, box, mapping

import landpatch
from landpatch.errors import RequestError
from tests.training_sets import LUXEMBOURG, PARIS

GRID = "EPSG:3035"


def names(dataset):
    return [entry.patch for entry in dataset.entries]


def test_a_point_of_the_tutorial_is_found_by_longitude_and_latitude(luxembourg):
    """The course's own: 5, rue Alphonse Weicker, Luxembourg."""
    found = luxembourg.select(point=(6.1695145, 49.6335945))
    assert names(found) == ["4042000_2951690_0_637"]


def test_a_point_is_found_in_any_crs(paris):
    assert names(paris.select(point=(3756000, 2888000), crs=GRID)) == PARIS[:1]
    # The same place in UTM 31N, and one 3 km to its west.
    assert names(paris.select(point=(447_869, 5_409_786), crs="EPSG:32631")) == PARIS[:1]
    assert names(paris.select(point=(444_869, 5_409_786), crs="EPSG:32631")) == []


@pytest.mark.parametrize(
    ("x", "y", "found"),
    [
        (3755000, 2887500, 0), (3757500, 2887500, 1), (3757499.99, 2889999.99, 0), (3757500, 2890000, 3),
        (3755000, 2890000, 2), (3760000, 2887500, None), (3755000, 2892500, None),
    ],
)  # fmt: skip
def test_of_patches_side_by_side_one_holds_a_point_on_their_edge(paris, x, y, found):
    assert names(paris.select(point=(x, y), crs=GRID)) == ([] if found is None else [PARIS[found]])


def test_a_polygon_takes_what_shares_area_and_not_what_it_only_touches(paris):
    assert set(names(paris.select(polygon=box(3755100, 2887600, 3757500, 2889000), crs=GRID))) == {PARIS[0]}
    assert set(names(paris.select(polygon=box(3755100, 2887600, 3757501, 2889000), crs=GRID))) == set(
        PARIS[:2]
    )
    assert names(paris.select(polygon=box(0, 0, 1, 1), crs=GRID)) == []


def test_a_polygon_may_be_geojson_in_longitude_and_latitude(luxembourg):
    """The bounds that the tutorial gives for the first patch, drawn in by a hundredth of a degree."""
    inside = box(6.1464, 49.6220, 6.1627, 49.6256)
    assert names(luxembourg.select(polygon=mapping(inside))) == [LUXEMBOURG[0]]
    feature = {"type": "Feature", "properties": {}, "geometry": mapping(inside)}
    assert names(luxembourg.select(polygon=feature)) == [LUXEMBOURG[0]]


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"point": (4044386, 2953974)}, "is not within longitude and latitude; say crs='EPSG:3035'"),
        ({"point": (1, 2, 3)}, "is no point"),
        ({"point": ("a", "b")}, "is no point"),
        ({"point": (float("nan"), 2), "crs": GRID}, "lies outside"),
        ({"point": (1, 2), "crs": "EPSG:0"}, "is no CRS"),
        ({"polygon": Point(6, 49)}, "it has no area"),
        ({"polygon": LineString([(6, 49), (7, 50)])}, "it has no area"),
        ({"polygon": {"type": "Polygon"}}, "that is no polygon"),
        ({"polygon": "POLYGON ((0 0, 1 1, 1 0))"}, "that is no polygon"),
        ({"polygon": box(0, 0, 10_000, 10_000)}, "is not within longitude and latitude"),
        ({"classes": 12}, "classes are 0 to 11"),
        ({"classes": ["water"]}, "classes are 0 to 11"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(paris, asked, says):
    with pytest.raises(RequestError, match=says) as refused:
        paris.select(**asked)
    assert "\n" not in str(refused.value)


def test_years_and_regions_are_selected(own):
    dataset = landpatch.open(own)
    assert dataset.select(years=2018).regions == ["FR101/2018"]
    assert len(dataset.select(years=[2018, 2021])) == 6
    assert len(dataset.select(years=2024)) == 0
    assert len(dataset.select(years=np.array([2018, 2021])[0])) == 2
    assert len(dataset.select(regions="fr101")) == 6
    assert len(dataset.select(regions=["LU000"])) == 0


def test_a_clear_fraction_is_the_least_that_is_taken(paris):
    assert set(names(paris.select(min_clear=0.97))) == set(PARIS[:2])
    assert set(names(paris.select(min_clear=0.5))) == set(PARIS)
    assert names(paris.select(min_clear=1)) == PARIS[:1]


def test_where_nothing_tells_the_clear_fraction_that_is_said(luxembourg):
    with pytest.raises(RequestError, match=r"LU000/2021: it has no patches.parquet"):
        luxembourg.select(min_clear=0.9)


def test_classes_are_counted_in_pixels(paris):
    """Of class 10 one patch has one pixel; squares of 500 m hold 2500 pixels."""
    assert names(paris.select(classes=10)) == PARIS[1:2]
    assert names(paris.select(classes=10, min_class_pixels=2)) == []
    assert names(paris.select(classes=[10, 11])) == PARIS[1:2]
    assert names(paris.select(classes=11)) == []
    assert set(names(paris.select(classes=[1, 2, 3], min_class_pixels=2500))) == set(PARIS[:3])


def test_classes_are_counted_in_the_labels_where_no_index_tells(luxembourg, public):
    counts = {pair.patch: np.unique(pair.label, return_counts=True) for pair in luxembourg}
    for wanted in range(1, 10):
        for least in (1, 5_000, 7_501):
            expected = [
                patch
                for patch, (classes, pixels) in counts.items()
                if (pixels[classes == wanted] >= least).any()
            ]
            assert names(luxembourg.select(classes=wanted, min_class_pixels=least)) == expected
    assert len(landpatch.open(public, "LU000/2024").select(classes=range(12))) == 0


def test_labelled_patches_are_selected_with_and_without_an_index_that_tells(paris, public):
    assert set(names(paris.select(labelled=True))) == set(PARIS[:3])
    assert names(paris.select(labelled=False)) == PARIS[3:]
    years = landpatch.open(public, "LU000")
    assert years.select(labelled=True).regions == ["LU000/2021"]
    assert years.select(labelled=False).regions == ["LU000/2024"]


def test_conditions_are_all_met_and_the_first_set_is_left_as_it_was(paris):
    found = paris.select(min_clear=0.9, labelled=True, point=(3757500, 2887500), crs=GRID)
    assert names(found) == PARIS[1:2]
    assert len(paris) == 4
    assert found.pair(0).patch == PARIS[1]
