"""The whole cut, from JP2 files to observations: every pixel is where it says it is."""

from functools import lru_cache

import numpy as np
import pytest

from landpatch.patch import Patch
from tests.scenes import (
    CITIES,
    GROUPS,
    NO_OFFSET,
    OFFSET,
    POSITION_ERROR_M,
    TILES,
    centres,
    depth_m,
    keep_in,
    position_errors_m,
    position_fields,
    transformer,
    write_product,
)

DISPLACEMENT_M = 0.004
"""Of a whole band, where the rounding cancels out; twice the largest of the six cities."""


@pytest.fixture(scope="module")
def look_at_city(cut, cache):
    """A city's patch, and what is seen of it on a product whose pixels tell their positions."""

    @lru_cache
    def look(city):
        name, xmin, ymin = CITIES[city]
        patch = Patch(0, xmin, ymin, 0)
        return patch, cut(write_product(TILES[name], patch, position_fields(patch), cache), OFFSET, [patch])

    return look


@pytest.mark.parametrize("city", CITIES)
def test_every_pixel_of_every_band_is_where_it_says_it_is(city, look_at_city):
    patch, seen = look_at_city(city)
    assert (seen[patch.name].clarity == 2).all()
    for size_m, errors in position_errors_m(seen[patch.name], patch, OFFSET).items():
        assert np.abs(errors).max() <= POSITION_ERROR_M, f"{city}, {size_m} m"
        assert np.abs(errors.mean(axis=(1, 2))).max() <= DISPLACEMENT_M, f"{city}, {size_m} m"


@pytest.mark.parametrize("city", CITIES)
def test_the_grids_of_10_20_and_60_m_agree_on_where_a_pixel_is(city, look_at_city):
    patch, seen = look_at_city(city)
    errors = position_errors_m(seen[patch.name], patch, OFFSET)
    for axis in (0, 1):
        fine = errors[10][axis::2].mean(axis=0)
        for coarse in (20, 60):
            # A grid read half a pixel off would be 5, 10 or 30 m from the others.
            apart = errors[coarse][axis::2].mean(axis=0) - fine
            assert np.abs(apart).max() <= 2 * POSITION_ERROR_M
            assert abs(apart.mean()) <= 2 * DISPLACEMENT_M


def test_the_scene_class_is_that_of_the_native_pixel_that_holds_the_centre(cut, cache):
    name, xmin, ymin = CITIES["Lisbon"]
    patch, tile = Patch(0, xmin, ymin, 0), TILES[name]

    def classes(x, y):
        native_x, native_y = transformer(3035, tile.epsg).transform(x, y)
        col = np.floor((native_x - tile.ulx) / 20).astype(int)
        row = np.floor((tile.uly - native_y) / 20).astype(int)
        return np.array([4, 9, 8, 5, 10, 3, 6, 0, 2, 1, 7, 11])[(col * 5 + row * 7) % 12]

    files = write_product(tile, patch, [lambda x, y: np.full(x.shape, 2000)], cache, classes)
    seen = cut(files, NO_OFFSET, [patch])[patch.name]
    clear = np.isin(classes(*centres(patch)), [2, 4, 5, 6, 7, 11])
    assert 0.3 < clear.mean() < 0.7
    assert (seen.clarity == np.where(clear, 2, 1)).all()


@pytest.mark.parametrize(
    ("xmin", "ymin"),
    [(3765000, 2977500), (3820000, 2920000), (3757500, 2867500), (3710000, 2930000), (3815000, 2862500)],
    ids=["north", "east", "south", "west", "south-east"],
)
def test_at_a_tile_edge_pixels_are_seen_up_to_the_edge_and_not_beyond(xmin, ymin, cut, cache):
    patch, tile = Patch(0, xmin, ymin, 0), TILES["31UDQ"]
    seen = cut(write_product(tile, patch, position_fields(patch), cache), OFFSET, [patch])[patch.name]
    x, y = centres(patch)
    depth = depth_m(tile, x, y)
    inside = depth > 0
    assert 0.05 < inside.mean() < 0.95
    assert (seen.clarity == np.where(inside, 2, 0)).all()
    assert (seen.reflectance[:, ~inside] == 0).all()
    for size_m, errors in position_errors_m(seen, patch, OFFSET).items():
        assert np.abs(errors[:, depth > size_m / 2]).max() <= POSITION_ERROR_M
    for size_m in GROUPS:
        # In the outermost half pixel there is no neighbour to go on to: the edge's own value is kept.
        errors = position_errors_m(seen, patch, OFFSET, keep_in(tile, size_m, x, y))[size_m]
        assert np.abs(errors[:, inside]).max() <= POSITION_ERROR_M
