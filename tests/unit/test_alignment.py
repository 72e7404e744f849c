"""The shift between an image and its label is found, and nothing is said where nothing can be told."""

import numpy as np
import pytest

from landpatch.alignment import compare_edges


def fields(seed=0):
    """A label of blocks, (260, 260)."""
    rng = np.random.default_rng(seed)
    return np.kron(rng.integers(1, 8, (20, 20)), np.ones((13, 13), int)).astype("uint8")


@pytest.mark.parametrize("shift", [(0, 0), (1, 0), (0, -1), (-3, 2)])
def test_the_shift_that_would_bring_the_image_onto_the_label_is_found(shift):
    label = fields()
    rng = np.random.default_rng(1)
    reflectance = rng.random(12)[label] + rng.normal(0, 0.05, label.shape)
    image = np.broadcast_to(np.roll(reflectance, (-shift[0], -shift[1]), (0, 1)), (14, 260, 260))
    part = slice(5, 255)
    agreement = compare_edges(image[:, part, part], label[part, part])
    assert agreement.best_shift == shift


def test_a_label_without_edges_tells_nothing():
    image = np.random.default_rng(1).random((14, 250, 250))
    assert compare_edges(image, np.full((250, 250), 3, "uint8")) is None
