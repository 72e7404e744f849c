"""The workers of a Deployment as processes: started, told to stop and ended as a cluster does with its pods.

Eight pods that start on eight nodes load their code side by side; eight processes on two cores do not. So the
code is loaded once, and each worker is a fork of that process that waits for as long as a pod takes to start.
"""

import multiprocessing
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path

import psutil
from celery.bin.celery import celery

from benchmarks.autoscaler import SYNC_S, History, poll, sync
from benchmarks.manifests import Scaled
from landpatch.heartbeat import keep_heartbeat

APP = "benchmarks.simulated"
START_S = 20.0
"""Of a pod, until its worker begins to connect: it is put on a node, its container is made, its code loaded.
Longer where the image has to be pulled first, or a node to be made."""
STOP_S = 30
"""Of real time, for a worker that has nothing in hand when the day is over."""


class Clock:
    """Seconds of a day that passes so many times faster."""

    def __init__(self, factor: float) -> None:
        """Starts at 0."""
        self.factor = factor
        self._begin = time.monotonic()

    def now(self) -> float:
        """Seconds of the day so far."""
        return (time.monotonic() - self._begin) * self.factor


def load_code() -> ForkServerContext:
    """Load what workers need, with the environment of this process, once for all of them."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([APP, __name__])
    # The first comes when the code is loaded.
    first = context.Process(target=time.sleep, args=(0,))
    first.start()
    first.join()
    return context


def run_worker(
    words: Sequence[str], environment: dict[str, str], heartbeat: Path, log: Path, pause_s: float
) -> None:
    """Be a worker. words: Celery's, after its name."""
    # Needs the environment of a worker; whoever starts workers loads this module, too.
    from benchmarks.simulated import app  # noqa: PLC0415

    os.environ.update(environment)
    with log.open("wb") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    time.sleep(pause_s)
    keep_heartbeat(app, heartbeat)
    celery.main(args=list(words), prog_name="celery")


@dataclass(slots=True)
class Pod:
    """One worker; times are of the clock."""

    process: ForkServerProcess
    heartbeat: Path
    began_s: float
    ready_s: float | None = None
    """When it first took messages."""
    told_s: float | None = None
    """When it was told to stop."""
    ended_s: float | None = None


class Fleet:
    """The workers of one Deployment."""

    def __init__(self, scaled: Scaled, context: ForkServerContext, folder: Path, clock: Clock) -> None:
        """context: of `load_code`. folder: for the workers' logs and heartbeats."""
        self.scaled = scaled
        self.pods: list[Pod] = []
        self._context = context
        self._folder = folder
        self._clock = clock

    def resize(self, replicas: int) -> None:
        """Start workers, or tell some to stop: the youngest first, whether they are at work or not."""
        serving = [pod for pod in self.pods if pod.told_s is None]
        for _ in range(replicas - len(serving)):
            self.pods.append(self._start(len(self.pods)))
        for pod in serving[replicas:]:
            pod.process.terminate()
            pod.told_s = self._clock.now()

    def _start(self, number: int) -> Pod:
        name = f"{self.scaled.name}-{number}"
        words = list(self.scaled.words[self.scaled.words.index("celery") + 1 :])
        words[words.index("-A") + 1] = APP
        words[words.index("--hostname") + 1] = f"{name}@bench"
        heartbeat, log = (self._folder / f"{name}.{end}" for end in ("heartbeat", "log"))
        environment = {"LANDPATCH_THREADS": f"{max(self.scaled.cores, 1):.0f}"}
        process = self._context.Process(
            target=run_worker, args=(words, environment, heartbeat, log, START_S / self._clock.factor)
        )
        process.start()
        return Pod(process, heartbeat, self._clock.now())

    def look(self) -> None:
        """Note who is ready and who has ended; kill who takes longer than the grace period.

        Raises RuntimeError when a worker has ended that nobody has told to.
        """
        now = self._clock.now()
        for pod in self.pods:
            if pod.ended_s is not None:
                continue
            if pod.ready_s is None and pod.heartbeat.exists():
                pod.ready_s = now
            if pod.process.exitcode is not None:
                if pod.told_s is None:
                    raise RuntimeError(
                        f"a worker has ended by itself, see {pod.heartbeat.with_suffix('.log')}"
                    )
                pod.ended_s = now
            elif pod.told_s is not None and now - pod.told_s > self.scaled.grace_s:
                pod.process.kill()

    def running(self) -> int:
        """Processes that have not ended, whether they have been told to or not."""
        return sum(pod.ended_s is None for pod in self.pods)

    def serving(self) -> int:
        """Workers that take messages."""
        return sum(pod.ready_s is not None and pod.told_s is None for pod in self.pods)

    def worker_s(self, since_s: float = 0) -> float:
        """Seconds that there were workers, from their start until their process had ended."""
        now = self._clock.now()
        return sum((pod.ended_s or now) - max(pod.began_s, since_s) for pod in self.pods)

    def end(self) -> None:
        """Tell all to stop, and wait for them; kill them when they do not, with the processes of theirs."""
        left = [pod.process for pod in self.pods if pod.process.exitcode is None]
        for process in left:
            process.terminate()
        for process in left:
            process.join(STOP_S)
            if process.exitcode is None:
                family = psutil.Process(process.pid)
                for one in (*family.children(recursive=True), family):
                    one.kill()
                process.join()


class Controller:
    """Sets the size of a fleet by its rule: KEDA and the autoscaler, each in its own time."""

    def __init__(self, fleet: Fleet, now: float, read: Callable[[], float | None]) -> None:
        """read: asks for the metric; None when it cannot be had."""
        self.fleet = fleet
        self.history = History()
        self.most = 0
        """Workers that were wanted at a time."""
        self._read = read
        self._poll_at = now
        # The two do not know of each other.
        self._sync_at = now + SYNC_S / 2

    def look(self, now: float) -> None:
        """Do what has fallen due."""
        rule, before = self.fleet.scaled.rule, self.history.replicas
        if now >= self._poll_at:
            self._poll_at += rule.polling_s
            self.history = poll(rule, self.history, now, self._read())
        if now >= self._sync_at:
            self._sync_at += SYNC_S
            self.history = sync(rule, self.history, now, self._read())
        if self.history.replicas != before:
            self.most = max(self.most, self.history.replicas)
            self.fleet.resize(self.history.replicas)
