"""Bad neighbours: a flood of messages, many regions at once, a task that kills its worker."""

import time

import pytest

from landpatch.celery import make_app
from landpatch.settings import Settings
from tests.boundaries import write_boundaries
from tests.chaos import insides
from tests.integration.conftest import Stack
from tests.sandbox_products import take_products
from tests.waiting import wait_until

pytestmark = [pytest.mark.stack, pytest.mark.chaos, pytest.mark.timeout(3600)]

FLOOD = 100_000
FLOOD_TIMEOUT_S = 1500
"""A worker drops a message in some milliseconds."""
TWENTY_TIMEOUT_S = 900
AT_ONCE = 20
STALE = {"version": 1, "run": "0" * 32, "nuts": "FR101", "year": 2021, "round": 1}
PATCH = "3757500_2887500_0_20"
NOBODY_WANTS: dict[str, list[tuple[str, dict]]] = {
    "dispatch": [("dispatch.advance_region", STALE), ("dispatch.plan_region", {"version": 99})],
    "images": [("images.cut_scene", STALE), ("images.settle_patches", STALE | {"block": "\x00"})],
    "labels": [
        ("labels.fetch_labels", STALE | {"label_year": 2021, "block": 0, "patches": [PATCH]}),
        ("labels.fetch_labels", {}),
    ],
    "index": [("index.write_index", {"run": None})],
}
"""By queue, tasks and messages of a run that is over, of a version to come, and of no sense at all."""


def test_a_region_is_the_same_in_a_flood_of_messages_that_nobody_wants(stage, paris):
    app = make_app("chaos", Settings.model_validate(Stack(stage.state).settings()))
    models = {}
    for queue, entries in NOBODY_WANTS.items():
        for task, message in entries:
            app.send_task(task, kwargs={"message": message}, queue="chaos-models")
        models[queue] = [stage.redis.rpop("chaos-models") for _ in entries]
    begin = time.monotonic()
    shares = {"dispatch": 0.16, "images": 0.34, "labels": 0.34, "index": 0.16}
    for queue, share in shares.items():
        insides.multiply(stage.redis, queue, models[queue], round(FLOOD * share))
    assert insides.waiting(stage.redis).total() > FLOOD * 0.9
    stage.tally.faults[f"flood of {FLOOD} messages"] += 1
    ended = stage.region("FR101").wait(FLOOD_TIMEOUT_S)
    assert ended.code == 0, ended.stderr
    wait_until(
        lambda: not insides.waiting(stage.redis).total(),
        FLOOD_TIMEOUT_S - (time.monotonic() - begin),
        "the flood has drained",
    )
    stage.check(paris, "FR101")
    stage.redis.delete("_kombu.binding.chaos-models")
    stage.spoilt = False


def test_twenty_regions_at_once_are_the_same_as_one_after_the_other(tmp_path, data, make_stage):
    boundaries = tmp_path / "boundaries.geojson"
    codes = write_boundaries(data / "boundaries.geojson", boundaries, AT_ONCE)
    stage = make_stage("twenty", LANDPATCH_NUTS_URL=str(boundaries))
    stage.make_ready()
    # With every setting spelled out the sandbox is not asked for products of regions it does not know.
    settings = Stack(stage.state).settings() | {"LANDPATCH_NUTS_URL": str(boundaries)}
    alone = stage.build(*codes, **settings)
    runs = [stage.region(code, **settings) for code in codes]
    deadline = time.monotonic() + TWENTY_TIMEOUT_S
    for run in runs:
        ended = run.wait(deadline - time.monotonic())
        assert ended.code == 0, ended.stderr
    stage.check(alone, *codes)
    stage.down()


def test_a_small_region_that_comes_late_does_not_wait_for_a_large_one(make_stage, paris):
    stage = make_stage("late", "LU000")
    take_products("FR101", stage.state / "sandbox")
    stage.make_ready()
    large = stage.region("LU000")
    # Of its first round's three products two are in hand.
    wait_until(
        lambda: insides.waiting(stage.redis)["images"] >= 1, 300, "a product of the large region waits"
    )
    small = stage.region("FR101").wait(300)
    assert small.code == 0, small.stderr
    assert not large.is_over
    ended = large.wait(900)
    assert ended.code in {0, 3}, ended.stderr
    of_paris = {name: value for name, value in stage.objects().items() if "/FR101/" in name}
    assert of_paris == paris.objects
    stage.check_quiet("FR101", "LU000")
    stage.tally.regions += 2
    stage.tally.objects += len(of_paris)
    stage.down()


def test_a_task_that_kills_its_worker_each_time_is_given_up_and_taken_up_again(stage, paris):
    run = stage.region("FR101")
    run.await_begun()
    killed = 0
    deadline = time.monotonic() + 300
    while not run.is_over and time.monotonic() < deadline:
        family = stage.family("image_worker")
        if (stage.ask(insides.in_hand) or {}).get("images") and len(family) > 1:
            time.sleep(0.5)
            for child in family[1:]:
                stage.kill(child, "image_worker child")
            killed += 1
        time.sleep(0.05)
    ended = run.wait()
    assert ended.code == 3, ended.stderr
    assert killed >= 5
    assert ended.result["missing"]
    stage.check_quiet("FR101")
    retried = stage.obey([*stage.command("retry"), "FR101"], 300)
    assert retried.returncode == 0, retried.stderr
    ended = stage.region("FR101").wait()
    assert ended.code == 0, ended.stderr
    stage.check(paris, "FR101")
    stage.spoilt = False
