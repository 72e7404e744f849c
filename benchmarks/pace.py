"""How long what is only simulated would take, on a clock that runs so many times faster.

Two cores cannot cut for a fleet: a simulated task waits for as long as the benchmark `dense` and the
account's quota say that it takes. Nor do two cores keep the books of as many patches in a fraction of the
time: each patch stands for several, so that a message takes what one of so many more patches would.
"""

import os
import time
from dataclasses import dataclass
from functools import lru_cache

import redis

from landpatch.connection import open_redis
from landpatch.forecast import (
    BAND_SHARE,
    PATCH_CPU_S,
    PRODUCT_BYTES,
    PRODUCT_TILES,
    TASK_S,
    TILE_CPU_S,
    count_tiles,
)
from landpatch.messages import CutScene, FetchLabels, SettlePatches, TaskMessage
from landpatch.patch import parse_patch
from landpatch.quota import Governor, open_governor
from landpatch.settings import load_settings
from services.image_worker.turn import Turn

VARIABLE = "BENCH_TIMES_FASTER"
"""Of the environment: the factor. Without it tasks take no time."""
STANDS_FOR = 8
"""Patches, each patch of a message."""
PRODUCT_PATCHES = 1929
"""That fit into one product."""
LABEL_S = 0.014
"""A label, from the benchmark `labels`."""
BEGUN, ENDED = "bench:begun", "bench:ended"
"""Lists in Redis: every task that was begun, and every one that was done to its end."""


@dataclass(frozen=True, slots=True)
class Cut:
    """What it takes to cut a message's patches out of its product."""

    bytes: int
    cpu_s: float


def price_cut(patches: list[str]) -> Cut:
    """What a product takes, by the constants of `landpatch.forecast`; at most what a whole one does."""
    tiles = min(PRODUCT_TILES, STANDS_FOR * count_tiles([parse_patch(name) for name in patches]))
    size = PRODUCT_BYTES * BAND_SHARE * tiles / PRODUCT_TILES
    count = min(PRODUCT_PATCHES, STANDS_FOR * len(patches))
    return Cut(round(size), TILE_CPU_S * tiles + PATCH_CPU_S * count)


class Pace:
    """Has tasks take their time, and notes each."""

    def __init__(self, factor: float, cores: int, governor: Governor, client: redis.Redis) -> None:
        """cores: on which a worker cuts. governor: of the account. client: to note in."""
        self._factor = factor
        self._cores = cores
        self._governor = governor
        self._client = client

    def begin(self, message: TaskMessage, turn: Turn) -> None:
        """Take the time of a task. turn: to cut, which the processes of a worker share."""
        self._note(BEGUN, message)
        match message:
            case CutScene():
                self._cut(price_cut([work.name for work in message.patches]), turn)
            case SettlePatches():
                self._sleep(PATCH_CPU_S * STANDS_FOR * len(message.patches))
            case FetchLabels():
                self._sleep(LABEL_S * STANDS_FOR * len(message.patches))

    def end(self, message: TaskMessage) -> None:
        """The task is done."""
        self._note(ENDED, message)

    def _cut(self, cut: Cut, turn: Turn) -> None:
        self._sleep(TASK_S)
        # One of the account's connections for a product; while one process of a worker waits, the other cuts.
        with self._governor.request(cut.bytes) as bytes_per_s:
            self._sleep(cut.bytes / bytes_per_s)
        with turn:
            self._sleep(cut.cpu_s / self._cores)

    def _sleep(self, seconds: float) -> None:
        time.sleep(seconds / self._factor)

    def _note(self, where: str, message: TaskMessage) -> None:
        self._client.rpush(where, f"{message.region} {message.run} {message.kind} {message.task}")


@lru_cache(maxsize=1)
def open_pace() -> Pace | None:
    """The pace of the environment; None where tasks take no time."""
    factor = os.environ.get(VARIABLE)
    if factor is None:
        return None
    settings = load_settings(None)
    return Pace(float(factor), settings.threads, open_governor(settings), open_redis(settings))
