"""The land cover of the sandbox."""

import numpy as np
import pytest

from services.sandbox.landscape import class_at, class_window, load_regions

PARIS = (3755000, 2885000)


def test_a_window_is_part_of_every_larger_window():
    large = class_window(*PARIS, 700, 900)
    small = class_window(PARIS[0] + 1000, PARIS[1] + 2000, 150, 80)
    np.testing.assert_array_equal(small, large[900 - 200 - 80 : 900 - 200, 100:250])


def test_points_find_the_class_of_the_pixel_they_lie_in():
    window = class_window(*PARIS, 60, 40)
    x = PARIS[0] + np.arange(60)[None, :] * 10 + np.full((40, 1), 9.9)
    y = PARIS[1] + 400 - np.arange(40)[:, None] * 10 - np.full((1, 60), 9.9)
    np.testing.assert_array_equal(class_at(x, y), window)


def test_only_classes_of_the_product_occur_inland():
    codes = set(np.unique(class_window(*PARIS, 2000, 2000)).tolist())
    assert codes <= set(range(1, 12))
    assert {1, 2, 3, 6, 7, 10} <= codes


def test_the_coast_has_land_then_coastal_sea_then_nothing():
    x, y = (int(edge) // 10 * 10 for edge in load_regions()["MT001"].bounds[:2])
    codes = class_window(x - 20_000, y - 20_000, 5000, 5000)
    counts = np.bincount(codes.ravel(), minlength=256)
    assert counts[1:12].sum() > 0
    assert counts[253] > 0
    assert counts[254] > 0
    assert counts[[0, 255]].sum() == 0
    land = np.pad((codes < 12)[2:-2, 2:-2], 1)
    grown = land[:-2, 1:-1] | land[2:, 1:-1] | land[1:-1, :-2] | land[1:-1, 2:]
    assert not (grown & (codes[2:-2, 2:-2] == 254)).any()


def test_the_earlier_edition_differs_a_little():
    changed = (class_window(*PARIS, 1000, 1000, 2018) != class_window(*PARIS, 1000, 1000, 2021)).mean()
    assert 0.0005 < changed < 0.05


def test_a_corner_off_the_lattice_is_refused():
    with pytest.raises(ValueError, match="multiple of 10"):
        class_window(5, 0, 10, 10)
