"""One true warp: pixels that encode their own coordinates come out where they belong."""

import numpy as np
import pytest
from pyproj import Transformer

from landpatch.patch import PATCH_SIZE_M, Patch
from landpatch.warp import (
    NativeGrid,
    Warp,
    Window,
    needed_window,
    project_corners,
    project_patch,
)

# city: a patch, the UTM zone, the upper-left corner of a tile that holds it
CITIES = {
    "Paris": (3757500, 2887500, "EPSG:32631"),
    "Lisbon": (2662500, 1947500, "EPSG:32629"),
    "Helsinki": (5137500, 4210000, "EPSG:32635"),
    "Bucharest": (5600000, 2510000, "EPSG:32635"),
    "Valletta": (4742500, 1395000, "EPSG:32633"),
    "Canaries": (1800000, 1000000, "EPSG:32628"),
}


def pixel_centres(xmin, ymin):
    """EPSG:3035 coordinates of a patch's pixel centres, row 0 in the north."""
    return np.meshgrid(xmin + 5 + 10.0 * np.arange(250), ymin + 2495 - 10.0 * np.arange(250))


def grid_around(x, y, crs, size_m):
    """A native grid on the 60 m lattice of a tile that holds the patch with a margin."""
    left, top = np.floor(x.min() / 60) * 60 - 600, np.ceil(y.max() / 60) * 60 + 600
    pixels = int(max(np.ptp(x), np.ptp(y)) + 1800) // 60 * 60 // size_m
    return NativeGrid(crs, left, top, size_m, pixels, pixels)


def own_coordinates(grid):
    """EPSG:3035 coordinates of a native grid's pixel centres."""
    x = grid.left + (np.arange(grid.width) + 0.5) * grid.pixel_size_m
    y = grid.top - (np.arange(grid.height) + 0.5) * grid.pixel_size_m
    return Transformer.from_crs(grid.crs, "EPSG:3035", always_xy=True).transform(*np.meshgrid(x, y))


@pytest.mark.parametrize("city", CITIES)
def test_projected_pixel_centres_agree_with_pyproj_at_every_pixel(city):
    xmin, ymin, crs = CITIES[city]
    x, y = project_patch(xmin, ymin, crs)
    exact = Transformer.from_crs("EPSG:3035", crs, always_xy=True).transform(*pixel_centres(xmin, ymin))
    assert np.abs(x - exact[0]).max() < 1e-6
    assert np.abs(y - exact[1]).max() < 1e-6


@pytest.mark.parametrize("size_m", [10, 20, 60])
@pytest.mark.parametrize("city", CITIES)
def test_pixels_that_encode_their_coordinates_are_recovered(city, size_m):
    xmin, ymin, crs = CITIES[city]
    x, y = project_patch(xmin, ymin, crs)
    grid = grid_around(x, y, crs, size_m)
    warp = Warp(x, y, grid)
    window = warp.window
    rows = slice(window.row, window.row + window.height)
    cols = slice(window.col, window.col + window.width)
    observed = np.ones((window.height, window.width), bool)
    for native, truth, origin in zip(
        own_coordinates(grid), pixel_centres(xmin, ymin), (xmin, ymin), strict=True
    ):
        values = (native - origin)[rows, cols].astype("float32")
        warped, seen = warp.bilinear(values, observed)
        assert seen.all()
        tolerance_m = 0.002 * size_m
        assert np.abs(warped - (truth - origin)).max() <= tolerance_m


def flat_case(size_m=10):
    """A warp by a quarter pixel, no projection involved, and the shape of its window."""
    grid = NativeGrid("EPSG:32631", 0, 2600, size_m, 260, 260)
    x, y = np.meshgrid(2.5 + 5 + 10.0 * np.arange(250), 2600 - 5 - 10.0 * np.arange(250))
    warp = Warp(x, y, grid)
    assert warp.window == Window(0, 0, 251, 251)
    return warp


def test_no_observation_is_never_mixed_into_a_value():
    observed = np.ones((251, 251), bool)
    observed[:, 100] = False
    values = np.where(observed, np.float32(500), np.float32(0))
    warped, seen = flat_case().bilinear(values, observed)
    assert np.allclose(warped[seen], 500)
    assert (warped[~seen] == 0).all()


def test_a_pixel_is_observed_where_its_nearest_native_pixel_is():
    observed = np.random.default_rng(5).random((251, 251)) > 0.4
    values = np.where(observed, np.float32(7), np.float32(0))
    warped, seen = flat_case().bilinear(values, observed)
    assert (seen == observed[:250, :250]).all()
    assert np.allclose(warped[seen], 7)


# the side of a patch that the tile does not reach: left, top, width and height of the tile, and what it shows
EDGES = {
    "east": ((-50, 2550, 130, 260), np.s_[:, :125]),
    "west": ((1250, 2550, 130, 260), np.s_[:, 125:]),
    "south": ((-50, 2550, 260, 130), np.s_[:125]),
    "north": ((-50, 1250, 260, 130), np.s_[125:]),
}


@pytest.mark.parametrize("shift_m", [3, 7])
@pytest.mark.parametrize("side", EDGES)
def test_the_outer_half_pixel_of_a_tile_is_kept_and_beyond_it_nothing_is_seen(side, shift_m):
    (left, top, width, height), shown = EDGES[side]
    x, y = np.meshgrid(shift_m + 10.0 * np.arange(250), 2500 - shift_m - 10.0 * np.arange(250))
    warp = Warp(x, y, NativeGrid("EPSG:32631", left, top, 10, width, height))
    values = np.full((warp.window.height, warp.window.width), 9, "float32")
    warped, seen = warp.bilinear(values, np.ones(values.shape, bool))
    expected = np.zeros((250, 250), bool)
    expected[shown] = True
    assert (seen == expected).all()
    assert np.allclose(warped[seen], 9)
    assert (warped[~seen] == 0).all()
    assert (warp.take_nearest(values.astype("uint8"), outside=4) == np.where(expected, 9, 4)).all()


def test_a_patch_beside_the_tile_needs_no_window():
    far = NativeGrid("EPSG:32631", 1e6, 1e6, 10, 100, 100)
    x, y = np.meshgrid(np.arange(250.0), np.arange(250.0))
    assert needed_window(x, y, far) is None
    assert Warp(x, y, far).window is None


def test_categories_take_the_pixel_that_holds_the_centre():
    classes = np.random.default_rng(2).integers(0, 12, (251, 251)).astype("uint8")
    taken = flat_case().take_nearest(classes, outside=0)
    assert (taken == classes[:250, :250]).all()


@pytest.mark.parametrize("city", CITIES)
def test_the_window_of_the_corners_with_a_margin_holds_the_window_of_every_pixel(city):
    xmin, ymin, crs = CITIES[city]
    patch = Patch(0, xmin, ymin, 0)
    x, y = project_patch(xmin, ymin, crs)
    corner_x, corner_y = project_corners([patch, patch], crs)
    assert np.abs(corner_x[1] - [x[-1, 0], x[0, 0], x[-1, -1], x[0, -1]]).max() < 1e-6
    for size_m in (10, 20, 60):
        grid = grid_around(x, y, crs, size_m)
        exact = needed_window(x, y, grid)
        planned = needed_window(corner_x[0], corner_y[0], grid, margin=1)
        assert planned.col <= exact.col
        assert planned.row <= exact.row
        assert planned.col + planned.width >= exact.col + exact.width
        assert planned.row + planned.height >= exact.row + exact.height


def test_patch_size_and_pixels_agree():
    assert PATCH_SIZE_M == 250 * 10
