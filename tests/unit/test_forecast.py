"""The forecast: the planner's own first round, later rounds by the clouds, sums that add up."""

from dataclasses import replace

import pytest
from shapely.geometry import box

from landpatch.coverage import measure_coverage
from landpatch.forecast import (
    BAND_SHARE,
    CLOUD_POWER,
    PATCH_CPU_S,
    PRODUCT_BYTES,
    TILE_CPU_S,
    TILE_M,
    Forecast,
    count_tiles,
    forecast_images,
    price_parts,
    price_rendered,
    price_whole,
)
from landpatch.grid import lay_grid
from landpatch.quota import PROCESSING, Quota
from tests.unit.test_coverage import AROUND, NAMES, PATCHES, scene

QUOTA = Quota(
    connections=4, connection_bytes_per_s=20_000_000, requests_per_minute=2000, volume_per_30_days=12 * 10**12
)
EAST = box(4010000, 2990000, 4040000, 3020000)


def test_clear_scenes_take_one_round_and_each_product_once():
    coverage = measure_coverage(PATCHES, [scene("whole", 0), scene("other", 0, day=2)])
    made = forecast_images(coverage, NAMES, 6)
    assert (made.images, made.products, made.tasks, made.rounds, made.uncovered) == (len(NAMES), 1, 1, 1, 0)
    assert made.cpu_s == pytest.approx(TILE_CPU_S * count_tiles(PATCHES) + PATCH_CPU_S * len(PATCHES))


def test_patches_that_are_there_are_not_forecast_and_those_that_nothing_covers_are_told():
    coverage = measure_coverage(PATCHES, [scene("east", 0, EAST)])
    wanted = NAMES[:2] + NAMES[-1:]
    made = forecast_images(coverage, wanted, 6)
    assert (made.images, made.uncovered) == (1, 2)
    assert forecast_images(coverage, [], 6) == Forecast()


def test_clouds_take_more_rounds_as_often_as_their_share_says():
    many = lay_grid(box(4000000, 3000000, 4100000, 3100000))
    around = box(3900000, 2900000, 4200000, 3200000)
    coverage = measure_coverage(many, [scene(str(day), 10, around, day) for day in range(1, 10)])
    made = forecast_images(coverage, [patch.name for patch in many], 3)
    # 1600 patches, in the second round those that were clouded in the first, in the third ...
    clouded = 1 - 0.9**CLOUD_POWER
    assert made.rounds == 3
    assert made.products == 3
    cut = (made.cpu_s - TILE_CPU_S * 3 * count_tiles(many)) / PATCH_CPU_S
    assert cut == pytest.approx(1600 * (1 + clouded + clouded**2), rel=0.05)


def test_a_patch_that_is_covered_in_part_takes_more_rounds_whatever_the_clouds():
    west = box(3990000, 2990000, 4001250, 3020000)
    coverage = measure_coverage(
        PATCHES[:1], [scene("west", 0, west), scene("east", 0, AROUND.difference(west), 2)]
    )
    made = forecast_images(coverage, NAMES[:1], 6)
    assert (made.products, made.rounds) == (2, 2)


def test_the_same_question_has_the_same_answer():
    coverage = measure_coverage(PATCHES, [scene(str(day), 20, day=day) for day in range(1, 9)])
    assert forecast_images(coverage, NAMES, 6) == forecast_images(coverage, NAMES, 6)


def test_a_product_whose_size_is_unknown_is_taken_to_be_as_large_as_most():
    one = scene("a", 0, baseline=(5, 12))
    known = replace(one, size=round(PRODUCT_BYTES))
    unknown = forecast_images(measure_coverage(PATCHES, [one]), NAMES, 6)
    assert unknown == forecast_images(measure_coverage(PATCHES, [known]), NAMES, 6)
    assert 0.02 < unknown.bytes / PRODUCT_BYTES < 0.2


def test_tiles_are_counted_once_however_many_patches_touch_them():
    cells = lay_grid(box(390 * TILE_M, 300 * TILE_M, 393 * TILE_M, 302 * TILE_M), "within")
    assert len(cells) > 60
    assert count_tiles(cells) == 6
    assert count_tiles(cells[:1] * 50) <= 4
    assert count_tiles([]) == 0


def test_forecasts_of_regions_add_up_and_their_rounds_run_side_by_side():
    one, other = (
        Forecast(patches=3, rounds=2, bytes=5, cpu_s=1.5),
        Forecast(patches=4, rounds=5, bytes=7, cpu_s=2),
    )
    assert one + other == Forecast(patches=7, rounds=5, bytes=12, cpu_s=3.5)


@pytest.mark.parametrize(
    ("made", "cores", "bound_s"),
    [
        (Forecast(cpu_s=1000, bytes=80_000_000), 2, 500),
        (Forecast(cpu_s=1000, bytes=80_000_000), 1000, 1),
        (Forecast(cpu_s=1, bytes=80_000_000 * 300), 2, 300),
        (Forecast(cpu_s=1, requests=2000 * 10), 2, 600),
    ],
)
def test_the_time_is_that_of_the_tightest_bound(made, cores, bound_s):
    assert made.duration_s(QUOTA, cores) == pytest.approx(bound_s)


def test_the_quota_is_told_in_days():
    assert Forecast(bytes=4 * 10**11).quota_days(QUOTA) == pytest.approx(1)


def test_a_source_of_whole_products_moves_all_of_them_in_one_request_each():
    scenes = [replace(scene("whole", 0, baseline=(5, 12)), size=10**9), scene("other", 0, day=2)]
    coverage = measure_coverage(PATCHES, scenes)
    parts, wholes = (forecast_images(coverage, NAMES[:1], 6, price) for price in (price_parts, price_whole))
    assert (wholes.bytes, wholes.requests, wholes.tasks) == (10**9, 1, 1)
    assert parts.bytes < 10**8
    assert wholes.cpu_s == parts.cpu_s
    unknown = forecast_images(measure_coverage(PATCHES, scenes[1:]), NAMES[:1], 6, price_whole)
    assert unknown.bytes == PRODUCT_BYTES


def test_of_a_product_that_does_not_say_where_its_tiles_lie_all_bands_are_moved():
    made = {}
    for baseline in ((5, 11), (5, 12)):
        one = replace(scene("one", 0, baseline=baseline), size=10**9)
        made[baseline] = forecast_images(measure_coverage(PATCHES, [one]), NAMES[:1], 6)
    assert made[5, 11].bytes == 10**9 * BAND_SHARE
    assert made[5, 12].bytes < made[5, 11].bytes / 10
    assert made[5, 12].requests < made[5, 11].requests
    assert made[5, 12].cpu_s == made[5, 11].cpu_s


def test_what_is_rendered_takes_processing_units_by_the_patch_and_no_decoding():
    many = lay_grid(box(4000000, 3000000, 4050000, 3025000))
    coverage = measure_coverage(many, [scene("whole", 0, box(3900000, 2900000, 4200000, 3200000))])
    made = forecast_images(coverage, [patch.name for patch in many], 6, price_rendered)
    assert len(many) == 200
    assert made.processing_units == pytest.approx(200 * 250 * 250 / 512**2 * 13 / 3 * 2)
    assert made.requests == 2
    assert made.cpu_s == pytest.approx(200 * PATCH_CPU_S)


def test_a_quota_of_processing_units_is_told_in_days_and_bounds_the_time():
    quota = Quota(4, 10**12, 300, 10_000_000, PROCESSING)
    made = Forecast(processing_units=1000, requests=5, bytes=10**9)
    assert made.quota_days(quota) == pytest.approx(3)
    assert made.duration_s(quota, 2) == pytest.approx(200)
