"""`landpatch region`: build one region, or many."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import NoReturn, TextIO

import click

from landpatch.batch import AT_ONCE, Batch
from landpatch.batch_progress import follow_batch
from landpatch.build import Building, check_regions
from landpatch.commands.choices import Choices, take_choices
from landpatch.commands.codes import EVERYWHERE, NO_EUROPE, read_codes, take_regions
from landpatch.commands.entry import (
    EXIT_INCOMPLETE,
    EXIT_INFRASTRUCTURE,
    EXIT_STOPPED,
    has_own_sandbox,
    one_line,
    open_settings,
    prepare_sandbox,
)
from landpatch.errors import RequestError
from landpatch.ledger import open_ledger
from landpatch.messages import RegionRequest
from landpatch.place import find_region_of
from landpatch.planning import Planner
from landpatch.progress import show_progress
from landpatch.settings import Settings
from landpatch.storage import open_store
from landpatch.summary import describe_batch, describe_result, sum_up

ANY = "FR101"
"""Stands for a region that is looked up later, so that what else is wrong is told before anything starts."""


@click.command()
@take_regions
@click.option("--city", help='Instead of NUTS: a place such as "Brussels, Belgium", whose region is built.')
@take_choices
@click.option(
    "--at-once",
    type=click.IntRange(1, 500),
    default=AT_ONCE,
    show_default=True,
    help="Of many regions, how many are under way at a time.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object as the last line of stdout.")
@click.option("--detach", is_flag=True, help="Return once the region is queued.")
@one_line
def region(
    nuts: tuple[str, ...],
    listed: TextIO | None,
    city: str | None,
    choices: Choices,
    at_once: int,
    as_json: bool,
    detach: bool,
) -> None:
    """Build the training set of a NUTS3 region, such as FR101; of several; or of `all`.

    Instead of a code, a --city names the region that it lies in.

    Exit code 0: every patch is there. 3: finished, but some patches are missing or without their
    label. 2: the request is wrong, nothing was written or queued. 1: the infrastructure failed, or a
    region of many did. The same command again takes up what is missing.
    """
    if city is not None and (nuts or listed):
        raise RequestError("name regions or a --city, not both")
    codes = [ANY] if city is not None else read_codes(nuts, listed)
    everywhere = codes == [EVERYWHERE]
    requests = [] if everywhere else choices.ask(codes)
    settings = open_settings()
    if everywhere:
        requests = _ask_everywhere(settings, choices)
    if city is not None:
        requests = choices.ask([_find_code(city, settings)])
    remarks = check_regions(settings, requests, explicit_label_year=choices.label_year is not None)
    for line in remarks:
        click.echo(line, err=True)
    if has_own_sandbox(settings):
        for request in requests:
            prepare_sandbox(request.nuts, request.year)
    building = Building(settings, open_ledger(settings))
    if detach:
        _queue(building, requests, as_json)
    elif listed is None and len(codes) == 1 and not everywhere:
        if building.start(requests[0]):
            click.echo(f"{requests[0].key} is being built already; following that run", err=True)
        follow(building, requests[0], as_json)
    else:
        _follow_all(Batch(building, requests, at_once), as_json)


def _find_code(city: str, settings: Settings) -> str:
    """The region that a city lies in, said aloud."""
    found = find_region_of(city, settings)
    click.echo(f"{city} lies in {found.nuts} {found.name}", err=True)
    return found.nuts


def _ask_everywhere(settings: Settings, choices: Choices) -> list[RegionRequest]:
    if has_own_sandbox(settings):
        raise RequestError(NO_EUROPE)
    return choices.ask(Planner(settings, open_store(settings)).regions())


def _queue(building: Building, requests: Sequence[RegionRequest], as_json: bool) -> None:
    queued = []
    for request in requests:
        building.start(request)
        queued.append({"region": request.nuts, "year": request.year, "state": "queued"})
        click.echo(
            f"{request.key} is queued; follow it with"
            f" `landpatch status {request.nuts} --year {request.year}`",
            err=True,
        )
    if as_json:
        click.echo(json.dumps(queued[0] if len(queued) == 1 else {"regions": queued}))


def follow(building: Building, request: RegionRequest, as_json: bool) -> NoReturn:
    """Follow a run to its end, say what came out, and exit with the code of the contract."""
    try:
        result = show_progress(building, request)
    except KeyboardInterrupt:
        click.echo(f"{request.key} goes on; the same command follows it again", err=True)
        sys.exit(EXIT_STOPPED)
    summary = describe_result(result, building.choice(request), request, building.settings)
    click.echo(summary, err=as_json)
    if as_json:
        click.echo(json.dumps(asdict(result)))
    sys.exit(EXIT_INCOMPLETE if result.missing else 0)


def _follow_all(batch: Batch, as_json: bool) -> NoReturn:
    try:
        follow_batch(batch)
    except KeyboardInterrupt:
        click.echo(
            f"{batch.ended} of {batch.total} regions have ended, {len(batch.running)} go on;"
            " the same command takes up the rest",
            err=True,
        )
        sys.exit(EXIT_STOPPED)
    click.echo(describe_batch(batch.results, batch.failures), err=as_json)
    if as_json:
        click.echo(json.dumps(sum_up(batch.results, batch.failures)))
    if batch.failures:
        sys.exit(EXIT_INFRASTRUCTURE)
    sys.exit(EXIT_INCOMPLETE if any(result.missing for result in batch.results.values()) else 0)
