"""Patches x scenes -> which scene cuts which patch, and what comes next for the rest.

Pure planning: the same patches and scenes give the same plan, in whatever order they are listed.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import Transformer
from shapely.geometry.base import BaseGeometry

from landpatch.grid import CRS, PATCH_SIZE_M, Patch, patch_boxes

_WHOLE = 0.9999
"""A footprint that covers more than this share of a patch covers all of it (its corners are rounded)."""


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
    """How much of each patch each scene covers, by the footprints."""

    patches: tuple[Patch, ...]
    scenes: tuple[Scene, ...]
    shares: NDArray[np.float64]
    """(scene, patch), 0 to 1."""
    footprints: tuple[BaseGeometry | None, ...]
    """The scenes' footprints in EPSG:3035."""

    def candidates(self, patch_number: int) -> list[int]:
        """Numbers of the scenes that show some of a patch."""
        return [int(number) for number in np.flatnonzero(self.shares[:, patch_number] > 0)]


def measure_coverage(patches: Sequence[Patch], scenes: Sequence[Scene]) -> Coverage:
    """Which scene covers how much of which patch. A scene without a footprint may cover any."""
    ordered = sorted(scenes, key=lambda scene: scene.preference)
    boxes = patch_boxes(list(patches))
    to_grid = Transformer.from_crs("EPSG:4326", CRS, always_xy=True)
    shares = np.zeros((len(ordered), len(patches)))
    footprints: list[BaseGeometry | None] = []
    for number, scene in enumerate(ordered):
        if scene.footprint is None:
            footprints.append(None)
            shares[number] = 1
            continue
        footprint = _project(scene.footprint, to_grid)
        footprints.append(footprint)
        shares[number] = _shares(footprint, boxes)
    return Coverage(tuple(patches), tuple(ordered), shares, tuple(footprints))


def _project(footprint: BaseGeometry, to_grid: Transformer) -> BaseGeometry:
    dense = shapely.segmentize(footprint, 0.05)
    projected = shapely.transform(
        dense, lambda lonlat: np.column_stack(to_grid.transform(lonlat[:, 0], lonlat[:, 1]))
    )
    return shapely.make_valid(projected)


def _shares(footprint: BaseGeometry, boxes: NDArray[np.object_]) -> NDArray[np.float64]:
    shapely.prepare(footprint)
    shares = shapely.covers(footprint, boxes).astype("float64")
    border = np.flatnonzero(shapely.intersects(footprint, boxes) & (shares == 0))
    area = shapely.area(shapely.intersection(footprint, boxes[border])) / PATCH_SIZE_M**2
    shares[border] = np.where(area > _WHOLE, 1.0, area)
    return shares


def plan_first_round(coverage: Coverage) -> dict[str, str]:
    """Choose the scenes of the first round: few, clear, and together over every patch.

    Greedy set cover (Chvátal 1979): always the scene with the most clear area of patches that have none
    yet; a patch that no scene covers whole takes the scene that covers most of it. The plan is for all
    patches of the region, whatever is there already, so that a patch that is made again gets the scene
    it had. Returns patch name -> scene id.
    """
    clear = 1 - np.array([scene.cloud_cover for scene in coverage.scenes]) / 100
    best = coverage.shares.max(axis=0, initial=0)
    open_ = best > 0
    full = (coverage.shares >= best - 1e-6) & (coverage.shares > 0)
    plan: dict[str, str] = {}
    while open_.any():
        gain = (full & open_).sum(axis=1) * clear
        chosen = int(np.argmax(gain))
        if gain[chosen] <= 0:
            chosen = int(np.argmax((full & open_).any(axis=1)))
        for number in np.flatnonzero(full[chosen] & open_):
            plan[coverage.patches[number].name] = coverage.scenes[chosen].id
        open_ &= ~full[chosen]
    return plan


def plan_next_round(
    coverage: Coverage, used: Mapping[str, Sequence[str]], max_products: int
) -> dict[str, str]:
    """Choose the next scene for every patch that is not complete yet.

    used: patch name -> ids of the scenes tried so far, in order. First comes the scene that adds most
    ground which no scene tried so far covers, then the clearest. A patch whose candidates are used up,
    or that has had `max_products`, is left out. Returns patch name -> scene id.
    """
    numbers = {patch.name: number for number, patch in enumerate(coverage.patches)}
    boxes = patch_boxes(list(coverage.patches))
    plan: dict[str, str] = {}
    for name, tried in used.items():
        rest = [n for n in coverage.candidates(numbers[name]) if coverage.scenes[n].id not in tried]
        if not rest or len(tried) >= max_products:
            continue
        box = boxes[numbers[name]]
        seen = [
            footprint
            for scene, footprint in zip(coverage.scenes, coverage.footprints, strict=True)
            if scene.id in tried and footprint is not None
        ]
        missing = box.difference(shapely.union_all(seen)) if seen else box
        plan[name] = coverage.scenes[min(rest, key=lambda n: _order(coverage, n, missing))].id
    return plan


def _order(coverage: Coverage, number: int, missing: BaseGeometry) -> tuple[float, int]:
    """Most new ground first (in steps of one percent of a patch), then by the scenes' preference."""
    footprint = coverage.footprints[number]
    new = missing.area if footprint is None else missing.intersection(footprint).area
    return -round(new / PATCH_SIZE_M**2, 2), number
