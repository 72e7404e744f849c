"""Coverage: few scenes, clear ones first, the same plan whatever the order of the catalogue."""

import random
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from pyproj import Transformer
from shapely.geometry import box

from landpatch.coverage import (
    Scene,
    drop_reprocessed,
    dump_scenes,
    load_scenes,
    measure_coverage,
    plan_first_round,
    plan_next_round,
)
from landpatch.grid import lay_grid

REGION = box(4000000, 3000000, 4020000, 3010000)
PATCHES = lay_grid(REGION)
AROUND = REGION.buffer(20000)
NAMES = [patch.name for patch in PATCHES]
TO_LONLAT = Transformer.from_crs("EPSG:3035", "EPSG:4326", always_xy=True)


def scene(id_, cloud=10.0, area=AROUND, day=1, baseline=(5, 10), last="20210701T000000"):
    footprint = area
    if area is not None:
        footprint = shapely.transform(
            shapely.segmentize(area, 2000),
            lambda xy: np.column_stack(TO_LONLAT.transform(xy[:, 0], xy[:, 1])),
        )
    sensed = datetime(2021, 6, day, 10, 50, 31, tzinfo=UTC)
    name = f"S2A_MSIL2A_{sensed:%Y%m%dT%H%M%S}_N{baseline[0]:02d}{baseline[1]:02d}_R051_T31UDQ_{last}.SAFE"
    return Scene(id_, name, f"Sentinel-2/{name}", "31UDQ", sensed, baseline, cloud, 0, footprint)


def test_one_clear_scene_that_covers_all_is_enough():
    coverage = measure_coverage(PATCHES, [scene("a", 20), scene("b", 3, day=2), scene("c", 10, day=3)])
    assert plan_first_round(coverage) == dict.fromkeys(NAMES, "b")


def test_a_scene_that_covers_half_leaves_the_rest_to_another():
    west = box(3990000, 2990000, 4010000, 3020000)
    coverage = measure_coverage(PATCHES, [scene("half", 1, west), scene("full", 25, day=2)])
    plan = plan_first_round(coverage)
    assert set(plan) == set(NAMES)
    assert all(plan[patch.name] == "full" for patch in PATCHES if patch.xmin >= 4010000)


def test_a_cloudy_scene_takes_only_what_the_clear_ones_leave():
    west = box(3990000, 2990000, 4010000, 3020000)
    coverage = measure_coverage(PATCHES, [scene("clear", 1, west), scene("cloudy", 90, day=2)])
    plan = plan_first_round(coverage)
    for patch in PATCHES:
        assert plan[patch.name] == ("clear" if patch.xmin < 4010000 else "cloudy")


def test_of_scenes_alike_the_earlier_is_taken_in_whatever_order_they_are_listed():
    alike = [scene("z", 5, day=1), scene("a", 5, day=2), scene("m", 5, day=3)]
    for listed in (alike, alike[::-1]):
        coverage = measure_coverage(PATCHES, listed)
        assert plan_first_round(coverage) == dict.fromkeys(NAMES, "z")
        assert plan_next_round(coverage, {NAMES[0]: ["z"]}, {}, 6) == {NAMES[0]: "a"}


def test_a_patch_that_no_scene_covers_whole_takes_the_one_that_covers_most():
    small = box(3990000, 2990000, 4001000, 3020000)
    coverage = measure_coverage(PATCHES[:1], [scene("a", 1, small), scene("b", 50, small.buffer(600), day=2)])
    assert plan_first_round(coverage) == {NAMES[0]: "b"}


def test_what_no_scene_shows_is_not_planned():
    away = box(5000000, 3000000, 5010000, 3010000)
    coverage = measure_coverage(PATCHES, [scene("a", 1, away)])
    assert plan_first_round(coverage) == {}
    assert plan_next_round(coverage, dict.fromkeys(NAMES, ()), {}, 6) == {}


def test_a_scene_without_a_footprint_may_cover_any_patch():
    coverage = measure_coverage(PATCHES, [scene("a", 1, None)])
    assert plan_first_round(coverage) == dict.fromkeys(NAMES, "a")


def test_the_next_scene_adds_ground_first_and_then_clearness():
    west, east = box(3990000, 2990000, 4001250, 3020000), box(4001250, 2990000, 4030000, 3020000)
    scenes = [scene("west", 1, west), scene("again", 2, west, day=2), scene("east", 30, east, day=3)]
    coverage = measure_coverage(PATCHES[:1], scenes)
    used = {NAMES[0]: ["west"]}
    assert plan_next_round(coverage, used, used, 6) == {NAMES[0]: "east"}
    used[NAMES[0]].append("east")
    assert plan_next_round(coverage, used, used, 6) == {NAMES[0]: "again"}
    used[NAMES[0]].append("again")
    assert plan_next_round(coverage, used, used, 6) == {}


def other_tile(scene_, id_, area=AROUND):
    """A scene of the same datatake in another tile."""
    copy = scene(id_, scene_.cloud_cover, area, scene_.sensed.day)
    return replace(copy, tile="31UEQ", name=copy.name.replace("31UDQ", "31UEQ"))


def test_a_datatake_that_has_shown_the_ground_is_not_taken_again_through_another_tile():
    first, late = scene("first", 5), scene("late", 20, day=2)
    coverage = measure_coverage(PATCHES[:1], [first, other_tile(first, "again"), late])
    assert plan_next_round(coverage, {NAMES[0]: ["first"]}, {NAMES[0]: ["first"]}, 6) == {NAMES[0]: "late"}
    tried = {NAMES[0]: ["first", "late"]}
    assert plan_next_round(coverage, tried, tried, 6) == {}


def test_a_datatake_that_could_not_be_read_may_be_taken_through_another_tile():
    first = scene("first", 5)
    coverage = measure_coverage(PATCHES[:1], [first, other_tile(first, "again"), scene("late", 20, day=2)])
    tried = {NAMES[0]: ["first", "late"]}
    assert plan_next_round(coverage, tried, {NAMES[0]: ["late"]}, 6) == {NAMES[0]: "again"}


def test_a_datatake_is_taken_again_for_the_ground_that_it_has_not_shown():
    most = box(3990000, 2990000, 4002490, 3020000)
    first = scene("first", 5, most)
    coverage = measure_coverage(PATCHES[:1], [first, other_tile(first, "rest")])
    tried = {NAMES[0]: ["first"]}
    assert plan_next_round(coverage, tried, tried, 6) == {NAMES[0]: "rest"}
    coverage = measure_coverage(PATCHES[:1], [first, other_tile(first, "rest", most)])
    assert plan_next_round(coverage, tried, tried, 6) == {}


def test_a_patch_uses_no_more_products_than_allowed():
    coverage = measure_coverage(PATCHES[:1], [scene(str(n), n, day=n + 1) for n in range(5)])
    assert plan_next_round(coverage, {NAMES[0]: ["0", "1"]}, {}, 2) == {}


def test_of_a_reprocessed_acquisition_only_the_highest_baseline_is_kept():
    old, new = scene("old", baseline=(3, 1)), scene("new", baseline=(5, 10), last="20230101T000000")
    other = scene("other", day=2, baseline=(3, 1))
    assert {kept.id for kept in drop_reprocessed([old, new, other])} == {"new", "other"}


def test_both_halves_of_a_split_datastrip_are_kept():
    halves = [scene("a", last="20210701T000157"), scene("b", last="20210701T000158")]
    assert {kept.id for kept in drop_reprocessed(halves)} == {"a", "b"}


def test_scenes_survive_being_kept_as_text():
    scenes = [scene("a", 3.25), scene("b", 4, None)]
    assert load_scenes(dump_scenes(scenes)) == scenes


areas = st.tuples(st.integers(0, 8), st.integers(0, 4), st.integers(1, 9), st.integers(1, 5)).map(
    lambda t: box(
        3998000 + t[0] * 2500,
        2998000 + t[1] * 2500,
        3998000 + (t[0] + t[2]) * 2500,
        2998000 + (t[1] + t[3]) * 2500,
    )
)
catalogues = st.lists(
    st.builds(
        lambda cloud, area, day, last: scene(
            f"{day}-{last}-{cloud}", cloud, area, day, last=f"2021070{last}T000000"
        ),
        st.integers(0, 100),
        st.none() | areas,
        st.integers(1, 28),
        st.integers(1, 3),
    ),
    max_size=12,
    unique_by=lambda s: s.id,
)


@given(catalogues, st.randoms(use_true_random=False))
def test_the_plan_covers_what_can_be_covered_whatever_the_order(scenes, rng: random.Random):
    shuffled = list(scenes)
    rng.shuffle(shuffled)
    coverage = measure_coverage(PATCHES, scenes)
    plan = plan_first_round(coverage)
    assert plan == plan_first_round(measure_coverage(PATCHES, shuffled))
    for number, patch in enumerate(PATCHES):
        candidates = {coverage.scenes[n].id for n in coverage.shares_of(number)}
        assert (patch.name in plan) == bool(candidates)
        assert plan.get(patch.name) in candidates | {None}


def choose_greedily(coverage):
    """The definition of the first round, without any care for time."""
    shares = [coverage.shares_of(number) for number in range(len(PATCHES))]
    left = {number for number in range(len(PATCHES)) if shares[number]}
    plan = {}
    while left:
        gains = []
        for number, chosen in enumerate(coverage.scenes):
            own = [p for p in left if shares[p].get(number, 0) >= max(shares[p].values()) - 1e-6]
            gains.append((len(own) * (1 - chosen.cloud_cover / 100), len(own) > 0, -number, own))
        _, _, number, own = max(gains)
        plan |= {NAMES[patch]: coverage.scenes[-number].id for patch in own}
        left -= set(own)
    return plan


@given(catalogues)
def test_the_first_round_is_the_greedy_cover(scenes):
    coverage = measure_coverage(PATCHES, scenes)
    assert plan_first_round(coverage) == choose_greedily(coverage)


@given(catalogues)
def test_rounds_go_through_every_candidate_once_and_end(scenes):
    coverage = measure_coverage(PATCHES[:3], scenes)
    tried = {name: [scene] for name, scene in plan_first_round(coverage).items()}
    while plan := plan_next_round(coverage, tried, {}, 100):
        for name, chosen in plan.items():
            assert chosen not in tried[name]
            tried[name].append(chosen)
    for number in range(3):
        wanted = {coverage.scenes[n].id for n in coverage.shares_of(number)}
        assert set(tried.get(NAMES[number], [])) == wanted


def test_a_footprint_is_compared_on_the_ground_not_in_degrees():
    edge = box(3990000, 2990000, 4005000, 3020000)
    coverage = measure_coverage(PATCHES, [scene("a", 1, edge)])
    for number, patch in enumerate(PATCHES):
        expected = 1.0 if patch.xmin < 4005000 else 0.0
        assert coverage.shares_of(number).get(0, 0.0) == pytest.approx(expected, abs=0.01)
