"""`landpatch plan`: what regions would take."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, TextIO

import click

from landpatch.celery import count_workers
from landpatch.commands.choices import Choices, take_choices
from landpatch.commands.codes import EVERYWHERE, NO_EUROPE, read_codes, take_regions
from landpatch.commands.entry import has_own_sandbox, one_line, open_settings, prepare_sandbox
from landpatch.errors import RequestError
from landpatch.forecast import Forecast
from landpatch.messages import RegionRequest
from landpatch.planning import Planner
from landpatch.quota import read_quota
from landpatch.settings import Settings, load_settings
from landpatch.storage import open_store
from landpatch.summary import describe_forecasts


@click.command()
@take_regions
@take_choices
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object as the last line of stdout.")
@one_line
def plan(nuts: tuple[str, ...], listed: TextIO | None, choices: Choices, as_json: bool) -> None:
    """Say what regions would take: patches, products, bytes, requests, quota, time. Changes nothing.

    NUTS: regions such as FR101 LU000, or `all`.
    """
    codes = read_codes(nuts, listed)
    everywhere = codes == [EVERYWHERE]
    requests = [] if everywhere else choices.ask(codes)
    own_catalogue = "odata_url" in load_settings().model_fields_set
    settings = open_settings()
    planner = Planner(settings, open_store(settings))
    planner.check(requests)
    if has_own_sandbox(settings) and not own_catalogue:
        if everywhere:
            raise RequestError(NO_EUROPE)
        for request in requests:
            prepare_sandbox(request.nuts, request.year)
    if everywhere:
        requests = choices.ask(planner.regions())
    forecasts = _forecast(planner, requests)
    workers = max(1, count_workers(settings, "images"))
    click.echo(describe_forecasts(forecasts, read_quota(settings), workers, settings.threads), err=as_json)
    if as_json:
        click.echo(json.dumps(_summarise(forecasts, settings, workers)))


def _forecast(planner: Planner, requests: Sequence[RegionRequest]) -> list[tuple[RegionRequest, Forecast]]:
    forecasts = []
    for done in planner.forecast(requests):
        forecasts.append(done)
        if len(requests) > 20 and len(forecasts) % 100 == 0:
            click.echo(f"{len(forecasts)} of {len(requests)} regions", err=True)
    return forecasts


def _summarise(
    forecasts: Sequence[tuple[RegionRequest, Forecast]], settings: Settings, workers: int
) -> dict[str, Any]:
    quota = read_quota(settings)
    total = sum((forecast for _, forecast in forecasts), Forecast())
    return {
        "regions": {request.key: asdict(forecast) for request, forecast in forecasts},
        "total": asdict(total),
        "quota_days": total.quota_days(quota),
        "seconds": total.duration_s(quota, workers * settings.threads),
        "workers": workers,
        "threads": settings.threads,
    }
