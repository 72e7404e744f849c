"""The stages of the work: how long each takes, for Prometheus and, if they are asked for, for traces.

The pure core knows nothing of it: whoever calls it takes the time.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from time import perf_counter
from typing import Literal, get_args

import structlog

from landpatch.counters import Durations
from landpatch.traces import span

Stage = Literal["quota", "download", "decode", "warp", "encode", "upload", "labels"]
"""quota: waiting for a connection to the EO data store. download: one request over it. decode: one JP2 tile.
warp, encode: one patch. upload: one object. labels: one request to the label service."""
BOUNDS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)

_SECONDS = Durations(
    "landpatch_stage_seconds", "How long the stages of the work take.", BOUNDS_S, stage=get_args(Stage)
)


@contextmanager
def stage(name: Stage) -> Iterator[None]:
    """A stage of the work; takes as long as the context lasts."""
    begin = perf_counter()
    try:
        with span(name):
            yield
    finally:
        _SECONDS.add(perf_counter() - begin, name)


@contextmanager
def making(patch: str) -> Iterator[None]:
    """A patch is made: its lines of the log and its spans say which."""
    with structlog.contextvars.bound_contextvars(patch=patch), span("patch", patch=patch):
        yield


def carry_context() -> Callable[[], None]:
    """What the threads of a pool begin with, so that their lines and spans belong where those of the thread
    do that makes the pool: `ThreadPoolExecutor(…, initializer=carry_context())`."""
    context = copy_context()

    def begin() -> None:
        for variable, value in context.items():
            variable.set(value)

    return begin
