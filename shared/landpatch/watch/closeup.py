"""One region, patch by patch, from look to look. Reads only."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import cast

from landpatch.errors import LandpatchError
from landpatch.index import read_states
from landpatch.layout import RegionLayout
from landpatch.ledger import Kind, Ledger
from landpatch.patch import Cover
from landpatch.records import Outcome, State
from landpatch.storage import Store
from landpatch.watch.maps import Atlas
from landpatch.watch.sights import Letter, Reason, Row, View
from landpatch.watch.states import mark_states

OVER = {"done", "failed"}
"""States of a run that does not change any more."""
REFRESH_S = 10.0
"""How often outcomes are read although there are no more of them than before."""
SHOWN_REASONS = 30
SHOWN_PATCHES = 12
"""Of those that have a reason in common."""
SHOWN_LETTERS = 30
LONGEST_TEXT = 300
Outcomes = Mapping[str, Outcome]


class CloseUp:
    """Looks at a region; keeps what the next look can be spared."""

    def __init__(self, key: str, ledger: Ledger, store: Store | None, prefix: str, atlas: Atlas) -> None:
        """key: region and year. store, prefix: where regions that are done are told of; None where there is
        no store."""
        self._key = key
        self._ledger = ledger
        self._store = store
        self._prefix = prefix
        self._atlas = atlas
        self._finished: View | None = None
        """Of the run that is over."""
        self._read_at: tuple[float, int, int] | None = None
        """When outcomes were read last, and how many of images and labels there were."""
        self._outcomes: dict[Kind, Outcomes] = {"images": {}, "labels": {}}
        self._tasks: dict[Kind, dict[str, list[int]]] = {"images": {}, "labels": {}}
        """Places of the patches of each task in hand."""

    def look(self, row: Row, now_s: float) -> View:
        """How it is. row: how far it is. Raises InfrastructureError when Redis cannot be reached."""
        facts = self._ledger.facts(self._key)
        run = facts.get("run", "")
        if self._finished is not None and self._finished.run == run and facts.get("state") in OVER:
            return self._finished
        cover, labelled = read_request(facts)
        view = View(self._key, run, cover, letters=self._read_letters(row))
        try:
            places = self._atlas.find(self._key.partition("/")[0], cover).places
        except LandpatchError as error:
            return replace(view, fault=str(error))
        if facts.get("state") in OVER:
            return self._look_at_index(view, places, labelled)
        self._finished = None
        return self._look_at_ledger(view, row, places, labelled, now_s)

    def _look_at_ledger(
        self, view: View, row: Row, places: Mapping[str, int], labelled: bool, now_s: float
    ) -> View:
        self._read_outcomes(row, now_s)
        images, labels = (
            mark_states(places, self._outcomes[kind], self._find_cutting(kind, places), "queued")
            for kind in self._outcomes
        )
        reasons = tuple(sum_up(self._outcomes))
        return replace(view, images=images, labels=labels if labelled else b"", reasons=reasons)

    def _read_outcomes(self, row: Row, now_s: float) -> None:
        """What has become of the patches; read when there are more, or the last time was long ago."""
        counts = (row.at.images_done, row.at.labels_done)
        if self._read_at is None or self._read_at[1:] != counts or now_s - self._read_at[0] > REFRESH_S:
            self._outcomes = {kind: self._ledger.outcomes(self._key, kind) for kind in self._outcomes}
            self._read_at = (now_s, *counts)

    def _find_cutting(self, kind: Kind, places: Mapping[str, int]) -> Iterable[int]:
        """Places of the patches whose task is in hand; what a task is about is asked for once."""
        in_hand = self._ledger.in_hand(self._key, kind)
        known = self._tasks[kind]
        asked = self._ledger.patches_of(self._key, kind, [task for task in in_hand if task not in known])
        new = {task: [places[name] for name in names if name in places] for task, names in asked.items()}
        self._tasks[kind] = {task: (known | new)[task] for task in in_hand if task in known or task in new}
        return [place for task in self._tasks[kind].values() for place in task]

    def _look_at_index(self, view: View, places: Mapping[str, int], labelled: bool) -> View:
        """Of a run that is over the ledger has forgotten the patches; the index in the store tells."""
        self._read_at, self._outcomes = None, {"images": {}, "labels": {}}
        try:
            outcomes = self._read_index()
        except LandpatchError as error:
            return replace(view, fault=str(error))
        wanted = {kind: found for kind, found in outcomes.items() if kind == "images" or labelled}
        marked = {kind: mark_states(places, found, (), "unknown") for kind, found in wanted.items()}
        self._finished = replace(
            view, images=marked["images"], labels=marked.get("labels", b""), reasons=tuple(sum_up(wanted))
        )
        return self._finished

    def _read_index(self) -> dict[Kind, Outcomes]:
        nuts, _, year = self._key.partition("/")
        layout = RegionLayout(self._prefix, nuts, int(year))
        index = self._store.get(layout.patches) if self._store is not None else None
        rows = read_states(index) if index is not None else []
        return {
            "images": {row.patch: Outcome(cast("State", row.state), row.reason) for row in rows},
            "labels": {
                row.patch: Outcome("complete" if row.label else "missing", row.label_reason) for row in rows
            },
        }

    def _read_letters(self, row: Row) -> tuple[Letter, ...]:
        if not row.at.dead_letters:
            return ()
        letters = sorted(self._ledger.dead_letters(self._key).items())
        return tuple(
            Letter(shorten(letter.product or task), shorten(letter.reason), letter.attempts, letter.patches)
            for task, letter in letters[:SHOWN_LETTERS]
        )


def read_request(facts: Mapping[str, str]) -> tuple[Cover, bool]:
    """Which cells a run is about, and whether labels are wanted. facts: of the run."""
    request = json.loads(facts.get("request", "{}"))
    cover: Cover = "within" if request.get("cover") == "within" else "intersects"
    return cover, request.get("label_year") is not None


def sum_up(outcomes: Mapping[Kind, Outcomes]) -> Iterable[Reason]:
    """Reasons of what is not there, the most frequent first."""
    found: defaultdict[tuple[str, str, str], list[str]] = defaultdict(list)
    for kind, of_kind in outcomes.items():
        for name, outcome in of_kind.items():
            if outcome.state in {"missing", "failed"}:
                found[kind.removesuffix("s"), outcome.state, shorten(outcome.reason)].append(name)
    ordered = sorted(found.items(), key=lambda entry: (-len(entry[1]), entry[0]))
    for (what, state, reason), names in ordered[:SHOWN_REASONS]:
        yield Reason(what, state, reason, len(names), tuple(sorted(names)[:SHOWN_PATCHES]))


def shorten(text: str) -> str:
    """A text that fits on the page."""
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}…"
