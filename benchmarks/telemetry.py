"""What it costs to count, time, bind and, where that is asked for, trace a patch: no pixels, no network."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import Any
from uuid import uuid4

import structlog
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from landpatch import telemetry, traces
from landpatch.counters import Count, Tally
from landpatch.messages import AdvanceRegion
from landpatch.stages import carry_context, stage
from landpatch.traces import span

PATCHES = 20_000
TILES_A_PATCH = 0.07
"""JP2 tiles of a dense product, over its patches: 121 for 1929."""
REQUESTS_A_PATCH = 0.06


def _patch(number: int, counted: Count, nothing: Callable[[], None]) -> None:
    """All that is told of a patch, with nothing in between."""
    name = f"{number}_0_0_0"
    with structlog.contextvars.bound_contextvars(patch=name), span("patch", patch=name):
        with stage("warp"):
            pass
        with stage("encode"):
            pass
        write = partial(copy_context().run, nothing)
    write()
    counted.add()


def _store() -> None:
    with stage("upload"):
        pass


def _seconds_a_patch() -> float:
    counted = Count("benchmark_patches", "Of this benchmark.", Tally())
    with ThreadPoolExecutor(1, initializer=carry_context()) as pool:
        return pool.submit(_cut, counted).result() / PATCHES


def _cut(counted: Count) -> float:
    """Seconds of CPU that all patches take, with their tiles and requests."""
    begin = time.thread_time()
    for number in range(PATCHES):
        _patch(number, counted, _store)
    for _ in range(int(PATCHES * TILES_A_PATCH)):
        with stage("decode"):
            pass
    for _ in range(int(PATCHES * REQUESTS_A_PATCH)):
        with stage("quota"), stage("download"):
            pass
    return time.thread_time() - begin


class _Nobody(SpanExporter):
    """Takes spans and throws them away."""

    def export(self, spans: Any) -> SpanExportResult:
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        pass


def overhead() -> dict[str, Any]:
    """Microseconds of CPU a patch without traces, as is the default, and with."""
    results: dict[str, Any] = {"us_a_patch": 1e6 * min(_seconds_a_patch() for _ in range(3))}
    telemetry.OTLPSpanExporter = _Nobody  # type: ignore[assignment,misc]
    traces._tracing = tracing = telemetry.Tracing("benchmark", "http://localhost:4318")
    message = AdvanceRegion(run=uuid4().hex, nuts="XX000", year=2021, round=1)
    with tracing.task(message, "benchmark", None, first=True):
        results["us_a_patch_traced"] = 1e6 * _seconds_a_patch()
    traces.stop_tracing()
    traces._tracing = None
    return results
