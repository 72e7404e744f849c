"""Digital numbers become the reflectance that the product's own metadata says."""

import numpy as np
import pytest

from landpatch.radiometry import (
    REFLECTANCE_BANDS,
    add_indices,
    is_clear_class,
    normalized_difference,
    remove_offset,
    to_reflectance,
)


def test_no_observation_stays_zero_and_dark_valid_pixels_stay_valid():
    scaled, observed, saturated = remove_offset(np.array([[0, 1, 999, 1000, 65535]], dtype="uint16"), -1000)
    assert observed.tolist() == [[False, True, True, True, True]]
    assert saturated.tolist() == [[False, False, False, False, True]]
    assert to_reflectance(scaled, 10000).tolist() == [[0, -0.0999, -0.0001, 0, 6.4535]]


def test_a_scene_stored_at_two_baselines_gives_the_same_bits():
    old = np.random.default_rng(1).integers(1, 12000, (50, 50)).astype("uint16")
    a, *_ = remove_offset(old, 0)
    b, *_ = remove_offset(old + np.uint16(1000), -1000)
    assert a.tobytes() == b.tobytes()


def test_indices_are_zero_where_the_sum_is_zero_and_are_clipped():
    a, b = np.array([0.0, 0.3, 0.5, -0.1]), np.array([0.0, 0.1, -0.3, 0.1])
    assert normalized_difference(a, b).tolist() == [0, pytest.approx(0.5), 1, 0]


def test_ndvi_and_ndwi_use_bands_8_4_and_3_8():
    reflectance = np.zeros((12, 1, 1))
    for name, value in (("B3", 0.2), ("B4", 0.1), ("B8", 0.4)):
        reflectance[REFLECTANCE_BANDS.index(name)] = value
    bands = add_indices(reflectance)
    assert bands.shape == (14, 1, 1)
    assert bands[12, 0, 0] == pytest.approx(0.3 / 0.5)
    assert bands[13, 0, 0] == pytest.approx(-0.2 / 0.6)


def test_clouds_shadows_cirrus_and_defects_are_not_clear():
    classes = np.arange(12, dtype="uint8")
    assert classes[is_clear_class(classes)].tolist() == [2, 4, 5, 6, 7, 11]
