"""Composites: a clear pixel is never replaced, the rest is filled by what is better."""

import weakref

import numpy as np

from landpatch.composite import Observation, compose_best, compose_median


def observation(name, clarity):
    clarity = np.array([clarity], dtype="uint8")
    value = (ord(name) - ord("a") + 1) * np.ones((12, *clarity.shape))
    return Observation(name, np.where(clarity > 0, value, 0), clarity)


def test_clear_stays_obscured_is_filled_by_clear_and_unseen_by_anything():
    first = observation("a", [2, 1, 1, 0, 0, 0])
    second = observation("b", [2, 2, 1, 1, 0, 1])
    third = observation("c", [2, 2, 2, 2, 0, 1])
    composite = compose_best([first, second, third])
    assert composite.bands.shape[0] == 14
    assert composite.bands[0].tolist() == [[1, 2, 3, 3, 0, 2]]
    assert composite.clarity.tolist() == [[2, 2, 2, 2, 0, 1]]
    assert composite.valid_fraction == 5 / 6
    assert composite.clear_fraction == 4 / 6
    assert composite.shares == (1 / 6, 2 / 6, 2 / 6)


def test_the_observations_given_are_left_as_they_were():
    first, second = observation("a", [0, 1]), observation("b", [2, 2])
    compose_best([first, second])
    assert first.reflectance[0].tolist() == [[0, 1]]
    assert first.clarity.tolist() == [[0, 1]]


def test_the_median_is_that_of_the_clear_observations_alone():
    rng = np.random.default_rng(4)
    clarity = rng.integers(0, 3, (5, 40, 30)).astype("uint8")
    reflectance = rng.random((5, 12, 40, 30)) * (clarity > 0)[:, None]
    seen = [Observation(str(n), reflectance[n], clarity[n]) for n in range(5)]
    composite = compose_median(seen)
    clear = np.where((clarity == 2)[:, None], reflectance, np.nan)
    some = (clarity == 2).any(axis=0)
    assert np.allclose(composite.bands[:12, some], np.nanmedian(clear[:, :, some], axis=0))
    ndvi = (clear[:, 7] - clear[:, 3]) / (clear[:, 7] + clear[:, 3])
    assert np.allclose(composite.bands[12, some], np.nanmedian(ndvi[:, some], axis=0))
    assert (composite.bands[:, ~some] == compose_best(seen).bands[:, ~some]).all()
    assert (composite.clarity == clarity.max(axis=0)).all()
    assert np.isclose(sum(composite.shares), composite.valid_fraction)


def test_the_median_of_one_observation_is_that_observation():
    only = observation("a", [2, 1, 0])
    assert (compose_median([only]).bands == compose_best([only]).bands).all()


def test_observations_are_let_go_one_after_the_other():
    living, most = [], 0

    def read():
        nonlocal most
        for number in range(20):
            reflectance = np.full((12, 250, 250), 0.1 + number / 100)
            living.append(weakref.ref(reflectance))
            most = max(most, sum(ref() is not None for ref in living))
            yield Observation(str(number), reflectance, np.full((250, 250), 1, "uint8"))

    assert compose_best(read()).shares == (1.0, *[0.0] * 19)
    assert most <= 4
