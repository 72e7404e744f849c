"""What a person sees while many regions are built."""

import time
from collections.abc import Mapping

from rich.console import Console, Group
from rich.live import Live
from rich.progress import Progress as Bars
from rich.table import Table

from landpatch.batch import Batch
from landpatch.progress import bar_columns, poll
from landpatch.records import Progress
from landpatch.summary import describe_ended

POLL_S = 1.0
PLAIN_EVERY_S = 15.0
SHOWN = 8
"""Regions that a plain line names."""
COUNTED = ("images", "labels")


def follow_batch(batch: Batch) -> None:
    """Follow many regions until all have ended: bars and a table in a terminal, plain lines elsewhere."""
    console = Console(stderr=True)
    if console.is_terminal:
        _show_table(console, batch)
    else:
        _print_lines(console, batch)


def _show_table(console: Console, batch: Batch) -> None:
    bars = Bars(*bar_columns(), console=console)
    tasks = {name: bars.add_task(name, total=None) for name in ("regions", *COUNTED)}
    told: set[str] = set()
    with Live(bars, console=console, refresh_per_second=4) as live:
        for progress in poll(console, batch.step, POLL_S):
            _tell_ended(console, batch, told)
            bars.update(tasks["regions"], completed=batch.ended, total=batch.total)
            for name in COUNTED:
                done, total = _count(batch, progress, name)
                bars.update(tasks[name], completed=done, total=total or None)
            live.update(Group(bars, _table(progress)))
            if batch.ended == batch.total:
                return


def _table(progress: Mapping[str, Progress]) -> Table:
    table = Table(box=None, padding=(0, 2))
    for column in ("region", "state", "round", "products", "images", "labels", ""):
        table.add_column(column, justify="left" if column in {"region", "state", ""} else "right")
    for key, at in progress.items():
        table.add_row(
            key,
            at.state,
            str(at.round),
            f"{at.products_done}/{at.products_total}",
            f"{at.images_done}/{at.images_total}",
            f"{at.labels_done}/{at.labels_total}",
            at.message,
        )
    return table


def _print_lines(console: Console, batch: Batch) -> None:
    told: set[str] = set()
    last = -PLAIN_EVERY_S
    for progress in poll(console, batch.step, POLL_S):
        _tell_ended(console, batch, told)
        ended = batch.ended == batch.total
        if ended or time.monotonic() - last >= PLAIN_EVERY_S:
            console.print(_line(batch, progress), highlight=False, soft_wrap=True)
            last = time.monotonic()
        if ended:
            return


def _line(batch: Batch, progress: Mapping[str, Progress]) -> str:
    counts = [f"{name} {'/'.join(map(str, _count(batch, progress, name)))}" for name in COUNTED]
    running = [f"{key} {at.images_done}/{at.images_total}" for key, at in list(progress.items())[:SHOWN]]
    more = f" and {len(progress) - SHOWN} more" if len(progress) > SHOWN else ""
    under_way = f"; under way: {', '.join(running)}{more}" if running else ""
    return f"regions {batch.ended}/{batch.total}, {', '.join(counts)}{under_way}"


def _count(batch: Batch, progress: Mapping[str, Progress], name: str) -> tuple[int, int]:
    """Done and wanted, of the regions that have begun."""
    done = sum(getattr(at, f"{name}_done") for at in progress.values())
    total = sum(getattr(at, f"{name}_total") for at in progress.values())
    for result in batch.results.values():
        done += getattr(result, name)
        total += result.patches
    return done, total


def _tell_ended(console: Console, batch: Batch, told: set[str]) -> None:
    for key in [*batch.results, *batch.failures]:
        if key not in told:
            told.add(key)
            line = describe_ended(key, batch.results.get(key), batch.failures.get(key, ""))
            console.print(line, highlight=False, soft_wrap=True)
