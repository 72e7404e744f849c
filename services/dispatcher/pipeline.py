"""Boundary -> grid -> what is there -> catalogue -> coverage -> messages, round after round."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import requests
import structlog
from shapely.geometry import MultiPolygon, Polygon

from landpatch.blocks import lay_blocks
from landpatch.celery import send
from landpatch.completion import TaskMessage
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
from landpatch.grid import Patch, lay_grid
from landpatch.inventory import take_inventory
from landpatch.layout import RegionLayout
from landpatch.ledger import Ledger, Outcome
from landpatch.messages import (
    AdvanceRegion,
    CutScene,
    FetchLabels,
    PatchWork,
    PlanRegion,
    RegionRequest,
    SceneRef,
    SettlePatches,
    WriteIndex,
)
from landpatch.settings import Settings
from landpatch.sources.clcplus import read_limits
from landpatch.sources.gisco import Boundaries, fetch_boundaries, pick_region
from landpatch.sources.odata import find_scenes, search_area
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
        """store: the destination. session: for the boundary service and the catalogue."""
        self.settings = settings
        self.store = store
        self.ledger = ledger
        self.session = session
        self._boundaries: Boundaries | None = None

    def plan(self, message: PlanRegion) -> None:
        """Begin a region; the same message again changes nothing."""
        request, run = message.request, message.run
        facts = self.ledger.facts(request.key)
        if facts.get("run") != run or facts.get("state") not in {"queued", "planning"}:
            self._send_outbox(request.key)
            return
        self.ledger.note(request.key, state="planning", message="looking what is there")
        boundary = self._boundary(request)
        patches = lay_grid(boundary, request.cover)
        layout = RegionLayout(self.settings.prefix, request.nuts, request.year)
        inventory = take_inventory(self.store, layout)
        names = {patch.name for patch in patches}
        complete = self.settings.is_complete
        images = {
            name: Outcome("complete" if complete(found.valid_fraction, found.clear_fraction) else "partial")
            for name, found in inventory.images_of(request.image_recipe(self.settings.source)).items()
            if name in names
        }
        there = inventory.labels_of(request.label_year)
        labels = {name: Outcome("complete") for name in there if name in names}
        self.ledger.record(request.key, "images", images)
        self.ledger.record(request.key, "labels", labels)
        self.ledger.note(
            request.key,
            patches=len(patches),
            labels=len(patches) if request.label_year else 0,
        )
        if request.label_year:
            self._send_labels(
                request, run, request.label_year, [patch for patch in patches if patch.name not in labels]
            )
        wanted = [patch.name for patch in patches if patch.name not in images]
        if wanted:
            self.ledger.note(request.key, message="asking the catalogue")
            every = patches if request.cover == "intersects" else lay_grid(boundary)
            scenes = self._find_scenes(request, every)
            self.ledger.keep_scenes(request.key, dump_scenes(scenes))
            coverage = measure_coverage(every, scenes)
            plan = plan_first_round(coverage)
            plan = {name: plan[name] for name in wanted if name in plan}
            self._open_round(request, run, 1, coverage, plan, wanted, _History({}, {}))
        else:
            self.ledger.open_round(request.key, run, 1, {}, {})
        self._send_outbox(request.key)
        self.ledger.note(request.key, message="")
        # Whatever is still pending says so itself; this is for a region with nothing to do.
        send(AdvanceRegion(run=run, nuts=request.nuts, year=request.year, round=1))

    def advance(self, message: AdvanceRegion) -> None:
        """Plan the next round when the last is over; hand over to the indexer when all is over."""
        region = message.region
        facts = self.ledger.facts(region)
        if facts.get("run") != message.run or facts.get("state") not in {"cutting", "indexing"}:
            return
        self._send_outbox(region)
        if message.round != int(facts["round"]) or self.ledger.pending(region, "images"):
            return
        request = RegionRequest.model_validate_json(facts["request"])
        done = self.ledger.outcomes(region, "images")
        patches = lay_grid(self._boundary(request), request.cover)
        unsettled = [patch.name for patch in patches if patch.name not in done]
        if unsettled:
            scenes = load_scenes(self.ledger.scenes(region))
            coverage = measure_coverage(patches, scenes)
            history = self._read_history(region)
            used = {name: history.tried.get(name, []) for name in unsettled}
            plan = plan_next_round(coverage, used, history.kept, self.settings.max_products)
            self._open_round(request, message.run, message.round + 1, coverage, plan, unsettled, history)
        # First the state, then the message: the indexer may be faster than this line.
        elif not self.ledger.pending(region, "labels") and self.ledger.begin_index(region, message.run):
            send(WriteIndex(run=message.run, request=request))

    def _boundary(self, request: RegionRequest) -> Polygon | MultiPolygon:
        # The boundaries of an edition do not change; reading them takes longer than planning a region.
        if self._boundaries is None:
            self._boundaries = fetch_boundaries(self.settings.nuts_url, self.session)
        return pick_region(self._boundaries, request.nuts).boundary

    def _find_scenes(self, request: RegionRequest, patches: Sequence[Patch]) -> list[Scene]:
        area = search_area(patches)
        findings = find_scenes(
            self.settings.odata_url, self.session, area, request.start, request.end, request.max_cloud
        )
        scenes = drop_reprocessed(findings.scenes)
        self.ledger.note(
            request.key,
            catalogue_products=len(findings.scenes),
            catalogue_offline=findings.offline,
            catalogue_unusable=findings.unusable,
            catalogue_superseded=len(findings.scenes) - len(scenes),
            catalogue_requests=findings.requests,
        )
        log.info("catalogue asked", region=request.key, found=len(findings.scenes), kept=len(scenes))
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
    ) -> None:
        """Send the messages of a round: one a product, and one a batch of patches without a next one."""
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
        rest = [name for name in wanted if name not in plan]
        header: dict[str, Any] = {
            "run": run,
            "nuts": request.nuts,
            "year": request.year,
            "round": number,
            "recipe": request.image_recipe(self.settings.source),
            "composite": request.composite,
        }
        messages: list[CutScene | SettlePatches] = []
        for scene_id, names in sorted(cuts.items()):
            work = tuple(PatchWork(name=name, earlier=earlier.get(name, ())) for name in sorted(names))
            scene = _refer(scenes[scene_id])
            messages.append(CutScene(**header, scene=scene, patches=work))
        rest.sort()
        for block, begin in enumerate(range(0, len(rest), SETTLE_BATCH)):
            batch = rest[begin : begin + SETTLE_BATCH]
            work = tuple(PatchWork(name=name, earlier=earlier.get(name, ())) for name in batch)
            messages.append(SettlePatches(**header, block=block, patches=work))
        now_tried = {
            name: list(dict.fromkeys([*history.tried.get(name, []), chosen])) for name, chosen in plan.items()
        }
        texts = {message.task: _to_text(message) for message in messages}
        if self.ledger.open_round(request.key, run, number, texts, now_tried):
            self._send_outbox(request.key)
            log.info("round sent", region=request.key, round=number, products=len(cuts), settled=len(rest))

    def _send_outbox(self, region: str) -> None:
        """Send what waits; what a dispatcher that died had not sent goes out with the next message."""
        for entry, text in self.ledger.outbox(region).items():
            send(_from_text(text))
            self.ledger.mark_sent(region, entry)

    def _read_history(self, region: str) -> _History:
        kept: dict[str, set[str]] = defaultdict(set)
        for name, scene_id in self.ledger.kept_observations(region):
            kept[name].add(scene_id)
        return _History(self.ledger.tried(region), kept)

    def _send_labels(self, request: RegionRequest, run: str, edition: int, patches: Sequence[Patch]) -> None:
        if not patches:
            return
        limits = read_limits(self.settings.clcplus_url, self.session, edition)
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
        self.ledger.add_labels(request.key, {message.task: _to_text(message) for message in messages})


def _to_text(message: TaskMessage) -> str:
    return json.dumps({"type": type(message).__name__, "message": message.model_dump(mode="json")})


def _from_text(text: str) -> TaskMessage:
    entry = json.loads(text)
    types: dict[str, type[TaskMessage]] = {kind.__name__: kind for kind in get_args(TaskMessage)}
    return types[entry["type"]].model_validate(entry["message"])


def _refer(scene: Scene) -> SceneRef:
    return SceneRef(
        id=scene.id, name=scene.name, s3_path=scene.s3_path, sensed=scene.sensed, baseline=scene.baseline
    )
