"""A day on which regions come and go, with a fleet that is scaled or one that is not.

`python -m benchmarks.day '{"factor": 20, "bursts": [[0, ["FR101"]]], "scaled": true, …}'` prints what came of
it as JSON; `benchmarks.autoscaling` asks for it.
"""

import json
import signal
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from statistics import mean
from typing import Any

import redis
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.fleet import Clock, Controller, Fleet, load_code
from benchmarks.manifests import Series, read_all
from benchmarks.pace import BEGUN, ENDED
from benchmarks.stage import Stage, running_celery, running_module
from landpatch.broker import count_waiting, in_hand
from landpatch.celery import QUEUES, send_claimed
from landpatch.connection import open_redis
from landpatch.ledger import Ledger
from landpatch.messages import RegionRequest
from landpatch.settings import load_settings
from services.stack.ports import free_port

YEAR = 2021
TICK_S = 0.02
"""Of real time, between two looks."""
FIRST = "MT002"
"""Planned before the day begins, so that the dispatcher has read the boundaries."""
CUT = {"indexing", "done"}
"""States of a region of which all tasks are done: what is left is no image worker's nor label worker's."""


@dataclass(frozen=True, slots=True)
class Job:
    """What day it is."""

    factor: float
    """How many times faster it passes."""
    bursts: list[tuple[float, list[str]]]
    """Minute of the day, and the regions that are asked for in it; in order."""
    scaled: bool
    """Whether workers come and go, or are as many as there may be all the time."""


@dataclass(slots=True)
class Region:
    """One that has been asked for; times are of the day."""

    key: str
    asked_s: float
    cut_s: float | None = None
    done_s: float | None = None


def ask(ledger: Ledger, nuts: str) -> str:
    """Ask for the median of a region; its key."""
    request = RegionRequest(
        nuts=nuts,
        year=YEAR,
        label_year=YEAR,
        start=date(YEAR, 5, 1),
        end=date(YEAR, 9, 30),
        composite="median",
    )
    run, _ = ledger.start(request)
    send_claimed(ledger, request.key, run, "control", 600)
    return request.key


class Day:
    """The regions and the workers of a day."""

    def __init__(self, job: Job, ledger: Ledger, fleets: Sequence[Fleet], clock: Clock) -> None:
        """clock: of the fleets, which are there already when they are not scaled."""
        self.job = job
        self.ledger = ledger
        self.fleets = fleets
        self.clock = clock
        self.begin_s = clock.now()
        self.regions: list[Region] = []
        self.controllers: list[Controller] = []
        self.wanted = [(60 * minute, nuts) for minute, codes in job.bursts for nuts in codes]

    def scale(self, url: str) -> None:
        """Scale the fleets by the metrics at an address."""
        for fleet in self.fleets:
            series = fleet.scaled.series
            controller = Controller(fleet, self.begin_s, lambda series=series: read_metric(url, series))
            self.controllers.append(controller)

    def pass_by(self) -> None:
        """Until every region is done and no worker is left that scaling takes away."""
        while self.wanted or not all(region.done_s for region in self.regions) or self._is_busy():
            now = self.clock.now()
            while self.wanted and now - self.begin_s >= self.wanted[0][0]:
                self.regions.append(Region(ask(self.ledger, self.wanted.pop(0)[1]), now))
            for controller in self.controllers:
                controller.look(now)
            for fleet in self.fleets:
                fleet.look()
            self._look_at_regions()
            time.sleep(TICK_S)

    def _is_busy(self) -> bool:
        return any(controller.fleet.running() for controller in self.controllers)

    def _look_at_regions(self) -> None:
        for region in self.regions:
            if region.done_s is not None:
                continue
            facts = self.ledger.facts(region.key)
            if facts["state"] == "failed":
                raise RuntimeError(f"{region.key}: {facts['message']}")
            if facts["state"] in CUT and region.cut_s is None:
                region.cut_s = self.clock.now()
            if facts["state"] == "done":
                region.done_s = self.clock.now()


def read_metric(url: str, series: Series) -> float | None:
    """The value of a series where metrics are shown; None when it cannot be had."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310  # of this machine
            families = text_string_to_metric_families(answer.read().decode())
            return next(
                (
                    sample.value
                    for family in families
                    for sample in family.samples
                    if sample.name == series.name and sample.labels == series.labels
                ),
                None,
            )
    except (urllib.error.URLError, OSError):
        return None


def audit(client: redis.Redis, ledger: Ledger, regions: Sequence[Region]) -> dict[str, int]:
    """What the ledger has opened against what workers have begun and ended."""
    begun = Counter(client.lrange(BEGUN, 0, -1))
    ended = Counter(client.lrange(ENDED, 0, -1))
    images = Counter(task.split(" ")[0] for task in ended if task.split(" ")[2] == "images")
    facts = {region.key: ledger.facts(region.key) for region in regions}
    opened = {key: int(said["products"]) for key, said in facts.items()}
    return {
        "patches": sum(int(said["patches"]) for said in facts.values()),
        "patches_without_image": sum(
            int(said["patches"]) - int(said["images_done"]) for said in facts.values()
        ),
        "patches_without_label": sum(
            int(said["labels"]) - int(said["labels_done"]) for said in facts.values()
        ),
        "tasks": len(ended),
        "image_tasks_opened": sum(opened.values()),
        "tasks_lost": sum(opened[key] - images[key] for key in opened) + len(begun.keys() - ended.keys()),
        "tasks_ended_twice": sum(count - 1 for count in ended.values()),
        "tasks_begun_twice": sum(count - 1 for count in begun.values()),
        "dead_letters": sum(len(ledger.dead_letters(region.key)) for region in regions),
        "messages_left": sum(count_waiting(client, QUEUES).values()) + len(in_hand(client)),
    }


@contextmanager
def _services(stage: Stage, ledger: Ledger, client: redis.Redis) -> Iterator[str]:
    """All that is not scaled, for real; where its metrics are. Nothing is asked for when it is there."""
    port = free_port()
    with ExitStack() as stack:
        for app, queue in (("services.dispatcher", "dispatch"), ("services.indexer", "index")):
            stack.enter_context(running_celery(stage, app, queue))
        stack.enter_context(running_module(stage, "services.reconciler"))
        stack.enter_context(running_module(stage, "services.metrics", "--port", str(port)))
        key = ask(ledger, FIRST)
        while ledger.facts(key).get("state") != "cutting":
            time.sleep(TICK_S)
        client.delete(*QUEUES, *client.keys("landpatch:*"))
        yield f"http://127.0.0.1:{port}/metrics"


def live(job: Job, stage: Stage) -> dict[str, Any]:
    """Live through a day."""
    context = load_code()
    client = open_redis(load_settings(None))
    ledger = Ledger(client)
    clock = Clock(job.factor)
    fleets = [Fleet(scaled, context, stage.folder, clock) for scaled in read_all()]
    with _services(stage, ledger, client) as url:
        try:
            if not job.scaled:
                for fleet in fleets:
                    fleet.resize(fleet.scaled.rule.most)
                while not all(fleet.serving() == fleet.scaled.rule.most for fleet in fleets):
                    time.sleep(TICK_S)
                    for fleet in fleets:
                        fleet.look()
            day = Day(job, ledger, fleets, clock)
            if job.scaled:
                day.scale(url)
            day.pass_by()
            return _report(day) | {"audit": audit(client, ledger, day.regions)}
        finally:
            for fleet in fleets:
                fleet.end()


def _report(day: Day) -> dict[str, Any]:
    pods = [pod for fleet in day.fleets for pod in fleet.pods]
    starts = [pod.ready_s - pod.began_s for pod in pods if pod.ready_s is not None]
    return {
        "turnaround_s": {region.key: (region.cut_s or 0) - region.asked_s for region in day.regions},
        "makespan_s": max(region.cut_s or 0 for region in day.regions) - day.begin_s,
        "worker_s": {fleet.scaled.name: fleet.worker_s(day.begin_s) for fleet in day.fleets},
        "most": {each.fleet.scaled.name: each.most for each in day.controllers},
        "started": {fleet.scaled.name: len(fleet.pods) for fleet in day.fleets},
        "start_s": mean(starts),
        "left": sum(fleet.running() for fleet in day.fleets),
        "killed": sum(pod.process.exitcode == -signal.SIGKILL for pod in pods if pod.ended_s is not None),
    }


def main(text: str) -> None:
    """Do the job and print what came of it."""
    job = json.loads(text)
    stage = Stage(Path(job["folder"]), job["environment"])
    print(json.dumps(live(Job(job["factor"], job["bursts"], job["scaled"]), stage)))


if __name__ == "__main__":
    main(sys.argv[1])
