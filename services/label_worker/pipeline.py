"""Window of labels -> classes -> a note, and one .npy a patch -> store -> ledger."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import structlog

from landpatch.blocks import bound_block, halve_block
from landpatch.celery import finish
from landpatch.codec import encode_label
from landpatch.errors import OverloadedError, PermanentError, TooLargeError
from landpatch.label_notes import store_note
from landpatch.layout import RegionLayout
from landpatch.ledger import Ledger
from landpatch.messages import FetchLabels
from landpatch.patch import PIXEL_SIZE_M, Patch, parse_patch
from landpatch.records import Outcome, Work
from landpatch.settings import Settings
from landpatch.sources.clcplus import MAX_SIDE
from landpatch.sources.labels import LabelSource, LabelWindow
from landpatch.stages import stage
from landpatch.storage import Store

MAX_OVERLOADS = 3
"""How often a window that the service fails over is halved; a service that is down fails over any."""
AT_A_TIME = 128
"""Labels that are in memory, and in one note."""
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Part:
    """Labels of some patches of a block."""

    patches: tuple[Patch, ...]
    window: LabelWindow
    refusals: int
    """Requests before it that were for more at once."""


class LabelWorker:
    """Fetches labels. Holds no state of its own: everything is in the ledger and in the store."""

    def __init__(self, settings: Settings, store: Store, ledger: Ledger, source: LabelSource) -> None:
        """store: the destination. source: of the labels."""
        self.settings = settings
        self.store = store
        self.ledger = ledger
        self.source = source
        self._too_many = MAX_SIDE**2 + 1
        """Pixels that the service has refused to give at once."""

    def fetch(self, message: FetchLabels) -> None:
        """Fetch one window over all patches of the block, or as few as the service gives; write each
        patch's part of it."""
        before = self.ledger.outcomes_of(message.region, "labels", message.patches)
        patches = [parse_patch(name) for name in message.patches if name not in before]
        work = Work()
        outcomes = dict(before)
        for part in self._fetch_parts(message.label_year, patches) if patches else ():
            for begin in range(0, len(part.patches), AT_A_TIME):
                labels, found = _encode(part.window, part.patches[begin : begin + AT_A_TIME])
                if not self.ledger.is_current(message):
                    return  # labels of a run that is over may be of another edition than its region has now
                self._store(message, labels)
                self.ledger.record(message.region, message.run, "labels", found)
                outcomes |= found
            work = replace(work, requests=work.requests + part.refusals + part.window.requests)
        self._finish(message, work, outcomes)

    def _fetch_parts(
        self, edition: int, patches: Sequence[Patch], overloads: int = MAX_OVERLOADS
    ) -> Iterator[_Part]:
        """Windows that together hold all patches. What is refused is asked for again in halves; so is, a
        few times, what the service fails over."""
        bounds = bound_block(patches)
        pixels = (bounds[2] - bounds[0]) * (bounds[3] - bounds[1]) // PIXEL_SIZE_M**2
        failed = 0
        if pixels < self._too_many or len(patches) == 1:
            try:
                with stage("labels"):
                    window = self.source.fetch(edition, patches)
                yield _Part(tuple(patches), window, 0)
                return
            except TooLargeError:
                if len(patches) == 1:
                    raise
                self._too_many, failed = min(pixels, self._too_many), 1
            except OverloadedError:
                if len(patches) == 1 or not overloads:
                    raise
                overloads, failed = overloads - 1, 1
            log.warning("a window was refused; asking for its halves", edition=edition, bounds=bounds)
        for half in halve_block(patches):
            for part in self._fetch_parts(edition, half, overloads):
                yield replace(part, refusals=part.refusals + failed)
                failed = 0

    def _store(self, message: FetchLabels, labels: Mapping[str, bytes]) -> None:
        """Store labels by patch name, the note of them first: none is ever there without it."""
        layout = RegionLayout(self.settings.prefix, message.nuts, message.year)
        if labels:
            store_note(self.store, layout, (message.label_year, self.source.recipe), labels)
        for name, data in labels.items():
            self.store.put(layout.label(name), data)

    def give_up(self, message: FetchLabels, reason: str) -> None:
        """Record why these labels cannot be had; the region goes on without them."""
        done = self.ledger.outcomes_of(message.region, "labels", message.patches)
        rest = {name: Outcome("failed", reason) for name in message.patches if name not in done}
        self._finish(message, Work(failure=reason), done | rest)

    def _finish(self, message: FetchLabels, work: Work, outcomes: Mapping[str, Outcome]) -> None:
        finish(self.ledger, message, work, outcomes)
        log.info("labels task done", patches=len(message.patches))


def _encode(window: LabelWindow, patches: Sequence[Patch]) -> tuple[dict[str, bytes], dict[str, Outcome]]:
    """The labels of patches, and what that makes of each, by patch name."""
    labels: dict[str, bytes] = {}
    outcomes: dict[str, Outcome] = {}
    for patch in patches:
        try:
            labels[patch.name] = encode_label(window.cut(patch))
            outcomes[patch.name] = Outcome("complete")
        except PermanentError as error:
            outcomes[patch.name] = Outcome("failed", str(error))
    return labels, outcomes
