"""Workers that come and go by the rule of the Kubernetes manifests, against as many as there may be."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import mean
from typing import Any

from benchmarks.catalogue import open_europe
from benchmarks.pace import STANDS_FOR, VARIABLE
from benchmarks.products import CACHE, ROOT
from benchmarks.stage import Stage
from landpatch.settings import Settings

FACTOR = 20.0
"""How many times faster the day passes."""
LEAST_S = 0.1
"""That these settings take."""
BURSTS: list[tuple[float, list[str]]] = [
    (0, ["AT321", "CH057", "DEG0I", "UKJ44", "BE310", "DEB22", "DE245", "DE149"]),
    (20, ["DE22B"]),
    (35, ["DE26A", "SI031", "DE732", "ITC32", "UKJ45", "DED45"]),
    (55, ["BE336"]),
    (70, ["PL229", "DEB17", "DEF0F", "CH040"]),
]
"""In which minute of the day which regions are asked for. The quiet between them is just long enough for all
workers to go: with more of it, a fleet that stays would have more to lose."""


@contextmanager
def open_day_stage(factor: float) -> Iterator[Stage]:
    """Servers, the catalogue, and settings under which all waits are divided by a factor."""
    with open_europe() as stage:
        fields = Settings.model_fields
        stage.environment.update(
            {
                "LANDPATCH_EO_CONNECTION_BYTES_PER_S": str(fields["eo_connection_bytes_per_s"].default),
                "LANDPATCH_RECONCILE_S": str(max(fields["reconcile_s"].default / factor, LEAST_S)),
                "LANDPATCH_RETRY_S": str(max(fields["retry_s"].default / factor, LEAST_S)),
                VARIABLE: str(factor),
            }
        )
        yield stage


def live_through(factor: float, bursts: list[tuple[float, list[str]]], *, scaled: bool) -> dict[str, Any]:
    """A day in a process of its own, on servers of its own; see `benchmarks.day`. Raises RuntimeError."""
    with open_day_stage(factor) as stage:
        job = {
            "factor": factor, "bursts": bursts, "scaled": scaled,
            "folder": str(stage.folder), "environment": stage.environment,
        }  # fmt: skip
        day = subprocess.run(
            [sys.executable, "-m", "benchmarks.day", json.dumps(job)],
            cwd=ROOT,
            env=os.environ | stage.environment,
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        if day.returncode:
            raise RuntimeError(f"the day ended with {day.returncode}")
    answer: dict[str, Any] = json.loads(day.stdout.splitlines()[-1])
    return answer


def compare(fixed: dict[str, Any], scaled: dict[str, Any]) -> dict[str, Any]:
    """What there is to say of the same day with a fleet that stays and with one that comes and goes."""
    before, after = fixed["turnaround_s"], scaled["turnaround_s"]
    shares = [before[region] / after[region] for region in before]
    audit = scaled["audit"]
    return {
        "regions": len(after),
        "patches": STANDS_FOR * audit["patches"],
        "tasks": audit["tasks"],
        # What those who ask for regions wait in all: a region that takes long counts as long as it takes.
        "speed": mean(before.values()) / mean(after.values()),
        "speed_of_the_slowest_region": min(shares),
        "speed_of_the_day": fixed["makespan_s"] / scaled["makespan_s"],
        "turnaround_s": mean(after.values()),
        "turnaround_s_fixed": mean(before.values()),
        "worker_seconds": scaled["worker_s"]["image-worker"] / fixed["worker_s"]["image-worker"],
        "worker_hours": scaled["worker_s"]["image-worker"] / 3600,
        "worker_hours_fixed": fixed["worker_s"]["image-worker"] / 3600,
        "label_worker_seconds": scaled["worker_s"]["label-worker"] / fixed["worker_s"]["label-worker"],
        "most_workers": scaled["most"]["image-worker"],
        "workers_started": scaled["started"]["image-worker"],
        "start_s": scaled["start_s"],
        "workers_left": scaled["left"],
        "workers_killed": scaled["killed"],
        "tasks_lost": audit["tasks_lost"] + audit["messages_left"] + audit["dead_letters"],
        "tasks_ended_twice": audit["tasks_ended_twice"],
        "tasks_begun_twice": audit["tasks_begun_twice"],
        "patches_without_image_or_label": audit["patches_without_image"] + audit["patches_without_label"],
    }


def autoscaling() -> dict[str, Any]:
    """A bursty day of 20 regions, with workers that come and go and with as many as there may be."""
    fixed, scaled = (live_through(FACTOR, BURSTS, scaled=comes) for comes in (False, True))
    CACHE.mkdir(parents=True, exist_ok=True)
    (CACHE / "autoscaling.json").write_text(json.dumps({"fixed": fixed, "scaled": scaled}, indent=2))
    return compare(fixed, scaled)
