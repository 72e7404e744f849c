"""The command line: `landpatch region FR101`."""

import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from datetime import date
from functools import wraps
from typing import Any, NoReturn, ParamSpec, TextIO

import click

from landpatch import __version__
from landpatch.build import Building, check_region, prepare_request
from landpatch.celery import count_workers
from landpatch.composite import Method
from landpatch.errors import ConfigurationError, LandpatchError, RequestError
from landpatch.forecast import Forecast
from landpatch.gdal import restrict_drivers
from landpatch.grid import Cover
from landpatch.layout import NUTS3_PATTERN, RegionLayout
from landpatch.ledger import open_ledger
from landpatch.log import configure_logging
from landpatch.messages import RegionRequest
from landpatch.planning import Planner
from landpatch.progress import show_preparation, show_progress
from landpatch.quota import open_governor, read_quota
from landpatch.settings import Settings, load_settings
from landpatch.storage import open_store
from landpatch.summary import describe_dead_letters, describe_forecasts, describe_quota, describe_result
from landpatch.verify import verify_region

EXIT_INCOMPLETE = 3
EXIT_REQUEST = 2
EXIT_INFRASTRUCTURE = 1
P = ParamSpec("P")


def _one_line(command: Callable[P, None]) -> Callable[P, None]:
    """Turn the errors of landpatch into one line and the exit code of the contract."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except ConfigurationError as error:
            click.echo(f"landpatch: {error}", err=True)
            sys.exit(EXIT_REQUEST)
        except LandpatchError as error:
            click.echo(f"landpatch: {error}", err=True)
            sys.exit(EXIT_INFRASTRUCTURE)

    return run


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="landpatch")
def main() -> None:
    """Build land-cover training sets: Sentinel-2 images with CLC+ labels, for any NUTS3 region."""
    configure_logging()
    restrict_drivers()


def _settings(embedded: bool = True) -> Settings:
    """The settings, with the embedded stack standing in for whatever is not set."""
    settings = load_settings()
    complete = settings.redis_url and settings.store_endpoint and settings.eo_access_key
    if complete or not embedded:
        return settings
    try:
        from services.stack import start_for  # noqa: PLC0415  # only a checkout has it
    except ImportError:
        raise ConfigurationError(
            "the embedded stack needs a checkout of the project; or set LANDPATCH_REDIS_URL, "
            "AWS_S3_ENDPOINT and the EO_S3_… credentials (see .env.example)"
        ) from None
    return start_for(settings)


def _prepare_sandbox(nuts: str, year: int) -> None:
    """Have the sandbox make the region's products, where that has not been done before."""
    from services.stack.sandbox import prepare  # noqa: PLC0415  # only a checkout has it

    show_preparation((at.done, at.total) for at in prepare(nuts, year))


@dataclass(frozen=True, slots=True)
class _Choices:
    """What is asked for of a region, as a user typed it."""

    year: int
    label_year: int | None
    max_cloud: float
    start: str
    end: str
    cover: Cover
    composite: Method

    def ask(self, nuts: str) -> RegionRequest:
        """The request for a region; raises RequestError."""
        return prepare_request(nuts, today=date.today(), **asdict(self))  # noqa: DTZ011  # the user's day


def _choices(command: Callable[..., None]) -> Callable[..., None]:
    """The options that say what is asked for of a region; the command gets them as `choices`."""
    names = [field.name for field in fields(_Choices)]

    @wraps(command)
    def run(**given: Any) -> None:
        choices = _Choices(**{name: given.pop(name) for name in names})
        command(choices=choices, **given)

    decorated: Callable[..., None] = run
    options = [
        click.option("--year", type=int, default=2021, show_default=True, help="Year of the images."),
        click.option(
            "--label-year", type=int, help="Edition of CLC+ Backbone.  [default: the year, if it has one]"
        ),
        click.option(
            "--max-cloud", type=float, default=30, show_default=True, help="Percent, of a whole product."
        ),
        click.option("--start", default="05-01", show_default=True, help="First day of sensing, MM-DD."),
        click.option("--end", default="09-30", show_default=True, help="Last day of sensing, MM-DD."),
        click.option(
            "--cover",
            type=click.Choice(["intersects", "within"]),
            default="intersects",
            show_default=True,
            help="Take the cells that share area with the region, or only those inside it.",
        ),
        click.option(
            "--composite",
            type=click.Choice(["best", "median"]),
            default="best",
            show_default=True,
            help="Each pixel from the best product, or the median of the clear ones.",
        ),
    ]
    for option in reversed(options):
        decorated = option(decorated)
    return decorated


@main.command()
@click.argument("nuts")
@_choices
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object as the last line of stdout.")
@click.option("--detach", is_flag=True, help="Return once the region is queued.")
@_one_line
def region(
    nuts: str,
    choices: _Choices,
    as_json: bool,
    detach: bool,
) -> None:
    """Build the training set of a NUTS3 region, such as FR101.

    Exit code 0: every patch is there. 3: finished, but some patches are missing or without their
    label. 2: the request is wrong, nothing was written or queued. 1: the infrastructure failed.
    """
    request = choices.ask(nuts)
    settings = _settings()
    checked = check_region(settings, request, explicit_label_year=choices.label_year is not None)
    for line in checked.remarks:
        click.echo(line, err=True)
    if settings.source == "sandbox" and "LANDPATCH_STACK" in os.environ:
        _prepare_sandbox(request.nuts, request.year)
    building = Building(settings, open_ledger(settings))
    joined = building.start(checked.request)
    if joined:
        click.echo(f"{request.key} is being built already; following that run", err=True)
    if detach:
        click.echo(
            f"{request.key} is queued; follow it with `landpatch status {nuts} --year {request.year}`",
            err=True,
        )
        if as_json:
            click.echo(json.dumps({"region": request.nuts, "year": request.year, "state": "queued"}))
        return
    _follow(building, checked.request, as_json)


def _follow(building: Building, request: RegionRequest, as_json: bool) -> NoReturn:
    """Follow a run to its end, say what came out, and exit with the code of the contract."""
    result = show_progress(building, request)
    summary = describe_result(result, building.choice(request), request, building.settings)
    click.echo(summary, err=as_json)
    if as_json:
        click.echo(json.dumps(asdict(result)))
    sys.exit(EXIT_INCOMPLETE if result.missing else 0)


@main.command()
@click.argument("nuts")
@click.option("--year", type=int, default=2021, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object as the last line of stdout.")
@_one_line
def retry(nuts: str, year: int, as_json: bool) -> None:
    """Take up again what failed in the last run of a region, with the options of that run.

    What is there is left alone, and so is what no product shows. Exit codes as of `region`.
    """
    settings = _settings()
    key = f"{nuts.strip().upper()}/{year}"
    building = Building(settings, open_ledger(settings))
    request = building.last_request(key)
    check_region(settings, request, explicit_label_year=False)
    for line in describe_dead_letters(building.ledger.dead_letters(key)):
        click.echo(f"again: {line}", err=True)
    building.start(request, only_failed=True)
    _follow(building, request, as_json)


@main.command()
@click.argument("nuts", nargs=-1)
@click.option("--file", "listed", type=click.File(), help="Take the regions from a file, one a line.")
@_choices
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object as the last line of stdout.")
@_one_line
def plan(
    nuts: tuple[str, ...],
    listed: TextIO | None,
    choices: _Choices,
    as_json: bool,
) -> None:
    """Say what regions would take: patches, products, bytes, requests, quota, time. Changes nothing.

    NUTS: regions such as FR101 LU000, or `all`.
    """
    codes = [*nuts, *(line.strip() for line in listed or () if line.strip())]
    if not codes:
        raise RequestError("which regions? Say: landpatch plan FR101, or: landpatch plan all")
    everywhere = [code.lower() for code in codes] == ["all"]
    requests = (
        [] if everywhere else [choices.ask(code) for code in dict.fromkeys(code.upper() for code in codes)]
    )
    own_catalogue = "odata_url" in load_settings().model_fields_set
    settings = _settings()
    planner = Planner(settings, open_store(settings))
    planner.check(requests)
    if settings.source == "sandbox" and "LANDPATCH_STACK" in os.environ and not own_catalogue:
        if everywhere:
            raise RequestError(
                "the sandbox cannot make all of Europe: name regions, or set EO_S3_ACCESS_KEY_ID or"
                " LANDPATCH_ODATA_URL (the public catalogue asks for no credentials)"
            )
        for request in requests:
            _prepare_sandbox(request.nuts, request.year)
    if everywhere:
        requests = [choices.ask(code) for code in planner.regions()]
    forecasts = []
    for done in planner.forecast(requests):
        forecasts.append(done)
        if len(requests) > 20 and len(forecasts) % 100 == 0:
            click.echo(f"{len(forecasts)} of {len(requests)} regions", err=True)
    quota = read_quota(settings)
    workers = max(1, count_workers(settings, "images"))
    click.echo(describe_forecasts(forecasts, quota, workers, settings.threads), err=as_json)
    if as_json:
        total = sum((forecast for _, forecast in forecasts), Forecast())
        click.echo(
            json.dumps(
                {
                    "regions": {request.key: asdict(forecast) for request, forecast in forecasts},
                    "total": asdict(total),
                    "quota_days": total.quota_days(quota),
                    "seconds": total.duration_s(quota, workers * settings.threads),
                    "workers": workers,
                    "threads": settings.threads,
                }
            )
        )


@main.command()
@click.argument("nuts", required=False)
@click.option("--year", type=int, default=2021, show_default=True)
@_one_line
def status(nuts: str | None, year: int) -> None:
    """Show the ledger: every region, or one."""
    settings = _settings(embedded=False)
    if settings.redis_url is None:
        from services.stack import running_settings  # noqa: PLC0415  # only a checkout has it

        settings = running_settings(settings)
    ledger = open_ledger(settings)
    ledger.check()
    regions = [f"{nuts.upper()}/{year}"] if nuts else ledger.regions()
    if not regions:
        click.echo("no region has been asked for yet")
    for key in regions:
        at = ledger.progress(key)
        click.echo(
            f"{key:<12} {at.state:<9} round {at.round}  products {at.products_done}/{at.products_total}"
            f"  images {at.images_done}/{at.images_total}  labels {at.labels_done}/{at.labels_total}"
            f"  {at.message}".rstrip()
        )
        for line in describe_dead_letters(ledger.dead_letters(key) if at.dead_letters else {}):
            click.echo(f"  dead letter {line}")
    if refused := ledger.refused():
        click.echo(f"{len(refused)} messages could not be read; the last: {refused[0]}")
    if settings.eo_access_key is not None:
        click.echo(describe_quota(open_governor(settings)))


@main.command()
@click.argument("nuts")
@click.option("--year", type=int, default=2021, show_default=True)
@_one_line
def verify(nuts: str, year: int) -> None:
    """Re-read everything that is stored of a region and check it against the index.

    Exit code 0: all is as the index says. 3: it is not; each fault is named.
    """
    settings = _settings()
    nuts = nuts.strip().upper()
    if not NUTS3_PATTERN.fullmatch(nuts):
        raise ConfigurationError(f"{nuts!r} is not a NUTS3 code: five characters, such as FR101")
    verdict = verify_region(open_store(settings), RegionLayout(settings.prefix, nuts, year))
    click.echo(
        f"{nuts}/{year}: {verdict.images} images and {verdict.labels} labels read,"
        f" {len(verdict.faults)} faults; edges of image and label agree best without a shift in"
        f" {verdict.aligned} of {verdict.compared} pairs that have enough of them"
    )
    for fault in verdict.faults:
        click.echo(f"  {fault.object}: {fault.what}")
    sys.exit(EXIT_INCOMPLETE if verdict.faults else 0)


if __name__ == "__main__":
    main()
