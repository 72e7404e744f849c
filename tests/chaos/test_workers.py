"""Workers are killed at random moments while they work; the region is the same as without."""

import time

import pytest

from services.stack.parts import WORKERS
from tests.chaos.faults import KILLS_A_RUN, plan_kills, strike_all

pytestmark = [pytest.mark.stack, pytest.mark.chaos, pytest.mark.timeout(2400)]

MOST_RUNS = 8


def disturb(stage, paris, chance, services, least):
    """Build FR101 again and again, until so many kills have been made."""
    killed = 0
    for _ in range(MOST_RUNS):
        run = stage.region("FR101")
        run.await_begun()
        killed += strike_all(stage, run, [plan_kills(chance, service, KILLS_A_RUN) for service in services])
        last = time.monotonic()
        ended = run.wait()
        assert ended.code == 0, ended.stderr
        stage.tally.recovered(ended.at - last, " and ".join(services))
        stage.check(paris, "FR101")
        if killed >= least:
            break
        stage.clear()
    assert killed >= least
    stage.spoilt = False


@pytest.mark.parametrize("service", WORKERS)
def test_a_region_is_the_same_when_workers_of_a_service_are_killed(stage, paris, chance, service):
    disturb(stage, paris, chance, [service], 8)


def test_a_region_is_the_same_when_workers_of_all_services_are_killed(stage, paris, chance):
    disturb(stage, paris, chance, list(WORKERS), 24)
