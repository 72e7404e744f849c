"""What is in the store, and the ledger's reasons for what is not -> the three index files."""

import json
from dataclasses import replace

import requests
import structlog

from landpatch.grid import lay_grid
from landpatch.index import (
    ImageFacts,
    LabelFacts,
    PatchRow,
    build_filename2bbox,
    build_normalization,
    build_patches,
)
from landpatch.inventory import take_inventory
from landpatch.layout import RegionLayout
from landpatch.ledger import Ledger
from landpatch.messages import RegionRequest, WriteIndex
from landpatch.records import Outcome
from landpatch.settings import Settings
from landpatch.sources.gisco import fetch_boundaries, pick_region
from landpatch.sources.label_source import open_label_source
from landpatch.storage import Store

log = structlog.get_logger()


class Indexer:
    """Writes indexes. Holds no state of its own."""

    def __init__(self, settings: Settings, store: Store, ledger: Ledger, session: requests.Session) -> None:
        """store: the destination. session: for the boundary service."""
        self._labels = open_label_source(settings, session)
        self.settings = settings
        self.store = store
        self.ledger = ledger
        self.session = session

    def write(self, message: WriteIndex) -> None:
        """Index a region; the same message again writes the same bytes."""
        request = message.request
        layout = RegionLayout(self.settings.prefix, request.nuts, request.year)
        rows = self._rows(request, layout)
        if not self.ledger.is_current(message):
            log.warning("the run is over; its index is not written")
            return
        source = self.settings.source
        parquet = "application/vnd.apache.parquet"
        self.store.put(layout.patches, build_patches(rows, source, self._labels.names), parquet)
        self.store.put(layout.normalization, build_normalization(rows, source), "application/yaml")
        self.store.put(layout.filename2bbox, build_filename2bbox(rows, source), parquet)
        for leftover in self.store.find(layout.observations):
            self.store.delete(leftover.key)
        self.ledger.close(request.key, message.run, json.dumps(self._summarise(request, layout, rows)))
        log.info("indexed", patches=len(rows))

    def _rows(self, request: RegionRequest, layout: RegionLayout) -> list[PatchRow]:
        region = pick_region(fetch_boundaries(self.settings.nuts_url, self.session), request.nuts)
        patches = lay_grid(region.boundary, request.cover)
        inventory = take_inventory(self.store, layout)
        stored_labels = {**inventory.labels, **inventory.labels_of(request.label_year, self._labels.recipe)}
        images = self.ledger.outcomes(request.key, "images")
        labels = self.ledger.outcomes(request.key, "labels")
        recipe = request.image_recipe(self.settings.source, self.settings.pixels)
        return [
            self._row(
                patch.name,
                inventory.images.get(patch.name),
                stored_labels.get(patch.name) if request.label_year else None,
                images.get(patch.name),
                labels.get(patch.name),
                (recipe, request.label_year),
            )
            for patch in patches
        ]

    def _row(
        self,
        patch: str,
        image: ImageFacts | None,
        label: LabelFacts | None,
        image_outcome: Outcome | None,
        label_outcome: Outcome | None,
        wanted: tuple[str, int | None],
    ) -> PatchRow:
        """The store decides what is there; the ledger only says why something is not."""
        recipe, edition = wanted
        if image is not None and image.recipe != recipe:
            image = None
        if label is not None and edition and label_outcome == Outcome("complete"):
            # Labels of two editions may be the same bytes; the run knows which it has seen to.
            label = replace(label, edition=edition, source=self._labels.recipe)
        if label is not None and (label.edition, label.source) != (edition, self._labels.recipe):
            label = None
        if image is not None:
            whole = self.settings.is_complete(image.valid_fraction, image.clear_fraction)
            state, reason = ("complete", "") if whole else ("partial", "")
        elif image_outcome is not None and image_outcome.state in {"missing", "failed"}:
            state, reason = image_outcome.state, image_outcome.reason
        else:
            state, reason = "failed", "the image is not in the store, or is not whole"
        label_reason = ""
        if label is None:
            label_reason = "not asked for" if edition is None else "the label is not in the store"
            if label_outcome is not None and label_outcome.reason:
                label_reason = label_outcome.reason
        return PatchRow(patch, state, reason, image, label, label_reason)

    def _summarise(
        self, request: RegionRequest, layout: RegionLayout, rows: list[PatchRow]
    ) -> dict[str, object]:
        work = self.ledger.work(request.key).values()
        facts = self.ledger.facts(request.key)
        missing = [
            {"patch": row.patch, "reason": row.reason or f"label: {row.label_reason}"}
            for row in rows
            if row.image is None or (row.label is None and request.label_year is not None)
        ]
        products = sorted({name for row in rows if row.image is not None for name in row.image.products})
        return {
            "region": request.nuts,
            "year": request.year,
            "patches": len(rows),
            "images": sum(row.image is not None for row in rows),
            "labels": sum(row.label is not None for row in rows),
            "complete": sum(row.state == "complete" for row in rows),
            "partial": sum(row.state == "partial" for row in rows),
            "missing": missing,
            "products": products,
            "bytes_downloaded": sum(entry.bytes_downloaded for entry in work),
            "requests": sum(entry.requests for entry in work) + int(facts.get("catalogue_requests", 0)),
            "index": self.store.url(layout.filename2bbox),
        }
