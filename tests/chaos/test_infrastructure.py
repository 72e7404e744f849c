"""Redis, the destination store and the whole machine are lost while a region is built."""

import time

import pytest

from tests.chaos.faults import STORE_FAULTS, flush, kill_redis
from tests.chaos.stage import Stage

pytestmark = [pytest.mark.stack, pytest.mark.chaos, pytest.mark.timeout(1800)]

LATEST = 22
"""A single fault comes at the latest when so many of the 28 images are stored."""
AWAY_S = 8.0
"""So long the store is away; longer than a client tries again by itself."""


def end_well(stage: Stage, run, paris, since: float, what: str) -> None:
    """The run that was disturbed has to end by itself, and as if it had not been."""
    ended = run.wait()
    assert ended.code == 0, ended.stderr
    stage.tally.recovered(ended.at - since, what)
    stage.check(paris, "FR101")
    stage.spoilt = False


def test_a_region_is_the_same_when_redis_is_killed_and_comes_back_from_its_file(stage, paris, chance):
    run = stage.region("FR101")
    run.await_begun()
    for _ in range(4):
        time.sleep(chance.uniform(0, paris.seconds / 5))
        kill_redis(stage)
    end_well(stage, run, paris, time.monotonic(), "redis")


@pytest.mark.parametrize("moment", range(3))
def test_a_region_is_the_same_when_redis_forgets_everything(stage, paris, chance, moment):
    run = stage.region("FR101")
    run.await_begun()
    run.await_images(chance.randint(1, LATEST))
    assert not run.is_over
    made = flush(stage)
    assert made
    end_well(stage, run, paris, time.monotonic(), "FLUSHALL")
    now = stage.made()
    assert [path.name for path in made if now.get(path) != made[path]] == [], "made again"


@pytest.mark.parametrize("fault", STORE_FAULTS)
def test_a_region_is_the_same_when_the_store_is_away_for_a_while(stage, paris, chance, fault):
    run = stage.region("FR101")
    run.await_begun()
    for _ in range(2):
        time.sleep(chance.uniform(0, paris.seconds / 3))
        STORE_FAULTS[fault](stage, AWAY_S)
    end_well(stage, run, paris, time.monotonic(), f"store {fault}")


@pytest.mark.parametrize("moment", range(3))
def test_a_region_is_the_same_when_everything_is_killed_and_started_again(stage, paris, chance, moment):
    run = stage.region("FR101")
    run.await_begun()
    run.await_images(chance.randint(0, LATEST))
    assert not run.is_over
    run.kill()
    stage.kill_everything()
    begin = time.monotonic()
    started = stage.make("up")
    assert started.returncode == 0, started.stderr
    built = stage.make("region", "NUTS=FR101", "JSON=1")
    assert built.returncode == 0, built.stderr
    stage.tally.recovered(time.monotonic() - begin, "whole stack")
    stage.check(paris, "FR101")
    stage.spoilt = False
