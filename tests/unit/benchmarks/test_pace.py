"""What simulated tasks are taken to cost."""

import pytest

from benchmarks.pace import STANDS_FOR, price_cut
from landpatch.patch import Patch


def block(side: int) -> list[str]:
    """Names of a square of patches, whose lower-left corner lies on a corner of tiles."""
    cells = ((x, y) for x in range(side) for y in range(side))
    return [Patch(0, 5_120_000 + 2500 * x, 2_560_000 + 2500 * y, 0).name for x, y in cells]


def test_a_whole_product_takes_what_the_benchmark_of_a_whole_product_says():
    """docs/deployment.md: 206 s of one core, some 520 MB."""
    cut = price_cut(block(44))
    assert cut.cpu_s == pytest.approx(206, abs=1)
    assert cut.bytes == pytest.approx(525e6, rel=0.01)


def test_a_patch_stands_for_several():
    cut = price_cut(block(1))
    assert STANDS_FOR == 8
    assert cut.cpu_s == pytest.approx(8 * (0.83 + 0.055))
    assert cut.bytes == pytest.approx(8 / 121 * 525e6, rel=1e-6)


def test_no_message_takes_more_than_a_whole_product():
    assert price_cut(block(60)) == price_cut(block(44))
