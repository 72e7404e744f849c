"""The whole cut: offsets, holes, dark and saturated pixels."""

import numpy as np
import pytest

from landpatch.patch import Patch
from landpatch.radiometry import REFLECTANCE_BANDS
from tests.scenes import (
    CITIES,
    NO_OFFSET,
    OFFSET,
    RELIEF_DN,
    TILES,
    centres,
    difference_dn,
    hills,
    resampling_bound_dn,
    transformer,
    write_band,
    write_product,
)


@pytest.mark.parametrize(("band", "size_m"), [("B4", 10), ("B8A", 20), ("B9", 60)])
def test_a_pixel_without_observation_in_one_band_leaves_its_neighbours_as_they_are(band, size_m, cut, cache):
    name, xmin, ymin = CITIES["Helsinki"]
    patch, tile = Patch(0, xmin, ymin, 0), TILES[name]

    def hole(x, y):
        native_x, native_y = transformer(3035, tile.epsg).transform(x, y)
        col, row = (native_x - tile.ulx) // size_m, (tile.uly - native_y) // size_m
        return (col % 17 == 3) & (row % 13 == 5)

    files = write_product(tile, patch, [lambda x, y: np.full(x.shape, 1234)], cache)
    holed = write_band(tile, size_m, patch, lambda x, y: np.where(hole(x, y), 0, 1234), cache)
    seen = cut(files | {band: holed}, OFFSET, [patch])[patch.name]
    expected = hole(*centres(patch))
    assert expected.any()
    assert ((seen.clarity == 0) == expected).all()
    assert (seen.reflectance[:, expected] == 0).all()
    number = REFLECTANCE_BANDS.index(band)
    others = np.arange(12) != number
    assert (seen.reflectance[others][:, ~expected] == 234 / 10_000).all()
    # In the band itself the weights beside a hole renormalise, in float32.
    assert np.abs(seen.reflectance[number, ~expected] * 10_000 - 234).max() <= 2 * np.spacing(np.float32(234))


def test_dark_pixels_below_the_offset_stay_valid_and_negative(cut, cache):
    name, xmin, ymin = CITIES["Valletta"]
    patch = Patch(0, xmin, ymin, 0)

    def gloom(x, y):
        return 500 + (hills(x, y) - 5000) * 499 / RELIEF_DN

    files = write_product(TILES[name], patch, [lambda x, y: np.round(gloom(x, y))], cache)
    seen = cut(files, OFFSET, [patch])[patch.name]
    assert (seen.clarity == 2).all()
    assert (seen.reflectance < 0).all()
    assert seen.reflectance.min() < -990 / 10_000
    truth = np.broadcast_to((gloom(*centres(patch)) - 1000) / 10_000, (12, 250, 250))
    for size_m, errors in difference_dn(seen.reflectance, truth).items():
        assert np.abs(errors).max() <= resampling_bound_dn(size_m)


def test_the_lowest_digital_number_is_the_lowest_reflectance(cut, cache):
    name, xmin, ymin = CITIES["Valletta"]
    patch = Patch(0, xmin, ymin, 0)
    files = write_product(TILES[name], patch, [lambda x, y: np.full(x.shape, 1)], cache)
    seen = cut(files, OFFSET, [patch])[patch.name]
    assert (seen.clarity == 2).all()
    assert (seen.reflectance == -999 / 10_000).all()


def test_one_scene_stored_at_two_baselines_gives_the_same_bits(cut, cache):
    name, xmin, ymin = CITIES["Bucharest"]
    patch = Patch(0, xmin, ymin, 0)
    rng = np.random.default_rng(11)
    noise = rng.integers(1, 9000, (600, 600))
    old, new = (
        write_product(
            TILES[name], patch, [lambda x, y, add=add: noise[: x.shape[0], : x.shape[1]] + add], cache
        )
        for add in (0, 1000)
    )
    before, after = cut(old, NO_OFFSET, [patch])[patch.name], cut(new, OFFSET, [patch])[patch.name]
    assert np.ptp(before.reflectance) > 0.5
    assert before.reflectance.tobytes() == after.reflectance.tobytes()


def test_a_saturated_pixel_is_valid_but_not_clear(cut, cache):
    name, xmin, ymin = CITIES["Canaries"]
    patch, tile = Patch(0, xmin, ymin, 0), TILES[name]

    def bright(x, y):
        native_x, native_y = transformer(3035, tile.epsg).transform(x, y)
        return ((native_x - tile.ulx) // 20 % 9 == 1) & ((tile.uly - native_y) // 20 % 7 == 2)

    files = write_product(tile, patch, [lambda x, y: np.full(x.shape, 3000)], cache)
    sixteen = write_band(tile, 20, patch, lambda x, y: np.where(bright(x, y), 65_535, 3000), cache, bits=16)
    seen = cut(files | {"B11": sixteen}, NO_OFFSET, [patch])[patch.name]
    assert (seen.clarity == np.where(bright(*centres(patch)), 1, 2)).all()
