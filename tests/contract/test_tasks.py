"""What becomes of a task, on a real Redis and with a real Celery worker: done, given up, never lost."""

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import pytest

from landpatch.broker import count_waiting, in_hand, queue_keys
from landpatch.celery import QUEUES, make_app, send
from landpatch.ledger import open_ledger
from landpatch.messages import FetchLabels, RegionRequest
from landpatch.settings import Settings
from services.reconciler.pipeline import Reconciler
from tests.contract import toys
from tests.environment import ROOT
from tests.waiting import LONG_S, wait_until

pytestmark = pytest.mark.stack

REGION = "FR101/2021"
LEASE_S = 2.0


class World:
    """A Redis, a ledger with a run, and where the worker notes what it begins."""

    def __init__(self, client, url, notes):
        self.client, self.url, self.notes = client, url, notes
        self.settings = Settings(_env_file=None, LANDPATCH_REDIS_URL=url, LANDPATCH_LEASE_S=LEASE_S)
        self.ledger = open_ledger(self.settings)
        request = RegionRequest(nuts="FR101", year=2021, start="2021-05-01", end="2021-09-30")
        self.run, _ = self.ledger.start(request)
        self.ledger.claim(REGION, self.run, "control", 3600)
        self.app = make_app("tests", self.settings)
        self.reconciler = Reconciler(client, self.ledger, self.app, LEASE_S)

    def message(self, block):
        return FetchLabels(
            run=self.run, nuts="FR101", year=2021, round=1, label_year=2021, block=block,
            patches=("0_0_0_0",),
        )  # fmt: skip

    def add(self, *blocks):
        """Make tasks pending, and one more, so that the region is not over when they are."""
        self.ledger.add_labels(REGION, self.run, [self.message(block) for block in (*blocks, 99)])
        self.ledger.claim(REGION, self.run, "labels", 3600)

    @contextmanager
    def working(self, lease_s=LEASE_S, log=None, **environment):
        """A worker that takes the tasks; whatever is left of it is ended."""
        process = self.start_worker(lease_s, log, **environment)
        try:
            yield process
        finally:
            process.terminate()
            process.wait(LONG_S)

    def start_worker(self, lease_s=LEASE_S, log=None, **environment):
        return subprocess.Popen(
            [
                sys.executable, "-m", "celery", "-A", "tests.contract.toy_worker", "worker",
                "--queues", "labels", "--concurrency", "2", "--loglevel", "INFO" if log else "WARNING",
                "--without-gossip", "--without-mingle",
            ],
            cwd=ROOT,
            env=os.environ
            | {
                "LANDPATCH_REDIS_URL": self.url,
                "LANDPATCH_LEASE_S": str(lease_s),
                "LANDPATCH_RETRY_S": "0.1",
                "TOY_NOTES": str(self.notes),
                "REMAP_SIGTERM": "SIGQUIT",
            }
            | environment,
            stdout=log,
            stderr=log,
        )  # fmt: skip

    def begun(self, block):
        path = self.notes / str(block)
        return path.stat().st_size if path.exists() else 0

    def failure(self, block):
        return self.ledger.work(REGION)[f"labels:{block}"].failure

    def wait_until_over(self, *blocks):
        """Until the tasks are no longer pending, and nothing waits or is in anybody's hands."""
        pending = self.ledger.is_pending
        wait_until(lambda: not any(pending(REGION, "labels", str(block)) for block in blocks))
        wait_until(lambda: not in_hand(self.client) and not sum(self.waiting().values()))

    def waiting(self):
        return count_waiting(self.client, QUEUES)


@pytest.fixture
def world(redis_client, redis_url, tmp_path, monkeypatch):
    """An empty Redis with a run in its ledger; messages are sent to it, and a reconciler looks after it."""
    monkeypatch.setenv("LANDPATCH_REDIS_URL", redis_url)
    from landpatch import celery

    celery._sender.cache_clear()
    made = World(redis_client, redis_url, tmp_path)
    over = Event()

    def reconcile():
        while not over.wait(0.2):
            made.reconciler.look()

    thread = Thread(target=reconcile)
    thread.start()
    yield made
    over.set()
    thread.join()
    celery._sender.cache_clear()


@pytest.fixture
def worker(world):
    """A worker that takes the tasks; whatever is left of it is ended."""
    with world.working() as process:
        yield process


def test_every_kind_of_failure_ends_as_it_should(world, worker):
    blocks = (toys.FINE, toys.TRANSIENT, toys.PERMANENT, toys.BUG, toys.KILLED, toys.KILLED_ONCE, toys.MEMORY)
    world.add(*blocks)
    for block in blocks:
        send(world.message(block))
    world.wait_until_over(*blocks)
    # What cannot pass is tried once, what may is tried five times, whoever dies has had an attempt.
    begun = {block: world.begun(block) for block in blocks}
    assert begun == {
        toys.FINE: 1, toys.TRANSIENT: 5, toys.PERMANENT: 1, toys.BUG: 1, toys.KILLED: 5, toys.KILLED_ONCE: 2,
        toys.MEMORY: 5,
    }  # fmt: skip
    letters = world.ledger.dead_letters(REGION)
    assert {task: (letter.reason, letter.patches) for task, letter in letters.items()} == {
        f"labels:{toys.TRANSIENT}": ("the service answered 503", 1),
        f"labels:{toys.PERMANENT}": ("the answer is no raster", 1),
        f"labels:{toys.BUG}": ("ZeroDivisionError: a bug", 1),
        f"labels:{toys.KILLED}": ("the worker that had it in hand was lost each time", 1),
        f"labels:{toys.MEMORY}": ("MemoryError of a worker", 1),
    }
    assert world.failure(toys.TRANSIENT) == "the service answered 503"
    assert world.failure(toys.KILLED_ONCE) == ""


@pytest.mark.parametrize("toy", [toys.OUTAGE, toys.REFUSED], ids=["away", "refused"])
def test_while_the_store_cannot_be_used_attempts_do_not_count(world, worker, toy):
    world.add(toy)
    send(world.message(toy))
    world.wait_until_over(toy)
    assert world.begun(toy) == 7
    assert not world.ledger.dead_letters(REGION)


def test_when_the_store_stays_away_the_region_fails_and_says_why(world, worker):
    world.add(toys.AWAY)
    send(world.message(toys.AWAY))
    wait_until(lambda: world.ledger.facts(REGION)["state"] == "failed", 100)
    assert world.ledger.facts(REGION)["message"] == "the destination store is full"
    assert world.ledger.active() == []
    wait_until(lambda: not in_hand(world.client) and not sum(world.waiting().values()))
    assert world.begun(toys.AWAY) == 40


def test_a_message_that_was_never_sent_or_is_lost_is_sent(world, worker):
    world.ledger.add_labels(REGION, world.run, [world.message(99)])
    world.ledger.claim(REGION, world.run, "labels", 3600)
    world.ledger.add_labels(REGION, world.run, [world.message(toys.FINE)])
    world.wait_until_over(toys.FINE)
    assert world.begun(toys.FINE) == 1


def test_a_message_in_the_hands_of_a_worker_that_was_killed_is_put_back(world):
    world.add(toys.SLOW)
    first = world.start_worker()
    try:
        send(world.message(toys.SLOW))
        wait_until(lambda: world.begun(toys.SLOW) == 1)
        for number in [first.pid, *children(first.pid)]:
            os.kill(number, 9)
        first.wait(LONG_S)
        assert len(in_hand(world.client)) == 1
    finally:
        first.kill()
    with world.working():
        world.wait_until_over(toys.SLOW)
    assert world.begun(toys.SLOW) == 2


def test_a_message_whose_process_dies_goes_back_at_once_when_its_worker_lives(world):
    world.add(toys.KILLED_ONCE)
    with world.working(lease_s=3600):
        send(world.message(toys.KILLED_ONCE))
        world.wait_until_over(toys.KILLED_ONCE)
    assert world.begun(toys.KILLED_ONCE) == 2


def children(pid):
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(number) for number in text.split()]


def test_a_long_task_is_not_taken_for_lost_nor_run_twice(world, worker):
    world.add(toys.SLOW)
    for _ in range(3):  # the same message may be there more than once
        send(world.message(toys.SLOW))
    world.wait_until_over(toys.SLOW)
    assert world.begun(toys.SLOW) == 1


def test_a_worker_told_to_stop_gives_its_task_back_or_ends_it(world):
    world.add(toys.SLOW)
    first = world.start_worker()
    send(world.message(toys.SLOW))
    wait_until(lambda: world.begun(toys.SLOW) == 1)
    first.terminate()
    first.wait(LONG_S)
    # Ended just then, its message may be there all the same, and will be dropped.
    still = world.ledger.is_pending(REGION, "labels", str(toys.SLOW))
    assert not still or sum(world.waiting().values()) == 1
    assert not in_hand(world.client)


def test_messages_that_cannot_be_read_are_remembered_and_gone(world, worker):
    app = world.app
    good = world.message(toys.FINE).model_dump(mode="json")
    bad = [
        {},
        good | {"version": 2},
        good | {"year": 10**9},
        good | {"block": -1},
        good | {"patches": []},
        good | {"patches": ["../../etc/passwd"]},
        good | {"patches": ["0_0_0_0"] * 20_001},
        good | {"run": "x" * 100_000},
        good | {"extra": "field"},
    ]
    for fields in bad:
        app.send_task("labels.fetch_labels", kwargs={"message": fields}, queue="labels")
    app.send_task("labels.no_such_task", kwargs={}, queue="labels")
    app.send_task("labels.fetch_labels", args=[1, 2, 3], queue="labels")
    unreadable = {
        "body": "bm90IGpzb24=",
        "content-type": "application/x-python-serialize", "content-encoding": "binary",
        "headers": {"task": "labels.fetch_labels", "id": "1"},
        "properties": {"delivery_tag": "t", "delivery_info": {"exchange": "", "routing_key": "labels"},
                       "body_encoding": "base64"},
    }  # fmt: skip
    world.client.lpush("labels", json.dumps(unreadable))
    wait_until(lambda: len(world.ledger.refused()) == len(bad) + 3)
    wait_until(lambda: not sum(world.waiting().values()))
    assert any("no such task" in reason for reason in world.ledger.refused())
    assert world.begun(toys.FINE) == 0
    assert worker.poll() is None
    # The worker goes on.
    world.add(toys.FINE)
    send(world.message(toys.FINE))
    world.wait_until_over(toys.FINE)


def test_the_first_of_a_late_region_are_served_before_the_tail_of_a_big_one(world):
    from landpatch.celery import send_claimed

    world.ledger.add_labels(REGION, world.run, [world.message(block) for block in range(100, 150)])
    send_claimed(world.ledger, REGION, world.run, "labels", 60)
    small = RegionRequest(nuts="LU000", year=2021, start="2021-05-01", end="2021-09-30")
    run, _ = world.ledger.start(small)
    late = [
        world.message(block).model_copy(update={"nuts": "LU000", "run": run}) for block in range(200, 204)
    ]
    world.ledger.add_labels(small.key, run, late)
    send_claimed(world.ledger, small.key, run, "labels", 60)
    order = []
    for key in queue_keys("labels"):
        order += [
            json.loads(text)["headers"]["id"].split(".")[0]
            for text in reversed(world.client.lrange(key, 0, -1))
        ]
    assert len(order) == 54
    # Two of each first, then six of the big one and the last two of the small one.
    assert order[:4] == ["FR101-2021"] * 2 + ["LU000-2021"] * 2
    assert max(place for place, region in enumerate(order) if region == "LU000-2021") < 12
