"""Composites: a clear pixel is never replaced, the rest is filled by what is better."""

import numpy as np

from landpatch.composite import Observation, compose_best


def observation(name, clarity):
    clarity = np.array([clarity], dtype="uint8")
    value = (ord(name) - ord("a") + 1) * np.ones((12, *clarity.shape))
    return Observation(name, np.where(clarity > 0, value, 0), clarity)


def test_clear_stays_obscured_is_filled_by_clear_and_unseen_by_anything():
    first = observation("a", [2, 1, 1, 0, 0, 0])
    second = observation("b", [2, 2, 1, 1, 0, 1])
    third = observation("c", [2, 2, 2, 2, 0, 1])
    composite = compose_best([first, second, third])
    assert composite.reflectance[0].tolist() == [[1, 2, 3, 3, 0, 2]]
    assert composite.clarity.tolist() == [[2, 2, 2, 2, 0, 1]]
    assert composite.origin.tolist() == [[0, 1, 2, 2, -1, 1]]
    assert composite.valid_fraction == 5 / 6
    assert composite.clear_fraction == 4 / 6
    assert composite.shares(3) == [1 / 6, 2 / 6, 2 / 6]


def test_the_observations_given_are_left_as_they_were():
    first, second = observation("a", [0, 1]), observation("b", [2, 2])
    compose_best([first, second])
    assert first.reflectance[0].tolist() == [[0, 1]]
    assert first.clarity.tolist() == [[0, 1]]
