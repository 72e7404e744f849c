"""What a person reads: before a region is built, of the account, and at the end."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from landpatch.build import Choice, Result
from landpatch.forecast import Forecast
from landpatch.messages import RegionRequest
from landpatch.quota import Governor, Quota
from landpatch.records import DeadLetter
from landpatch.settings import Settings

SHOWN_REGIONS = 40
SHOWN_LETTERS = 20
_NAMED = 6
"""Products of a run."""


def describe_dead_letters(letters: Mapping[str, DeadLetter]) -> list[str]:
    """A line for each task that was given up, the first of many."""
    lines = []
    for task, letter in sorted(letters.items())[:SHOWN_LETTERS]:
        what = f"{letter.product or task}: {letter.reason}"
        lines.append(f"{what} ({letter.attempts} attempts, {letter.patches} patches went on without)")
    if len(letters) > SHOWN_LETTERS:
        lines.append(f"… and {len(letters) - SHOWN_LETTERS} more")
    return lines


def describe_forecasts(
    forecasts: Sequence[tuple[RegionRequest, Forecast]], quota: Quota, workers: int, threads: int
) -> str:
    """What regions will take: a line each (the largest, of many), and their sum."""
    total = sum((forecast for _, forecast in forecasts), Forecast())
    lines = []
    largest = sorted(forecasts, key=lambda entry: -entry[1].patches)[:SHOWN_REGIONS]
    if len(forecasts) > 1:
        lines += [
            f"{request.key:<12} {made.patches:>7} patches  {made.images:>7} images  {made.labels:>7} labels"
            f"  {made.products:>5} products  {made.bytes / 1e9:>8.1f} GB"
            for request, made in sorted(largest, key=lambda entry: entry[0].key)
        ]
        if len(forecasts) > len(largest):
            lines.append(f"… and {len(forecasts) - len(largest)} smaller regions")
    title = forecasts[0][0].key if len(forecasts) == 1 else f"{len(forecasts)} regions"
    there = f"{total.patches - total.images - total.uncovered} images are there already"
    lines += [
        f"{title}: {total.patches} patches; {there}",
        f"  images    {total.images} to be made from {total.products} products,"
        f" in {total.rounds} rounds or so",
        f"  labels    {total.labels} to be fetched, {total.label_requests} requests",
        f"  download  {total.bytes / 1e9:.2f} GB, {total.requests} requests{_units(total)}:"
        f" {total.quota_days(quota):.2g} days of the account's quota",
        f"  time      {_duration(total.duration_s(quota, workers * threads))} or more, with"
        f" {workers} image worker{'s' * (workers != 1)} of {threads} threads",
    ]
    if total.uncovered:
        lines.append(f"  missing   {total.uncovered} patches: no product of the catalogue covers them")
    return "\n".join(lines)


def _units(total: Forecast) -> str:
    return f", {total.processing_units:.0f} processing units" if total.processing_units else ""


def _duration(seconds: float) -> str:
    for unit, size in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} seconds"


def describe_quota(governor: Governor) -> str:
    """What is left of the quota of the image source's account, in a line."""
    left, quota = governor.left(), governor.quota
    measure = quota.measure
    line = (
        f"quota left   {left.connections} of {quota.connections} connections, {left.requests} of"
        f" {quota.requests_per_minute} {measure.minute} this minute, {left.volume / measure.scale:.1f} of"
        f" {quota.volume_per_30_days / measure.scale:.0f} {measure.volume} in 30 days"
    )
    return f"{line}; the service asks to wait {left.held_s:.0f} s" if left.held_s else line


def describe_result(result: Result, choice: Choice | None, request: RegionRequest, settings: Settings) -> str:
    """The summary of a run, for a person. choice: what the catalogue had, None when it was not asked."""
    folder = result.index.removesuffix("filename2bbox.parquet")
    more = len(result.products) - _NAMED
    lines = [
        f"{request.key}: {result.images} of {result.patches} images"
        f" ({result.complete} complete, {result.partial} partial), {result.labels} labels,"
        f" in {result.seconds:.0f} s",
        f"  products  {len(result.products)} used, {result.bytes_downloaded / 1e6:.0f} MB downloaded,"
        f" {result.requests} requests",
        *(f"            {name}" for name in result.products[:_NAMED]),
        *([f"            … and {more} more, see patches.parquet"] if more > 0 else []),
        f"  images    {folder}",
        f"  labels    {folder.replace('/images/', '/labels/')}",
        f"  index     {result.index}",
        f'  look      landpatch map {request.nuts} --year {request.year}; see README, "Looking at it"',
    ]
    if choice is not None:
        left_out = (
            f"{choice.superseded} superseded by reprocessing, {choice.offline} offline,"
            f" {choice.unusable} unusable"
        )
        lines.insert(1, f"  catalogue {choice.products} products; left out: {left_out}")
    if settings.source == "sandbox":
        lines.insert(1, "  source    SANDBOX: synthetic pixels")
    if result.missing:
        reasons = Counter(entry["reason"] for entry in result.missing)
        lines.append(f"  missing   {len(result.missing)} patches:")
        lines += [f"            {count} x {reason}" for reason, count in reasons.most_common(10)]
        lines += [f"            {entry['patch']}: {entry['reason']}" for entry in result.missing[:20]]
        if len(result.missing) > 20:
            lines.append("            … the rest is in patches.parquet")
    return "\n".join(lines)


def describe_ended(key: str, result: Result | None, failure: str) -> str:
    """A line of one region among many: what has come out, or why it could not be built."""
    if result is None:
        return f"{key:<12} could not be built: {failure}"
    line = (
        f"{key:<12} {result.images} of {result.patches} images ({result.partial} partial),"
        f" {result.labels} labels"
    )
    if result.missing:
        reason, count = Counter(entry["reason"] for entry in result.missing).most_common(1)[0]
        line += f"; {len(result.missing)} missing, {count} of them: {reason}"
    return line


def describe_batch(results: Mapping[str, Result], failures: Mapping[str, str]) -> str:
    """The summary of many runs, for a person: their sum, and the regions that are not whole."""
    total = sum_up(results, failures)
    lines = [
        f"{len(results)} regions: {total['images']} of {total['patches']} images"
        f" ({total['complete']} complete, {total['partial']} partial), {total['labels']} labels;"
        f" {total['bytes_downloaded'] / 1e6:.0f} MB downloaded, {total['requests']} requests"
    ]
    lines += [f"  {describe_ended(key, result, '')}" for key, result in results.items() if result.missing]
    lines += [f"  {describe_ended(key, None, reason)}" for key, reason in failures.items()]
    return "\n".join(lines)


SUMMED = ("patches", "images", "labels", "complete", "partial", "bytes_downloaded", "requests")


def sum_up(results: Mapping[str, Result], failures: Mapping[str, str]) -> dict[str, Any]:
    """What many runs have given; the keys of `--json`."""
    total = {name: sum(getattr(result, name) for result in results.values()) for name in SUMMED}
    return {"regions": [asdict(result) for result in results.values()], "failed": dict(failures)} | total
