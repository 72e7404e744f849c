"""A region under way on a real Redis, without workers: the test does their part."""

from dataclasses import dataclass
from datetime import date

from landpatch.grid import lay_grid
from landpatch.ledger import Ledger
from landpatch.messages import FetchLabels, PatchWork, RegionRequest, SettlePatches
from landpatch.patch import Cover
from landpatch.sources.gisco import fetch_boundaries, pick_region
from landpatch.sources.http import make_session

OWNER = "a delivery"
LEASE_S = 60


@dataclass
class UnderWay:
    """A run whose patches are dealt out to tasks of `size` patches."""

    ledger: Ledger
    request: RegionRequest
    run: str
    names: list[str]
    """In the order of the map."""
    cuts: list[SettlePatches]
    labels: list[FetchLabels]

    @property
    def key(self) -> str:
        return self.request.key

    def take(self, message, lease_s: float = LEASE_S) -> None:
        """A worker takes a task in hand."""
        assert self.ledger.begin(message, OWNER, lease_s)


def begin(
    ledger: Ledger,
    nuts_file: str,
    nuts: str,
    size: int,
    *,
    cover: Cover = "intersects",
    labelled: bool = True,
) -> UnderWay:
    """Ask for a region, and do the dispatcher's part."""
    boundary = pick_region(fetch_boundaries(nuts_file, make_session()), nuts).boundary
    names = [patch.name for patch in lay_grid(boundary, cover)]
    request = RegionRequest(
        nuts=nuts, year=2021, label_year=2021 if labelled else None,
        start=date(2021, 5, 1), end=date(2021, 9, 30), cover=cover,
    )  # fmt: skip
    run, _ = ledger.start(request)
    ledger.note(request.key, run, patches=len(names), labels=len(names) if labelled else 0, state="planning")
    blocks = [names[at : at + size] for at in range(0, len(names), size)]
    common = {"run": run, "nuts": nuts, "year": 2021, "round": 1}
    cuts = [
        SettlePatches(
            **common, recipe="r", composite="best", block=number,
            patches=tuple(PatchWork(name=name) for name in block),
        )
        for number, block in enumerate(blocks)
    ]  # fmt: skip
    labels = [
        FetchLabels(**common, label_year=2021, block=number, patches=tuple(block))
        for number, block in enumerate(blocks if labelled else [])
    ]
    ledger.add_labels(request.key, run, labels)
    assert ledger.open_round(request.key, run, 1, cuts)
    return UnderWay(ledger, request, run, names, cuts, labels)
