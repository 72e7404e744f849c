"""Numbers of several processes and threads add up, and are told as the client of Prometheus would."""

import os
import signal
from threading import Thread

import pytest
from prometheus_client import CollectorRegistry, Histogram, generate_latest

from landpatch.counters import ROWS, SLOTS, Count, Durations, Tally


@pytest.fixture
def tally():
    return Tally()


def told(tally):
    """Every sample by name and labels."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in tally.collect()
        for sample in family.samples
    }


def in_child(number, work):
    """Fork, as a Celery worker does, and let the child work; how it ended."""
    pid = os.fork()
    if pid == 0:
        try:
            work(number)
        finally:
            os._exit(0)
    return os.waitpid(pid, 0)[1]


def test_children_count_into_what_their_parent_tells(tally):
    things = Count("things", "About.", tally, kind=("a", "b"))

    def work(number):
        tally.take_row(number)
        for _ in range(1000):
            things.add("a", amount=number + 1)

    things.add("b")
    pids = []
    for number in range(4):
        if (pid := os.fork()) == 0:
            work(number)
            os._exit(0)
        pids.append(pid)
    for pid in pids:
        os.waitpid(pid, 0)
    assert told(tally) == {("things_total", "a"): 1000 * (1 + 2 + 3 + 4), ("things_total", "b"): 1}


def test_what_a_killed_child_has_counted_stays_and_its_successor_goes_on(tally):
    things = Count("things", "About.", tally)

    def die(number):
        tally.take_row(number)
        things.add(amount=5)
        os.kill(os.getpid(), signal.SIGKILL)

    for _ in range(3):
        assert in_child(0, die) == signal.SIGKILL
    assert told(tally) == {("things_total",): 15}


def test_threads_of_a_process_lose_nothing(tally):
    things = Count("things", "About.", tally)
    times = Durations("took", "About.", (1, 2), tally)

    def work():
        for _ in range(5000):
            things.add()
            times.add(1.5)

    threads = [Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = told(tally)
    assert found["things_total",] == 20_000
    assert (found["took_count",], found["took_sum",]) == (20_000, 30_000)


def test_durations_are_told_as_the_client_of_prometheus_tells_a_histogram(tally):
    bounds = (0.1, 0.5, 2)
    ours = Durations("took", "How long.", bounds, tally, stage=("warp", "encode"))
    registry = CollectorRegistry()
    theirs = Histogram("took", "How long.", ["stage"], buckets=bounds, registry=registry)
    for stage, seconds in (("warp", 0.1), ("warp", 0.11), ("warp", 1), ("encode", 0), ("encode", 3)):
        ours.add(seconds, stage)
        theirs.labels(stage).observe(seconds)
    mine = CollectorRegistry()
    mine.register(tally)
    written = generate_latest(registry).decode().splitlines()
    expected = [line for line in written if "took_created" not in line]
    assert generate_latest(mine).decode().splitlines() == expected


def test_what_fails_is_timed_too(tally):
    times = Durations("took", "About.", (60,), tally, task=("cut",))
    with pytest.raises(ZeroDivisionError), times.timing("cut"):
        raise ZeroDivisionError
    assert told(tally)["took_count", "cut"] == 1


def test_what_is_still_0_is_told_and_what_is_no_label_is_refused(tally):
    things = Count("things", "About.", tally, kind=("a", "b"), state=("x",))
    assert told(tally) == {("things_total", "a", "x"): 0, ("things_total", "b", "x"): 0}
    with pytest.raises(KeyError):
        things.add("a", "y")


def test_more_numbers_than_there_is_room_for_are_refused(tally):
    with pytest.raises(ValueError, match=str(SLOTS)):
        Durations("took", "About.", range(1, SLOTS), tally)


def test_of_more_children_than_rows_all_are_counted(tally):
    things = Count("things", "About.", tally)

    def work(number):
        tally.take_row(number)
        things.add()

    for number in (0, ROWS - 2, ROWS - 1, ROWS, 10 * ROWS + 7):
        in_child(number, work)
    assert told(tally) == {("things_total",): 5}
