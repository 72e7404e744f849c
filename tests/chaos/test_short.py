"""Much at once to one region, in little time; the long tests are in the other files."""

import time

import pytest

from tests.chaos.faults import flush, kill_redis, plan_kills, strike_all

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]


def test_a_region_is_the_same_when_its_workers_redis_and_the_ledger_are_lost_on_the_way(stage, paris, chance):
    run = stage.region("FR101")
    run.await_begun()
    killed = strike_all(
        stage, run, [plan_kills(chance, service, 2) for service in ("dispatcher", "image_worker")]
    )
    kill_redis(stage)
    time.sleep(chance.uniform(0, 2))
    assert not run.is_over
    flush(stage)
    begin = time.monotonic()
    ended = run.wait()
    assert ended.code == 0, ended.stderr
    assert killed >= 2
    stage.check(paris, "FR101")
    stage.tally.recovered(ended.at - begin, "FLUSHALL")
    stage.spoilt = False
