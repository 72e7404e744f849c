"""The grid: cells, names and numbers are functions of the boundary alone."""

import json

import numpy as np
import pytest
import shapely
from shapely.geometry import MultiPolygon, box, shape

from landpatch.grid import lay_grid, patch_boxes
from landpatch.patch import parse_patch


def regions(data):
    features = json.loads((data / "boundaries.geojson").read_text())["features"]
    return {feature["id"]: shape(feature["geometry"]) for feature in features}


@pytest.mark.parametrize(("nuts", "count"), [("FR101", 28), ("BE100", 39), ("LU000", 481), ("FRJ27", 1022)])
def test_a_genuine_region_has_the_known_number_of_patches(data, nuts, count):
    assert len(lay_grid(regions(data)[nuts])) == count


def test_every_patch_shares_area_with_the_region_and_no_other_cell_does(data):
    region = regions(data)["MT001"]
    patches = lay_grid(region)
    assert (shapely.area(shapely.intersection(region, patch_boxes(patches))) > 0).all()
    covered = shapely.union_all(patch_boxes(patches))
    assert region.difference(covered).area == pytest.approx(0, abs=1e-6)


def test_within_keeps_only_cells_inside_and_their_names(data):
    region = regions(data)["LU000"]
    every, inside = lay_grid(region), lay_grid(region, "within")
    assert set(inside) < set(every)
    assert shapely.covers(region, patch_boxes(inside)).all()


def test_a_cell_that_only_touches_the_region_does_not_belong():
    assert [patch.bounds for patch in lay_grid(box(2500, 2500, 5000, 5000))] == [(2500, 2500, 5000, 5000)]


def test_cells_are_numbered_row_by_row_from_the_lower_left_of_the_rectangle():
    patches = lay_grid(box(2600, 2600, 9900, 7400))
    assert [patch.cell_id for patch in patches] == list(range(6))
    assert patches[0].bounds[:2] == (2500, 2500)
    assert patches[3].bounds[:2] == (2500, 5000)


def test_parts_are_ordered_by_falling_area_and_the_first_that_shares_area_counts():
    small, large = box(0, 0, 3000, 1000), box(4000, 0, 9000, 2000)
    patches = lay_grid(MultiPolygon([small, large]))
    assert {patch.xmin: patch.part for patch in patches} == {0: 1, 2500: 0, 5000: 0, 7500: 0}


def test_a_name_tells_the_patch_and_nothing_else_is_taken_for_one():
    patch = lay_grid(box(2500, 2500, 5000, 5000))[0]
    assert parse_patch(patch.name) == patch
    for wrong in ("1_2_3", "2501_2500_0_0", "../2500_2500_0_0", "2500_2500_0_-1", "02500_2500_0_0"):
        with pytest.raises(ValueError, match=r"name|invalid|unpack"):
            parse_patch(wrong)


def test_the_order_of_the_parts_in_the_file_does_not_matter(data):
    region = regions(data)["FRJ27"]
    parts = [*shapely.get_parts(region), box(3e6, 2e6, 3.01e6, 2.01e6)]
    rng = np.random.default_rng(3)
    first = lay_grid(MultiPolygon(parts))
    rng.shuffle(parts)
    assert lay_grid(MultiPolygon(parts)) == first
