"""A part is waited for while there is hope, and named with what is wrong with it when there is none."""

import time
from itertools import count, repeat

import pytest

from services.stack import health
from services.stack.health import MOST_STARTS, await_part
from services.stack.manager import PartState


class Manager:
    """supervisord, which has this to say of the reconciler, one look after the other."""

    def __init__(self, *said):
        self.said = iter([*said, *repeat(said[-1], 1000)])

    def states(self):
        state, pid = next(self.said)
        other = PartState("redis", "RUNNING", 1, 9.0)
        return None if state is None else [other, PartState("reconciler", state, pid, 0.0)]


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr(health, "POLL_S", 0)


def fault(manager, check=None, patience_s=1000.0):
    return await_part(manager, "reconciler", check, time.monotonic() + patience_s)


def test_a_part_that_starts_slowly_is_waited_for():
    assert fault(Manager(*[("STARTING", 7)] * 50, ("RUNNING", 7))) is None


def test_a_part_that_runs_is_waited_for_until_it_answers():
    answers = iter([False] * 20 + [True])
    assert fault(Manager(("RUNNING", 7)), lambda: next(answers)) is None
    assert next(answers, "all were asked for") == "all were asked for"


def test_a_part_that_needs_a_few_starts_comes_up():
    starts = [("BACKOFF", 0) if number % 2 else ("STARTING", number + 1) for number in range(2 * MOST_STARTS)]
    assert fault(Manager(*starts, ("RUNNING", starts[-2][1]))) is None


def test_a_part_that_ends_whenever_it_is_started_is_given_up():
    pids = count(100)
    manager = Manager(*[("RUNNING", next(pids)) for _ in range(MOST_STARTS + 1)])
    assert fault(manager, lambda: False) == f"ends as soon as it is started, {MOST_STARTS} times so far"


@pytest.mark.parametrize(
    ("state", "says"), [("FATAL", "does not start"), (None, "is not there"), ("RUNNING", "does not answer")]
)
def test_what_is_wrong_is_said(state, says):
    assert fault(Manager((state, 7)), lambda: False, patience_s=0).startswith(says)
