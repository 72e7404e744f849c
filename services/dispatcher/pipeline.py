"""Boundary -> grid -> what is there -> catalogue -> coverage -> messages, round after round."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

import requests
import structlog
from shapely.geometry import MultiPolygon, Polygon

from landpatch.blocks import lay_blocks
from landpatch.celery import count_patches, finish, send_claimed
from landpatch.coverage import (
    Coverage,
    Scene,
    drop_reprocessed,
    dump_scenes,
    load_scenes,
    measure_coverage,
    plan_first_round,
    plan_next_round,
)
from landpatch.grid import lay_grid
from landpatch.index import read_patches
from landpatch.inventory import take_inventory
from landpatch.layout import RegionLayout
from landpatch.ledger import KINDS, Ledger
from landpatch.messages import (
    AdvanceRegion,
    CutScene,
    FetchLabels,
    ImageMessage,
    PatchWork,
    PlanRegion,
    RegionRequest,
    SceneRef,
    SettlePatches,
)
from landpatch.patch import Patch
from landpatch.records import Outcome, Work
from landpatch.settings import Settings
from landpatch.sources.catalogue import open_catalogue
from landpatch.sources.gisco import Boundaries, fetch_boundaries, pick_region
from landpatch.sources.label_source import open_label_source
from landpatch.sources.odata import search_area
from landpatch.storage import Store

SETTLE_BATCH = 64
"""Patches in a message that asks to write what there is."""
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _History:
    """What the rounds so far have done, by patch."""

    tried: Mapping[str, list[str]]
    """Ids of the scenes it was sent to, in order."""
    kept: Mapping[str, set[str]]
    """Ids of the scenes whose observation is kept."""


class Dispatcher:
    """Plans regions. Holds no state of its own but the boundaries: all is in the ledger and in the store."""

    def __init__(self, settings: Settings, store: Store, ledger: Ledger, session: requests.Session) -> None:
        """store: the destination. session: for the boundary service, the catalogue and the labels."""
        self.settings = settings
        self.store = store
        self.ledger = ledger
        self.session = session
        self._catalogue = open_catalogue(settings, session)
        self._labels = open_label_source(settings, session)
        self._boundaries: Boundaries | None = None

    def plan(self, message: PlanRegion) -> None:
        """Begin a region; the same message again changes nothing."""
        request, run = message.request, message.run
        if self.ledger.facts(request.key).get("state") in {"queued", "planning"}:
            self._plan(message)
        self._send(request.key, run)
        # What is still pending says so itself when it is over; this is for a region with nothing to do.
        finish(self.ledger, message)

    def _plan(self, message: PlanRegion) -> None:
        request, run = message.request, message.run
        self.ledger.note(request.key, run, state="planning", message="looking what is there")
        boundary = self._boundary(request)
        patches = lay_grid(boundary, request.cover)
        images, labels = self._take_stock(message, {patch.name for patch in patches})
        self.ledger.record(request.key, run, "images", images)
        self.ledger.record(request.key, run, "labels", labels)
        totals = {"patches": len(patches), "labels": len(patches) if request.label_year else 0}
        self.ledger.note(request.key, run, **totals)
        if request.label_year:
            unlabelled = [patch for patch in patches if patch.name not in labels]
            self._add_labels(request, run, request.label_year, unlabelled)
        wanted = [patch.name for patch in patches if patch.name not in images]
        if wanted:
            self.ledger.note(request.key, run, message="asking the catalogue")
            every = patches if request.cover == "intersects" else lay_grid(boundary)
            scenes = self._find_scenes(request, run, every)
            self.ledger.keep_scenes(request.key, run, dump_scenes(scenes))
            coverage = measure_coverage(every, scenes)
            plan = plan_first_round(coverage)
            plan = {name: plan[name] for name in wanted if name in plan}
            self._open_round(request, run, 1, coverage, plan, wanted, _History({}, {}))
        else:
            self.ledger.open_round(request.key, run, 1, [])
        self.ledger.note(request.key, run, message="")

    def _take_stock(
        self, message: PlanRegion, names: Set[str]
    ) -> tuple[dict[str, Outcome], dict[str, Outcome]]:
        """Images and labels that are in the store, checked; of a retry also what is known to be missing."""
        request = message.request
        layout = RegionLayout(self.settings.prefix, request.nuts, request.year)
        inventory = take_inventory(self.store, layout)
        complete = self.settings.is_complete
        recipe = request.image_recipe(self.settings.source, self.settings.pixels)
        images = {
            name: Outcome("complete" if complete(found.valid_fraction, found.clear_fraction) else "partial")
            for name, found in inventory.images_of(recipe).items()
            if name in names
        }
        there = inventory.labels_of(request.label_year, self._labels.recipe)
        labels = {name: Outcome("complete") for name in there if name in names}
        if message.only_failed and (index := self.store.get(layout.patches)) is not None:
            for name, row in read_patches(index).items():
                if name in names and row.state == "missing":
                    images.setdefault(name, Outcome("missing", row.reason))
        return images, labels

    def advance(self, message: AdvanceRegion) -> None:
        """Plan the next round when the last is over; hand over to the indexer when all is over."""
        facts = self.ledger.facts(message.region)
        if facts.get("state") == "cutting" and not self.ledger.pending(message.region, "images"):
            self._advance(message, facts)
        self._send(message.region, message.run)
        finish(self.ledger, message)

    def _advance(self, message: AdvanceRegion, facts: Mapping[str, str]) -> None:
        region = message.region
        request = RegionRequest.model_validate_json(facts["request"])
        done = self.ledger.outcomes(region, "images")
        patches = lay_grid(self._boundary(request), request.cover)
        unsettled = [patch.name for patch in patches if patch.name not in done]
        if unsettled:
            coverage = measure_coverage(patches, load_scenes(self.ledger.scenes(region)))
            history = self._read_history(region)
            used = {name: history.tried.get(name, []) for name in unsettled}
            plan = plan_next_round(coverage, used, history.kept, self.settings.max_products)
            number = int(facts["round"]) + 1
            if self._open_round(request, message.run, number, coverage, plan, unsettled, history):
                return
        self.ledger.begin_index(message.run, request)

    def _send(self, region: str, run: str) -> None:
        """Send what has not been sent."""
        for kind in KINDS:
            send_claimed(self.ledger, region, run, kind, self.settings.lease_s)

    def _boundary(self, request: RegionRequest) -> Polygon | MultiPolygon:
        # The boundaries of an edition do not change; reading them takes longer than planning a region.
        if self._boundaries is None:
            self._boundaries = fetch_boundaries(self.settings.nuts_url, self.session)
        return pick_region(self._boundaries, request.nuts).boundary

    def _find_scenes(self, request: RegionRequest, run: str, patches: Sequence[Patch]) -> list[Scene]:
        area = search_area(patches)
        findings = self._catalogue.find(area, request.start, request.end, request.max_cloud)
        scenes = drop_reprocessed(findings.scenes)
        self.ledger.note(
            request.key,
            run,
            catalogue_products=len(findings.scenes),
            catalogue_offline=findings.offline,
            catalogue_unusable=findings.unusable,
            catalogue_superseded=len(findings.scenes) - len(scenes),
            catalogue_requests=findings.requests,
        )
        log.info("catalogue asked", found=len(findings.scenes), kept=len(scenes))
        return scenes

    def _open_round(
        self,
        request: RegionRequest,
        run: str,
        number: int,
        coverage: Coverage,
        plan: Mapping[str, str],
        wanted: Iterable[str],
        history: _History,
    ) -> bool:
        """Make the tasks of a round pending: one a product, and one a batch of patches without a next one.

        A patch without a next one of which nothing is kept needs no task: it is settled with the round, as it
        is known here what it was sent to. Returns whether there are tasks.
        """
        scenes = {scene.id: scene for scene in coverage.scenes}
        earlier = {
            name: tuple(
                _refer(scenes[scene_id]) for scene_id in tried if scene_id in history.kept.get(name, ())
            )
            for name, tried in history.tried.items()
        }
        cuts: dict[str, list[str]] = defaultdict(list)
        for name, scene_id in plan.items():
            cuts[scene_id].append(name)
        rest = sorted(name for name in wanted if name not in plan)
        absent = [name for name in rest if not earlier.get(name)]
        settled = explain_absent(absent, history.tried, self.ledger.work(request.key)) if absent else {}
        rest = [name for name in rest if earlier.get(name)]
        header: dict[str, Any] = {
            "run": run,
            "nuts": request.nuts,
            "year": request.year,
            "round": number,
            "recipe": request.image_recipe(self.settings.source, self.settings.pixels),
            "composite": request.composite,
        }
        messages: list[ImageMessage] = []
        for scene_id, names in sorted(cuts.items()):
            work = tuple(PatchWork(name=name, earlier=earlier.get(name, ())) for name in sorted(names))
            scene = _refer(scenes[scene_id])
            messages.append(CutScene(**header, scene=scene, patches=work))
        for block, begin in enumerate(range(0, len(rest), SETTLE_BATCH)):
            batch = rest[begin : begin + SETTLE_BATCH]
            work = tuple(PatchWork(name=name, earlier=earlier[name]) for name in batch)
            messages.append(SettlePatches(**header, block=block, patches=work))
        if self.ledger.open_round(request.key, run, number, messages, settled):
            count_patches("images", settled.values())
            log.info("round opened", round=number, products=len(cuts), settled=len(rest), absent=len(absent))
        return bool(messages)

    def _read_history(self, region: str) -> _History:
        kept: dict[str, set[str]] = defaultdict(set)
        for name, scene_id in self.ledger.kept_observations(region):
            kept[name].add(scene_id)
        return _History(self.ledger.tried(region), kept)

    def _add_labels(self, request: RegionRequest, run: str, edition: int, patches: Sequence[Patch]) -> None:
        if not patches:
            return
        limits = self._labels.limits(edition)
        blocks = lay_blocks(patches, limits.width, limits.height)
        messages = [
            FetchLabels(
                run=run,
                nuts=request.nuts,
                year=request.year,
                round=1,
                label_year=edition,
                block=number,
                patches=tuple(patch.name for patch in block),
            )
            for number, block in enumerate(blocks)
        ]
        self.ledger.add_labels(request.key, run, messages)


def explain_absent(
    patches: Sequence[str], tried: Mapping[str, Sequence[str]], work: Mapping[str, Work]
) -> dict[str, Outcome]:
    """A patch without an observation is missing, or failed when a product of it could not be read.

    tried: patch name -> ids of the scenes it was sent to, in order. work: as of `Ledger.work`.
    """
    faults = {task.rpartition(":")[2]: done.failure for task, done in work.items() if done.failure}
    outcomes = {}
    for name in patches:
        scenes = tried.get(name, ())
        reasons = [faults[scene] for scene in scenes if scene in faults]
        if reasons:
            outcomes[name] = Outcome("failed", reasons[-1])
        elif scenes:
            outcomes[name] = Outcome("missing", f"no valid pixel in any of {len(scenes)} products")
        else:
            outcomes[name] = Outcome("missing", "no product in the catalogue covers it")
    return outcomes


def _refer(scene: Scene) -> SceneRef:
    return SceneRef(
        id=scene.id, name=scene.name, s3_path=scene.s3_path, sensed=scene.sensed, baseline=scene.baseline
    )
