"""What a person sees while a region is built."""

import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bars
from rich.text import Text

from landpatch.build import Building, Result
from landpatch.errors import InfrastructureError
from landpatch.messages import RegionRequest
from landpatch.records import Progress

T = TypeVar("T")
POLL_S = 0.25
PLAIN_EVERY_S = 5.0
PATIENCE_S = 60.0
"""How long a queued region may wait before the user is told that nobody takes it up."""

OUTAGE_S = 300.0
"""How long Redis may be away before following a run is given up; the run itself is not."""


class _Rate(ProgressColumn):
    """Things a second."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.1f}/s" if task.speed else "", style="progress.data.speed")


def show_progress(building: Building, request: RegionRequest) -> Result:
    """Follow a run to its end: bars in a terminal, plain lines elsewhere. Returns its result."""
    console = Console(stderr=True)
    if console.is_terminal:
        _show_bars(console, building, request)
    else:
        _print_lines(console, building, request)
    return building.result(request)


def show_preparation(steps: Iterable[tuple[int, int]]) -> None:
    """Follow the making of the sandbox's products; steps: done and total."""
    console = Console(stderr=True)
    if console.is_terminal:
        with Bars(*bar_columns(), console=console, transient=True) as bars:
            task = bars.add_task("sandbox", total=None)
            for done, total in steps:
                bars.update(task, completed=done, total=total or None)
        return
    shown = -1
    for done, total in steps:
        if done != shown and done < total:
            console.print(f"making the sandbox's products: {done}/{total}", highlight=False)
            shown = done


def follow(items: Iterable[T], total: int, what: str) -> Iterator[T]:
    """Hand on items one by one, and show in a terminal how many have passed."""
    console = Console(stderr=True)
    with Bars(*bar_columns(), console=console, transient=True, disable=not console.is_terminal) as bars:
        yield from bars.track(items, total=total, description=what)


def bar_columns() -> tuple[ProgressColumn, ...]:
    """What a bar of ours shows."""
    return (
        TextColumn("{task.description:<10}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeElapsedColumn(),
        TextColumn("ETA"),
        TimeRemainingColumn(),
    )


def _counts(at: Progress) -> dict[str, tuple[int, int]]:
    return {
        "products": (at.products_done, at.products_total),
        "images": (at.images_done, at.images_total),
        "labels": (at.labels_done, at.labels_total),
    }


def _show_bars(console: Console, building: Building, request: RegionRequest) -> None:
    with Bars(*bar_columns(), console=console) as bars:
        tasks = {name: bars.add_task(name, total=None) for name in ("products", "images", "labels")}
        for at in _watch(console, building, request):
            for name, (done, total) in _counts(at).items():
                bars.update(tasks[name], completed=done, total=total or None)


def _print_lines(console: Console, building: Building, request: RegionRequest) -> None:
    begin, last, shown = time.monotonic(), -PLAIN_EVERY_S, ""
    for at in _watch(console, building, request):
        counts = ", ".join(f"{name} {done}/{total}" for name, (done, total) in _counts(at).items())
        line = f"{request.key} {at.state}{f' ({at.message})' if at.message else ''}: {counts}"
        now = time.monotonic() - begin
        ended = at.state in {"done", "failed"}
        if line != shown and (now - last >= PLAIN_EVERY_S or ended):
            console.print(f"{line}{_pace(at, now)}", highlight=False, soft_wrap=True)
            last, shown = now, line


def _pace(at: Progress, elapsed_s: float) -> str:
    if not at.images_done or at.images_done >= at.images_total:
        return ""
    rate = at.images_done / elapsed_s
    return f", {rate:.1f} images/s, ETA {(at.images_total - at.images_done) / rate:.0f} s"


def _watch(console: Console, building: Building, request: RegionRequest) -> Iterator[Progress]:
    def look() -> Progress:
        at = building.progress(request)
        if at.state == "absent":
            # Redis has lost everything; what is in the store is not made again.
            console.print(f"{request.key}: Redis has forgotten the run; it begins anew", soft_wrap=True)
            building.start(request)
        return at

    begin, warned = time.monotonic(), False
    for at in poll(console, look, POLL_S):
        if at.state == "absent":
            continue
        yield at
        if at.state in {"done", "failed"}:
            return
        if at.state == "queued" and not warned and time.monotonic() - begin > PATIENCE_S:
            console.print("no dispatcher has taken the region up yet: is one running? (`make status`)")
            warned = True


def poll(console: Console, ask: Callable[[], T], every_s: float) -> Iterator[T]:
    """What `ask` answers, again and again. While Redis is away it is waited for; raises InfrastructureError
    when that lasts too long."""
    away_since = None
    while True:
        try:
            answer = ask()
        except InfrastructureError as error:
            now = time.monotonic()
            if away_since is None:
                away_since = now
                console.print(f"{error}; waiting for it", soft_wrap=True)
            elif now - away_since > OUTAGE_S:
                raise
        else:
            away_since = None
            yield answer
        time.sleep(every_s)
