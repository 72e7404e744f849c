"""Patches x scenes -> which scene cuts which patch, and what comes next for the rest.

Pure planning: the same patches and scenes give the same plan, in whatever order they are listed.
"""

import heapq
import json
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry import Polygon, box
from shapely.geometry.base import BaseGeometry

from landpatch.grid import from_lonlat, patch_boxes
from landpatch.patch import PATCH_SIZE_M, Patch

_WHOLE = 0.9999
"""A footprint that covers more than this share of a patch covers all of it (its corners are rounded)."""
_NOTHING = 0.001
"""A scene that adds less than this share of a patch to what its datatake has shown adds nothing."""


@dataclass(frozen=True, slots=True)
class Scene:
    """A Sentinel-2 L2A product of the catalogue."""

    id: str
    """The catalogue's id, a UUID."""
    name: str
    """`S2A_MSIL2A_…SAFE`."""
    s3_path: str
    """Folder of the product in the EO data store, without the bucket."""
    tile: str
    """Such as `31UDQ`."""
    sensed: datetime
    """Start of the datatake, UTC."""
    baseline: tuple[int, int]
    """Processing baseline, such as (5, 10)."""
    cloud_cover: float
    """Percent of the whole product."""
    size: int
    """Bytes, 0 where the catalogue does not know."""
    footprint: BaseGeometry | None
    """Where the product has pixels, EPSG:4326, lon lat; None where the catalogue does not know."""

    @property
    def discriminator(self) -> str:
        """The last time stamp of the name, which tells the datastrips of one acquisition apart."""
        return self.name.removesuffix(".SAFE").rsplit("_", 1)[-1]

    @property
    def acquisition(self) -> tuple[str, str, datetime]:
        """Platform, tile and datatake: what reprocessing leaves as it is."""
        return self.name[:3], self.tile, self.sensed

    @property
    def datatake(self) -> tuple[str, datetime]:
        """Platform and start of the datatake: what shows the same clouds in every tile."""
        return self.name[:3], self.sensed

    @property
    def preference(self) -> tuple[float, datetime, str]:
        """Sorts the clearer scene first, then the earlier, then by name."""
        return self.cloud_cover, self.sensed, self.name


def drop_reprocessed(scenes: Sequence[Scene]) -> list[Scene]:
    """Keep, of every acquisition of a tile, only the highest processing baseline.

    Products of the same acquisition and baseline but with another last time stamp are halves of a
    split datastrip, or a plain repetition; both are kept, as nothing but the pixels tells which.
    """
    newest: dict[tuple[str, str, datetime], tuple[int, int]] = {}
    for scene in scenes:
        newest[scene.acquisition] = max(scene.baseline, newest.get(scene.acquisition, (0, 0)))
    kept = {scene.id: scene for scene in scenes if scene.baseline == newest[scene.acquisition]}
    return sorted(kept.values(), key=lambda scene: scene.preference)


def dump_scenes(scenes: Sequence[Scene]) -> str:
    """Scenes as JSON text, to be kept for the rounds that follow."""
    return json.dumps(
        [
            {
                **{name: getattr(scene, name) for name in _PLAIN_FIELDS},
                "sensed": scene.sensed.isoformat(),
                "footprint": scene.footprint.wkt if scene.footprint is not None else None,
            }
            for scene in scenes
        ]
    )


def load_scenes(text: str) -> list[Scene]:
    """The scenes that `dump_scenes` wrote."""
    return [
        Scene(
            **{name: entry[name] for name in _PLAIN_FIELDS if name != "baseline"},
            baseline=tuple(entry["baseline"]),
            sensed=datetime.fromisoformat(entry["sensed"]),
            footprint=shapely.from_wkt(entry["footprint"]),
        )
        for entry in json.loads(text or "[]")
    ]


_PLAIN_FIELDS = ("id", "name", "s3_path", "tile", "baseline", "cloud_cover", "size")


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much of each patch each scene covers, by the footprints; only what shares area is kept."""

    patches: tuple[Patch, ...]
    scenes: tuple[Scene, ...]
    """By preference."""
    footprints: tuple[BaseGeometry | None, ...]
    """The scenes' footprints in EPSG:3035."""
    starts: NDArray[np.intp]
    """(patch + 1): the pairs of patch `n` are `starts[n]` to `starts[n + 1]`, by rising scene number."""
    scene_numbers: NDArray[np.intp]
    """(pair): position in `scenes`."""
    shares: NDArray[np.float64]
    """(pair): share of the patch that the scene covers, above 0 and up to 1."""

    def shares_of(self, patch_number: int) -> dict[int, float]:
        """Numbers of the scenes that show some of a patch, ascending, and the share that each covers."""
        pairs = slice(self.starts[patch_number], self.starts[patch_number + 1])
        return dict(zip(self.scene_numbers[pairs].tolist(), self.shares[pairs].tolist(), strict=True))


def measure_coverage(patches: Sequence[Patch], scenes: Sequence[Scene]) -> Coverage:
    """Which scene covers how much of which patch. A scene without a footprint may cover any."""
    ordered = sorted(scenes, key=lambda scene: scene.preference)
    boxes = patch_boxes(list(patches))
    tree = shapely.STRtree(boxes)
    everything = np.arange(len(patches), dtype=np.intp), np.ones(len(patches))
    # The acquisitions of a tile repeat each other's footprint.
    known: dict[bytes, tuple[BaseGeometry, NDArray[np.intp], NDArray[np.float64]]] = {}
    footprints: list[BaseGeometry | None] = []
    found: list[tuple[NDArray[np.intp], NDArray[np.float64]]] = []
    for scene in ordered:
        if scene.footprint is None:
            footprints.append(None)
            found.append(everything)
            continue
        if scene.footprint.wkb not in known:
            footprint = _project(scene.footprint)
            known[scene.footprint.wkb] = footprint, *_measure_shares(footprint, tree, boxes)
        footprint, touched, shares = known[scene.footprint.wkb]
        footprints.append(footprint)
        found.append((touched, shares))
    counts = [len(touched) for touched, _ in found]
    numbers = np.repeat(np.arange(len(ordered), dtype=np.intp), counts)
    touched = np.concatenate([touched for touched, _ in found] or [np.empty(0, dtype=np.intp)])
    shares = np.concatenate([shares for _, shares in found] or [np.empty(0)])
    by_patch = np.argsort(touched, kind="stable")
    starts = np.searchsorted(touched[by_patch], np.arange(len(patches) + 1))
    return Coverage(
        tuple(patches), tuple(ordered), tuple(footprints), starts, numbers[by_patch], shares[by_patch]
    )


def _project(footprint: BaseGeometry) -> BaseGeometry:
    dense = shapely.segmentize(footprint, 0.05)
    projected = shapely.transform(
        dense, lambda lonlat: np.column_stack(from_lonlat().transform(lonlat[:, 0], lonlat[:, 1]))
    )
    return shapely.make_valid(projected)


def _measure_shares(
    footprint: BaseGeometry, tree: shapely.STRtree, boxes: NDArray[np.object_]
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Numbers of the boxes that share area with a footprint, and how much of each it covers."""
    shapely.prepare(footprint)
    touched = np.sort(tree.query(footprint, predicate="intersects"))
    shares = shapely.covers(footprint, boxes[touched]).astype("float64")
    border = np.flatnonzero(shares == 0)
    area = shapely.area(shapely.intersection(footprint, boxes[touched[border]])) / PATCH_SIZE_M**2
    shares[border] = np.where(area > _WHOLE, 1.0, area)
    return touched[shares > 0], shares[shares > 0]


def plan_first_round(coverage: Coverage) -> dict[str, str]:
    """Choose the scenes of the first round: few, clear, and together over every patch.

    Greedy set cover (Chvátal 1979): always the scene with the most clear area of patches that have none
    yet; a patch that no scene covers whole takes the scene that covers most of it. A scene's gain never
    grows, so only the best is counted anew (Minoux 1978, "lazy greedy"). The plan is for all patches of
    the region, whatever is there already, so that a patch that is made again gets the scene it had.
    Returns patch name -> scene id.
    """
    patch_of_pair = np.repeat(np.arange(len(coverage.patches)), np.diff(coverage.starts))
    best = np.zeros(len(coverage.patches))
    np.maximum.at(best, patch_of_pair, coverage.shares)
    full = coverage.shares >= best[patch_of_pair] - 1e-6
    by_scene = np.argsort(coverage.scene_numbers[full], kind="stable")
    patches = patch_of_pair[full][by_scene]
    ends = np.searchsorted(coverage.scene_numbers[full][by_scene], np.arange(len(coverage.scenes) + 1))
    owned = [patches[ends[n] : ends[n + 1]] for n in range(len(coverage.scenes))]
    is_open = np.ones(len(coverage.patches), dtype=np.bool_)
    clear = [1 - scene.cloud_cover / 100 for scene in coverage.scenes]
    heap = [(-len(own) * clear[number], number) for number, own in enumerate(owned) if len(own)]
    heapq.heapify(heap)
    plan: dict[str, str] = {}
    while heap:
        _, number = heapq.heappop(heap)
        left = owned[number][is_open[owned[number]]]
        entry = (-len(left) * clear[number], number)
        if heap and entry > heap[0]:
            if len(left):
                heapq.heappush(heap, entry)
            continue
        plan |= {coverage.patches[patch].name: coverage.scenes[number].id for patch in left}
        is_open[left] = False
    return plan


def plan_next_round(
    coverage: Coverage,
    tried: Mapping[str, Sequence[str]],
    kept: Mapping[str, Collection[str]],
    max_products: int,
) -> dict[str, str]:
    """Choose the next scene for every patch that is not complete yet.

    tried: patch name -> ids of the scenes tried so far. kept: of these, the ones that showed something of
    the patch. First comes the scene that adds most ground which no scene tried so far covers, then the
    clearest. A scene of a datatake that has shown the same ground already, through another tile, shows
    the same clouds and is left out. So is a patch whose candidates are used up, or that has had
    `max_products`. Returns patch name -> scene id.
    """
    numbers = {patch.name: number for number, patch in enumerate(coverage.patches)}
    plan: dict[str, str] = {}
    for name, before in tried.items():
        if len(before) < max_products:
            chosen = _choose_next(coverage, numbers[name], set(before), kept.get(name, ()))
            if chosen is not None:
                plan[name] = coverage.scenes[chosen].id
    return plan


def _choose_next(
    coverage: Coverage, patch_number: int, tried: Collection[str], kept: Collection[str]
) -> int | None:
    scenes, shares = coverage.scenes, coverage.shares_of(patch_number)
    done = [number for number in shares if scenes[number].id in tried]
    rest = [number for number in shares if scenes[number].id not in tried]
    shown: dict[tuple[str, datetime], list[int]] = defaultdict(list)
    for number in done:
        if scenes[number].id in kept:
            shown[scenes[number].datatake].append(number)
    ground = _Ground(coverage, patch_number)
    rest = [
        number
        for number in rest
        if (same := shown.get(scenes[number].datatake)) is None
        or ground.share_of(number, ground.left_by(same)) > _NOTHING
    ]
    left = ground.left_by(done)
    return min(rest, key=lambda number: (-round(ground.share_of(number, left), 2), number), default=None)


class _Ground:
    """A patch, as far as scenes cover it."""

    def __init__(self, coverage: Coverage, patch_number: int) -> None:
        self._footprints = coverage.footprints
        self._shares = coverage.shares_of(patch_number)
        self._box = box(*coverage.patches[patch_number].bounds)

    def left_by(self, before: Sequence[int]) -> BaseGeometry:
        """What none of these scenes covers. Of a scene without a footprint nothing is known."""
        if any(self._shares[number] == 1 and self._footprints[number] is not None for number in before):
            return Polygon()
        known = [footprint for number in before if (footprint := self._footprints[number]) is not None]
        return self._box.difference(shapely.union_all(known)) if known else self._box

    def share_of(self, number: int, left: BaseGeometry) -> float:
        """Share of the patch that a scene covers of what is left; without a footprint it may cover all."""
        if left is self._box:
            return self._shares[number]
        footprint = self._footprints[number]
        new = left if footprint is None else left.intersection(footprint)
        return float(new.area) / PATCH_SIZE_M**2
