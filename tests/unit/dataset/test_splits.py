"""Splits: whole blocks, no ground in two parts, the same on every machine."""

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

import landpatch
from landpatch.dataset.splits import split_patches
from landpatch.errors import RequestError
from tests.training_sets import write_own

THIRDS = {"train": 0.5, "val": 0.25, "test": 0.25}


def lattice(columns, rows, west=3_750_000, south=2_890_000):
    """Bounds of patches side by side, (patch, 4)."""
    x, y = np.meshgrid(west + 2500.0 * np.arange(columns), south + 2500.0 * np.arange(rows))
    corners = np.stack([x.ravel(), y.ravel()], axis=1)
    return np.hstack([corners, corners + 2500])


def shared_m2(bounds, one, other):
    """Ground that two parts have in common."""
    ground = [shapely.union_all(shapely.box(*bounds[numbers].T)) for numbers in (one, other)]
    return ground[0].intersection(ground[1]).area


def pairs_of(parts):
    names = sorted(parts)
    return [(parts[a], parts[b]) for a in names for b in names if a < b]


def test_a_block_goes_to_one_part_as_a_whole():
    bounds = lattice(24, 24)
    parts = split_patches(bounds, THIRDS, 10_000, 0, 0)
    blocks = [{tuple(corner) for corner in (bounds[part, :2] // 10_000).tolist()} for part in parts.values()]
    assert sum(map(len, blocks)) == 36  # 6 by 6 blocks of 4 by 4 patches, none in two parts
    assert sorted(number for part in parts.values() for number in part) == list(range(576))


def test_fractions_are_met_as_well_as_whole_blocks_can():
    parts = split_patches(lattice(40, 40), THIRDS, 10_000, 3, 0)
    sizes = {part: len(numbers) / 1600 for part, numbers in parts.items()}
    assert sizes == pytest.approx(THIRDS, abs=16 / 1600)


def test_a_part_of_no_fraction_is_empty_and_a_single_part_has_all():
    parts = split_patches(lattice(8, 8), {"train": 1, "test": 0}, 10_000, 0, 0)
    assert (len(parts["train"]), parts["test"]) == (64, [])


def test_the_split_is_known_once_and_for_all():
    """A change of these numbers changes everybody's parts."""
    bounds = lattice(12, 12)
    parts = split_patches(bounds, THIRDS, 10_000, 0, 0)
    blocks = {
        part: {tuple(block) for block in (bounds[numbers, :2] // 10_000 - [375, 289]).tolist()}
        for part, numbers in parts.items()
    }
    assert blocks == {
        "train": {(0, 1), (0, 2), (1, 2), (2, 1), (2, 2)},
        "val": {(1, 1), (2, 0)},
        "test": {(0, 0), (1, 0)},
    }


def test_another_seed_gives_another_split():
    splits = [split_patches(lattice(24, 24), THIRDS, 10_000, seed, 0) for seed in range(5)]
    assert len({tuple(split["test"]) for split in splits}) == 5


def test_the_order_of_patches_does_not_matter():
    bounds = lattice(12, 12)
    order = np.random.default_rng(0).permutation(len(bounds))
    straight = split_patches(bounds, THIRDS, 10_000, 0, 0)
    shuffled = split_patches(bounds[order], THIRDS, 10_000, 0, 0)
    for part, numbers in straight.items():
        assert sorted(order[shuffled[part]].tolist()) == numbers


def test_years_of_a_place_stay_together(tmp_path):
    patches = [
        f"{3_750_000 + 2500 * col}_{2_890_000 + 2500 * row}_0_{col + 4 * row}"
        for row in range(2)
        for col in range(4)
    ]
    write_own(tmp_path, "FR101", 2018, patches)
    write_own(tmp_path, "FR101", 2021, patches)
    parts = landpatch.open(tmp_path / "data").split({"train": 0.5, "test": 0.5}, block_m=2500)
    for part in parts.values():
        years = [{entry.patch for entry in part.entries if entry.year == year} for year in (2018, 2021)]
        assert years[0] == years[1] != set()


def overlapping():
    """Two regions whose grids are anchored apart, as those of neighbours in the public training set."""
    return np.vstack([lattice(16, 16), lattice(16, 16, west=3_750_000 + 39_000, south=2_890_000 + 700)])


@pytest.mark.parametrize("seed", range(8))
def test_no_two_parts_share_ground_where_grids_overlap(seed):
    bounds = overlapping()
    parts = split_patches(bounds, THIRDS, 10_000, seed, 0)
    for one, other in pairs_of(parts):
        assert shared_m2(bounds, one, other) < 1
    left_out = len(bounds) - sum(map(len, parts.values()))
    assert 0 < left_out < 40


@pytest.mark.parametrize("gap_m", [1, 2500, 6000])
def test_no_two_parts_come_nearer_than_the_gap(gap_m):
    bounds = lattice(32, 32)
    parts = split_patches(bounds, THIRDS, 20_000, 1, gap_m)
    boxes = shapely.box(*bounds.T)
    for one, other in pairs_of(parts):
        tree = shapely.STRtree(boxes[one])
        # Nearer along both axes: the gap is a square's, not a circle's.
        assert not len(tree.query(boxes[other], predicate="dwithin", distance=gap_m * 0.999)[0])
    assert min(map(len, parts.values())) > 0


@given(
    st.integers(1, 12),
    st.integers(1, 12),
    st.integers(0, 10**6),
    st.sampled_from([2500, 5000, 7777.7, 40_000]),
    st.integers(-3, 3),
    st.integers(0, 2499),
)
def test_every_split_is_leakage_free_and_complete_without_a_gap(columns, rows, seed, block_m, west, off):
    bounds = lattice(columns, rows, west * 2500 + off, off)
    try:
        parts = split_patches(bounds, THIRDS, block_m, seed, 0)
    except RequestError as error:
        assert "too few for 3 parts" in str(error)
        return
    assert sorted(number for part in parts.values() for number in part) == list(range(len(bounds)))
    assert all(parts.values())


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"fractions": {}}, "sum to 1"),
        ({"fractions": {"train": 0.5, "test": 0.4}}, "sum to 1"),
        ({"fractions": {"train": 1.5, "test": -0.5}}, "sum to 1"),
        ({"fractions": {"train": float("nan")}}, "sum to 1"),
        ({"block_m": 100}, "a block has to be 2500 m or more"),
        ({"block_m": float("inf")}, "a block has to be"),
        ({"gap_m": -1}, "a gap has to be 0 m or more"),
        ({"block_m": 100_000}, "too few for 3 parts: choose a smaller block_m"),
        ({"block_m": 2500, "gap_m": 50_000}, "leaves nothing of"),
    ],
)
def test_what_makes_no_split_is_refused_in_one_line(paris, asked, says):
    with pytest.raises(RequestError, match=says) as refused:
        paris.split(**asked)
    assert "\n" not in str(refused.value)
