"""Ask for a region: check the request against the services, queue it, read what came out."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import structlog

from landpatch.celery import send_claimed
from landpatch.composite import Method
from landpatch.errors import InfrastructureError, RequestError, TransientError
from landpatch.layout import parse_nuts, probe_key
from landpatch.ledger import Ledger, open_ledger
from landpatch.messages import RegionRequest
from landpatch.patch import Cover
from landpatch.records import Progress
from landpatch.settings import Settings
from landpatch.sources.catalogue import open_catalogue
from landpatch.sources.clcplus import EDITIONS
from landpatch.sources.gisco import fetch_boundaries, pick_region
from landpatch.sources.http import make_session
from landpatch.sources.imagery import check_image_source
from landpatch.sources.label_source import open_label_source
from landpatch.storage import open_store

log = structlog.get_logger()
FIRST_YEAR = 2015
"""Sentinel-2A was launched in June 2015."""


def prepare_request(
    nuts: str,
    year: int,
    label_year: int | None,
    max_cloud: float,
    start: str,
    end: str,
    cover: Cover,
    composite: Method,
    today: date,
    editions: tuple[int, ...] | None = EDITIONS,
) -> RegionRequest:
    """A request from what a user typed; start and end are `MM-DD`.

    editions: the years that there are labels of; None where any may be asked for.
    Raises RequestError with one line that says what is wrong and how to mend it.
    """
    nuts = parse_nuts(nuts)
    if not FIRST_YEAR <= year <= today.year:
        raise RequestError(f"no Sentinel-2 images of {year}: choose a year from {FIRST_YEAR} to {today.year}")
    if not 0 <= max_cloud <= 100:
        raise RequestError(f"MAX_CLOUD is percent, from 0 to 100, not {max_cloud:g}")
    first, last = _day(start, year, "START"), _day(end, year, "END")
    if first > last:
        raise RequestError(f"START {start} is after END {end}")
    if first > today:
        raise RequestError(f"START {first} lies in the future")
    if label_year is None and (editions is None or year in editions):
        label_year = year
    if label_year is not None and not 2000 <= label_year <= 2100:
        raise RequestError(f"no labels of {label_year}: LABEL_YEAR may be {_name_years(editions)}")
    return RegionRequest(
        nuts=nuts,
        year=year,
        label_year=label_year,
        max_cloud=max_cloud,
        start=first,
        end=last,
        cover=cover,
        composite=composite,
    )


def _name_years(editions: tuple[int, ...] | None) -> str:
    return "any from 2000 to 2100" if editions is None else " and ".join(map(str, editions))


def _day(text: str, year: int, name: str) -> date:
    try:
        return datetime.strptime(f"{year}-{text.strip()}", "%Y-%m-%d").date()  # noqa: DTZ007  # a calendar day
    except ValueError:
        raise RequestError(f"{name} is a day as MM-DD, such as 05-01, not {text!r}") from None


def check_regions(
    settings: Settings, requests: Sequence[RegionRequest], explicit_label_year: bool
) -> list[str]:
    """Check everything that can be checked before anything is queued.

    requests: differ in their region alone. Returns what the user should know before the work begins. Raises
    RequestError or ConfigurationError for what the user has to mend, InfrastructureError for what cannot
    be reached.
    """
    remarks = []
    if settings.source == "sandbox":
        remarks.append(
            f"SANDBOX: no {settings.account.variable} is set, so the pixels are synthetic (see README, "
            "'The real thing')"
        )
    open_ledger(settings).check()
    store = open_store(settings)
    store.check()
    session = make_session()
    labels, catalogue = open_label_source(settings, session), open_catalogue(settings, session)
    year, label_year = requests[0].year, requests[0].label_year
    try:
        check_image_source(settings)
        boundaries = fetch_boundaries(settings.nuts_url, session)
        for request in requests:
            pick_region(boundaries, request.nuts)
        catalogue.check()
        if label_year is None:
            remarks.append(f"no CLC+ Backbone of {year} (there is {_name_years(EDITIONS)}): images only")
        else:
            labels.check(label_year)
        if explicit_label_year:
            remarks.append(f"labels are of {label_year}, images of {year}")
    except TransientError as error:
        raise InfrastructureError(str(error)) from error
    store.check_writing(probe_key(settings.prefix))  # last: a wrong request writes nothing
    return remarks


@dataclass(frozen=True, slots=True)
class Choice:
    """What the catalogue had for a run."""

    products: int
    """Online, within the days and the clouds asked for."""
    superseded: int
    """Of these, left out for a higher processing baseline of the same acquisition."""
    offline: int
    """Not online, left out."""
    unusable: int
    """Entries that lack what is needed, left out."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a finished run has given; the keys of `--json`."""

    region: str
    year: int
    patches: int
    images: int
    labels: int
    complete: int
    partial: int
    missing: list[dict[str, str]]
    products: list[str]
    bytes_downloaded: int
    requests: int
    index: str
    seconds: float


class Building:
    """The building of a region, seen from outside."""

    def __init__(self, settings: Settings, ledger: Ledger) -> None:
        """ledger: of the same settings."""
        self.settings = settings
        self.ledger = ledger
        self._begun: dict[str, float] = {}

    def start(self, request: RegionRequest, *, only_failed: bool = False) -> bool:
        """Queue a region. Returns True when it was being built already and that run is joined.

        only_failed: leave alone what the last index calls missing. Raises RequestError when the run under
        way was asked for with other options.
        """
        self._begun.setdefault(request.key, time.monotonic())
        before = self.ledger.facts(request.key)
        run, asked = self.ledger.start(request, only_failed=only_failed)
        if asked != request:
            raise RequestError(
                f"{request.key} is being built with other options; wait for that run to end "
                f"(`landpatch status {request.nuts} --year {request.year}`)"
            )
        try:
            send_claimed(self.ledger, request.key, run, "control", self.settings.lease_s)
        except InfrastructureError as error:
            # The ledger knows the run: the reconciler sends what nobody cares for.
            log.warning("a message could not be sent; the reconciler will", reason=str(error))
        return before.get("run") == run

    def last_request(self, region: str) -> RegionRequest:
        """What a region was last asked for; raises RequestError when it never was, or is being built."""
        facts = self.ledger.facts(region)
        if "request" not in facts:
            raise RequestError(f"{region} has not been built; begin with `landpatch region`")
        if facts["state"] not in {"done", "failed"}:
            raise RequestError(f"{region} is being built; wait for that run to end")
        return RegionRequest.model_validate_json(facts["request"])

    def progress(self, request: RegionRequest) -> Progress:
        """How far it is."""
        return self.ledger.progress(request.key)

    def choice(self, request: RegionRequest) -> Choice | None:
        """What the catalogue had; None when it has not been asked, as nothing was missing."""
        facts = self.ledger.facts(request.key)
        if "catalogue_products" not in facts:
            return None
        return Choice(
            *(int(facts[f"catalogue_{name}"]) for name in ("products", "superseded", "offline", "unusable"))
        )

    def result(self, request: RegionRequest) -> Result:
        """What has come out of a run that was started, or joined, here.

        Raises InfrastructureError when it could not be finished.
        """
        facts = self.ledger.facts(request.key)
        if facts.get("state") != "done":
            raise InfrastructureError(
                f"{request.key} could not be built: {facts.get('message', 'no reason')}"
            )
        summary: dict[str, Any] = json.loads(facts["result"])
        return Result(seconds=round(time.monotonic() - self._begun[request.key], 1), **summary)
