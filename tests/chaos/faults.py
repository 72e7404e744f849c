"""What is done to a stack, and when: planned from a seed, then obeyed."""

import random
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import psutil
import redis

from services.stack.parts import WORKERS
from tests.chaos import insides
from tests.chaos.stage import UP_TIMEOUT_S, Run, Stage, Written
from tests.waiting import wait_until

KILLS_A_RUN = 4
"""Of one service in one run: a task that has lost as many workers has still an attempt left."""
LONGEST_WAIT_S = {"dispatcher": 1.0, "image_worker": 4.0, "label_worker": 0.6, "indexer": 1.0}
"""A worker is killed up to so long after it has got something to do; about as long as its tasks take."""
POLL_S = 0.01

Victim = Literal["worker", "child"]


@dataclass(frozen=True, slots=True)
class Kill:
    """A worker to kill while it has something in hand."""

    service: str
    victim: Victim
    """The worker itself, or one of the processes in which it runs its tasks."""
    delay_s: float
    """After it has got something to do."""
    child: int
    """Which of its processes, modulo how many there are."""


def plan_kills(chance: random.Random, service: str, count: int) -> list[Kill]:
    """Kills of a service at random moments: as often the worker as a child of it."""
    victims: list[Victim] = ["worker", "child"]
    return [
        Kill(
            service,
            victims[chance.randrange(2)],
            chance.uniform(0, LONGEST_WAIT_S[service]),
            chance.randrange(8),
        )
        for _ in range(count)
    ]


def strike(stage: Stage, run: Run, kills: Sequence[Kill]) -> int:
    """Kill as planned while a run goes on; how many kills that were before it was over."""
    for number, kill in enumerate(kills):
        if not _await_work(stage, run, kill.service):
            return number
        time.sleep(kill.delay_s)
        family = stage.family(kill.service)
        if run.is_over or len(family) < 2:
            return number
        victim = family[0] if kill.victim == "worker" else family[1 + kill.child % (len(family) - 1)]
        stage.kill(victim, f"{kill.service} {kill.victim}")
    return len(kills)


def strike_all(stage: Stage, run: Run, plans: Sequence[Sequence[Kill]]) -> int:
    """Kill by several plans at the same time; how many kills that were."""
    with ThreadPoolExecutor(len(plans)) as pool:
        return sum(pool.map(lambda kills: strike(stage, run, kills), plans))


def _await_work(stage: Stage, run: Run, service: str) -> bool:
    """Wait until a service has something in hand and all its processes; False when the run ends first."""
    deadline = time.monotonic() + UP_TIMEOUT_S
    while not run.is_over and time.monotonic() < deadline:
        busy = stage.ask(insides.in_hand) or {}
        if busy.get(WORKERS[service]) and len(stage.family(service)) > 1:
            return True
        time.sleep(POLL_S)
    return False


def kill_redis(stage: Stage) -> None:
    """SIGKILL Redis; it comes back from its append-only file."""
    stage.kill_part("redis")
    wait_until(lambda: stage.ask(redis.Redis.ping), UP_TIMEOUT_S, "Redis answers again")


def flush(stage: Stage) -> Written:
    """Make Redis forget everything: messages, ledger, quota. What was made until then, and must stay."""
    made = stage.made()
    stage.redis.flushall()
    stage.tally.faults["FLUSHALL"] += 1
    return made


def stop_store(stage: Stage, seconds: float) -> None:
    """The destination store refuses connections for a while."""
    manager = stage.manager()
    manager.stopProcess("servers:store")
    time.sleep(seconds)
    manager.startProcess("servers:store")
    stage.tally.faults["store stopped"] += 1


def freeze_store(stage: Stage, seconds: float) -> None:
    """The destination store takes connections, but does not answer for a while."""
    (store, *_) = stage.family("store")
    with _stopped(store):
        time.sleep(seconds)
    stage.tally.faults["store frozen"] += 1


def kill_store(stage: Stage, _: float) -> None:
    """The destination store dies in the middle of whatever it does; supervisord starts it again."""
    stage.kill_part("store")


STORE_FAULTS: dict[str, Callable[[Stage, float], None]] = {
    "stopped": stop_store,
    "frozen": freeze_store,
    "killed": kill_store,
}


@contextmanager
def _stopped(process: psutil.Process) -> Iterator[None]:
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)
