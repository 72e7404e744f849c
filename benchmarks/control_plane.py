"""The control plane alone: every region of Europe planned, the ledger filled and drained."""

import os
import time
from datetime import date
from threading import Event, Thread
from typing import Any

import psutil
import redis

from benchmarks.catalogue import open_europe
from benchmarks.stage import count_commands, running_celery
from landpatch.celery import send_claimed
from landpatch.connection import open_redis
from landpatch.ledger import Ledger
from landpatch.messages import RegionRequest
from landpatch.planning import Planner
from landpatch.quota import open_governor
from landpatch.settings import Settings, load_settings
from landpatch.storage import open_store

LARGEST = "FI1D7"
YEAR = 2021


class _Watch:
    """The largest Redis and the largest dispatcher, looked at twice a second."""

    def __init__(self, client: redis.Redis, dispatcher: psutil.Process) -> None:
        self._client, self._dispatcher = client, dispatcher
        self.redis_bytes = self.dispatcher_bytes = 0
        self._over = Event()
        self._thread = Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        while not self._over.wait(0.5):
            self.redis_bytes = max(self.redis_bytes, _used(self._client))
            family = [self._dispatcher, *self._dispatcher.children(recursive=True)]
            self.dispatcher_bytes = max(
                self.dispatcher_bytes, sum(process.memory_info().rss for process in family)
            )

    def stop(self) -> None:
        self._over.set()
        self._thread.join()


def _used(client: redis.Redis) -> int:
    return int(client.info("memory")["used_memory"])


def _commands_a_request(client: redis.Redis, settings: Settings) -> int:
    """What the account's quota costs for each request to the image source: to ask, and to give back."""
    governor = open_governor(settings)
    with governor.request(1):
        pass  # the scripts are known from now on, as they are to a worker
    asked = count_commands(client)
    with governor.request(1):
        pass
    return count_commands(client) - asked - 1


def _start(ledger: Ledger, nuts: str) -> str:
    request = RegionRequest(
        nuts=nuts, year=YEAR, label_year=YEAR, start=date(YEAR, 5, 1), end=date(YEAR, 9, 30)
    )
    run, _ = ledger.start(request)
    send_claimed(ledger, request.key, run, "control", 600)
    return request.key


def _await(ledger: Ledger, regions: list[str], states: set[str]) -> int:
    """Wait until all regions are in one of the states. Returns how many commands that took."""
    open_, asked = set(regions), 0
    while open_:
        time.sleep(0.2 if len(open_) < 10 else 3)
        asked += len(open_)
        for region in list(open_):
            state = ledger.facts(region).get("state")
            if state == "failed":
                raise RuntimeError(f"{region}: {ledger.facts(region)['message']}")
            if state in states:
                open_.discard(region)
    return asked


def control_plane(count: int | None = None) -> dict[str, Any]:
    """Plan regions of Europe (all, or the first `count` by code), with real
    Redis, Celery, dispatcher and catalogue protocol, and simulated image and label workers."""
    with open_europe() as stage:
        os.environ.update(stage.environment)
        settings = load_settings(None)
        client = open_redis(settings)
        ledger = Ledger(client)
        regions = Planner(settings, open_store(settings)).regions()[:count]
        with running_celery(stage, "services.dispatcher", "dispatch") as dispatcher:
            largest_s = _time(ledger, LARGEST)
            # Filled: every region planned, nothing cut yet.
            client.delete("images", "labels", *client.keys("landpatch:*"))
            before = _used(client)
            watch = _Watch(client, psutil.Process(dispatcher.pid))
            begin, asked = time.monotonic(), count_commands(client)
            keys = [_start(ledger, nuts) for nuts in regions]
            own = _await(ledger, keys, {"cutting"})
            planned_s = time.monotonic() - begin
            patches = sum(int(ledger.facts(key)["patches"]) for key in keys)
            filled = _used(client) - before
            with running_celery(stage, "benchmarks.simulated", "images,labels,index"):
                own += _await(ledger, keys, {"done"})
                took_s = time.monotonic() - begin
                commands = count_commands(client) - asked - own - len(keys)
            watch.stop()
            commands_a_request = _commands_a_request(client, settings)
    return {
        "regions": len(regions),
        "patches": patches,
        "wall_s": took_s,
        "planning_wall_s": planned_s,
        f"planning_{LARGEST}_s": largest_s,
        "redis_bytes_a_patch": (watch.redis_bytes - before) / patches,
        "redis_bytes_a_patch_planned": filled / patches,
        "commands_a_patch": commands / patches,
        "quota_commands_a_request": commands_a_request,
        "dispatcher_gib": watch.dispatcher_bytes / 2**30,
    }


def _time(ledger: Ledger, nuts: str) -> float:
    begin = time.monotonic()
    _await(ledger, [_start(ledger, nuts)], {"cutting"})
    return time.monotonic() - begin
