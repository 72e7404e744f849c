"""Much at once to one region, in little time; the long tests are in the other files."""

import time

import pytest

from services.stack.parts import WORKERS
from tests.chaos.faults import flush, kill_redis, plan_kills, strike_all

pytestmark = pytest.mark.stack


def test_a_region_is_the_same_when_its_workers_are_killed(stage, paris, chance):
    run = stage.region("FR101")
    run.await_begun()
    killed = strike_all(stage, run, [plan_kills(chance, service, 1) for service in WORKERS])
    last = time.monotonic()
    ended = run.wait()
    assert ended.code == 0, ended.stderr
    assert killed >= 2
    stage.tally.recovered(ended.at - last, "workers")
    stage.check(paris, "FR101")
    stage.spoilt = False


def test_a_region_is_the_same_when_redis_is_killed_and_then_forgets_everything(stage, paris, chance):
    run = stage.region("FR101")
    run.await_begun()
    for lose in (kill_redis, flush):
        time.sleep(chance.uniform(0, paris.seconds / 3))
        lose(stage)
    last = time.monotonic()
    ended = run.wait()
    assert ended.code == 0, ended.stderr
    stage.tally.recovered(ended.at - last, "FLUSHALL")
    stage.check(paris, "FR101")
    stage.spoilt = False
