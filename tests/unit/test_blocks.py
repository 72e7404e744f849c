"""Label blocks: every patch once, no window larger than allowed, few of them."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from landpatch.blocks import GAP_CELLS, bound_block, halve_block, lay_blocks, lay_rectangles
from landpatch.grid import lay_grid
from landpatch.patch import Patch
from landpatch.sources.clcplus import USUAL_LIMITS
from landpatch.sources.gisco import fetch_boundaries, pick_region
from landpatch.sources.http import make_session

cells = st.lists(st.tuples(st.integers(0, 80), st.integers(0, 80)), max_size=200, unique=True).map(
    lambda at: [Patch(number, 2500 * col, 2500 * row, 0) for number, (col, row) in enumerate(at)]
)
sides = st.integers(250, 5000)


def size_px(block):
    west, south, east, north = bound_block(block)
    return (east - west) // 10, (north - south) // 10


@given(cells, sides, sides, st.randoms(use_true_random=False))
def test_every_patch_is_in_one_block_and_no_window_is_too_large_whatever_the_order(
    patches, width, height, rng
):
    blocks = lay_blocks(patches, width, height)
    assert sorted(patch for block in blocks for patch in block) == sorted(patches)
    for block in blocks:
        assert size_px(block)[0] <= width
        assert size_px(block)[1] <= height
    shuffled = list(patches)
    rng.shuffle(shuffled)
    assert lay_blocks(shuffled, width, height) == blocks


@given(st.integers(1, 40), st.integers(1, 40), sides, sides)
def test_a_full_rectangle_takes_as_few_blocks_as_it_can(cols, rows, width, height):
    patches = [Patch(0, 2500 * col, 2500 * row, 0) for col in range(cols) for row in range(rows)]
    fewest = math.ceil(cols / (width // 250)) * math.ceil(rows / (height // 250))
    assert len(lay_blocks(patches, width, height)) == fewest


def test_islands_far_from_each_other_have_blocks_of_their_own():
    near, far = 2500 * GAP_CELLS, 2500 * (GAP_CELLS + 1)
    assert len(lay_blocks([Patch(0, 0, 0, 0), Patch(1, near, 0, 0)], 15_000, 4_100)) == 1
    assert len(lay_blocks([Patch(0, 0, 0, 0), Patch(1, far, 0, 0)], 15_000, 4_100)) == 2


def test_luxembourg_takes_no_more_than_ten_windows_of_the_usual_size(data):
    boundaries = fetch_boundaries(str(data / "boundaries.geojson"), make_session())
    patches = lay_grid(pick_region(boundaries, "LU000").boundary)
    assert len(patches) == 481
    assert len(lay_blocks(patches, USUAL_LIMITS.width, USUAL_LIMITS.height)) <= 10


def test_a_service_that_gives_less_than_a_patch_is_of_no_use():
    with pytest.raises(ValueError, match="less than a patch"):
        lay_blocks([], 249, 4100)


@given(cells.filter(lambda patches: len(patches) > 1))
def test_halves_hold_every_patch_once_and_are_smaller(block):
    first, rest = halve_block(block)
    assert first
    assert rest
    assert sorted(first + rest) == sorted(block)
    longer = max(size_px(block))
    assert all(max(size_px(half)) <= longer for half in (first, rest))
    assert all(math.prod(size_px(half)) < math.prod(size_px(block)) for half in (first, rest))


@given(cells, st.integers(1, 12), st.randoms(use_true_random=False))
def test_rectangles_hold_every_patch_once_and_nothing_else_whatever_the_order(patches, most, rng):
    rectangles = lay_rectangles(patches, most)
    assert sorted(patch for block in rectangles for patch in block) == sorted(patches)
    for block in rectangles:
        width, height = size_px(block)
        assert len(block) == (width // 250) * (height // 250)
        assert max(width, height) <= 250 * most
    shuffled = list(patches)
    rng.shuffle(shuffled)
    assert lay_rectangles(shuffled, most) == rectangles


def test_a_full_rectangle_is_one_where_it_is_allowed():
    patches = [Patch(0, 2500 * col, 2500 * row, 0) for col in range(12) for row in range(10)]
    assert sorted(map(len, lay_rectangles(patches, 10))) == [20, 100]
