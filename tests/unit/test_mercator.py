"""The tiles of web maps, against numbers and formulas of others."""

import math

import pytest
from pyproj import Transformer

from landpatch.mercator import Frame, choose_zoom, cover, ground_scale, pixel_size_m

PARIS = (2.2242, 48.8156, 2.4698, 48.9022)
"""West, south, east, north, degrees."""


def project(west, south, east, north):
    to = Transformer.from_crs("EPSG:4326", "EPSG:3857", always_xy=True)
    return (*to.transform(west, south), *to.transform(east, north))


def slippy(lon, lat, zoom):
    """Column and row; source: OpenStreetMap wiki, "Slippy map tilenames"."""
    col = (lon + 180) / 360 * 2**zoom
    row = (1 - math.asinh(math.tan(math.radians(lat))) / math.pi) / 2 * 2**zoom
    return math.floor(col), math.floor(row)


def test_a_pixel_of_the_whole_world_in_one_tile_has_156543_metres():
    assert pixel_size_m(0) == pytest.approx(156543.033928, abs=1e-6)
    assert pixel_size_m(14) == pytest.approx(156543.033928 / 2**14, abs=1e-9)


@pytest.mark.parametrize("zoom", [3, 9, 14])
def test_a_frame_is_the_tiles_that_others_number_alike(zoom):
    west, south, east, north = PARIS
    frame = cover(project(*PARIS), zoom)
    assert (frame.col, frame.row) == slippy(west, north, zoom)
    assert (frame.col + frame.cols - 1, frame.row + frame.rows - 1) == slippy(east, south, zoom)


def test_the_ground_is_shorter_than_the_map_by_the_cosine_of_the_latitude():
    _, south, _, _ = project(*PARIS)
    assert ground_scale(south) == pytest.approx(math.cos(math.radians(48.8156)), rel=1e-9)


def test_the_zoom_shows_pixels_of_ten_metres_in_full_unless_that_were_too_many():
    bounds = project(*PARIS)
    # At 48.9 degrees a pixel has 12.6 m at zoom 13 and 6.3 m at zoom 14.
    assert choose_zoom(bounds, 10, 10**9) == 14
    assert choose_zoom(bounds, 13, 10**9) == 13
    few = choose_zoom(bounds, 10, 500_000)
    assert math.prod(cover(bounds, few).shape) <= 500_000 < math.prod(cover(bounds, few + 1).shape)


def test_a_part_of_a_frame_has_the_grid_that_its_tiles_have():
    frame = Frame(zoom=14, col=8298, row=5633, cols=3, rows=2)
    assert frame.shape == (512, 768)
    grid = frame.grid(slice(256, 512), slice(512, 768))
    lon, lat = Transformer.from_crs("EPSG:3857", "EPSG:4326", always_xy=True).transform(grid.left, grid.top)
    assert slippy(lon + 1e-9, lat - 1e-9, 14) == (8300, 5634)
    assert slippy(lon - 1e-9, lat + 1e-9, 14) == (8299, 5633)
    assert (grid.width, grid.height) == (256, 256)


def test_the_part_that_touches_a_rectangle_is_cut_off_at_the_frame():
    frame = cover(project(*PARIS), 12)
    grid = frame.grid(slice(0, frame.shape[0]), slice(0, frame.shape[1]))
    inner = (grid.left + 3.2 * grid.pixel_size_m, grid.top - 20.9 * grid.pixel_size_m,
             grid.left + 10.1 * grid.pixel_size_m, grid.top - 15.5 * grid.pixel_size_m)  # fmt: skip
    assert frame.part(inner) == (slice(15, 21), slice(3, 11))
    beyond = (grid.left - 1e6, grid.top - 1e7, grid.left + 1e7, grid.top + 1e6)
    assert frame.part(beyond) == (slice(0, frame.shape[0]), slice(0, frame.shape[1]))


@pytest.mark.parametrize("frame", [Frame(12, 2074, 1408, 3, 2), Frame(12, 2075, 1409, 4, 5)])
def test_the_parent_holds_the_frame_and_no_more_tiles_than_that_takes(frame):
    parent = frame.parent
    assert parent.zoom == 11
    assert 2 * parent.col <= frame.col < 2 * parent.col + 2
    assert 2 * parent.row <= frame.row < 2 * parent.row + 2
    assert 2 * (parent.col + parent.cols) - 2 < frame.col + frame.cols <= 2 * (parent.col + parent.cols)
    assert 2 * (parent.row + parent.rows) - 2 < frame.row + frame.rows <= 2 * (parent.row + parent.rows)
