"""Which products there are: the acquisitions of each tile of the real grid in each year.

A function of tile and year alone. Each year has a date for every case the pipeline must master: a swath
edge, an old baseline, a reprocessed duplicate, a pair of datastrips, clouds, a product that is offline.
"""

import csv
import uuid
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Literal

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import Transformer
from shapely.geometry import Polygon

from services.sandbox.landscape import DATA, load_regions
from services.sandbox.noise import PIXEL_M, Window
from services.sandbox.sky import COARSE, Sky

TILE_SIZE_M = 109_800
FIRST_YEAR, LAST_YEAR = 2017, 2026
_TRACK = 0.24
"""Metres that the track of a descending orbit lies farther east for each metre north."""

Cut = Literal["none", "edge", "north", "south"]
"""What of a tile a product shows: all; what lies west of the swath's edge; a datastrip's half."""


@dataclass(frozen=True, slots=True)
class Tile:
    """A square of the Sentinel-2 grid."""

    id: str
    epsg: int
    ulx: int
    uly: int
    """Upper-left corner, metres, EPSG `epsg`."""

    @property
    def square(self) -> Polygon:
        """The whole tile, in its own CRS."""
        return shapely.box(self.ulx, self.uly - TILE_SIZE_M, self.ulx + TILE_SIZE_M, self.uly)

    def outline(self, shape: Polygon, epsg: int) -> Polygon:
        """A polygon of the tile's CRS in another one, its edges followed."""
        dense = shapely.segmentize(shape, 10_000)
        transformer = make_transformer(self.epsg, epsg)
        return shapely.transform(dense, lambda xy: np.column_stack(transformer.transform(xy[:, 0], xy[:, 1])))


@dataclass(frozen=True, slots=True)
class Scene:
    """One product: what the satellite saw of a tile on a day, in one processing."""

    tile: Tile
    sensed: datetime
    """Start of the datatake, UTC."""
    platform: str
    relative_orbit: int
    absolute_orbit: int
    baseline: str
    """Four digits, as in the name."""
    generated: datetime
    sky: Sky
    cut: Cut
    online: bool

    @property
    def name(self) -> str:
        """The product's name, with `.SAFE`."""
        return (
            f"{self.platform}_MSIL2A_{self.sensed:%Y%m%dT%H%M%S}_N{self.baseline}_R{self.relative_orbit:03d}"
            f"_T{self.tile.id}_{self.generated:%Y%m%dT%H%M%S}.SAFE"
        )

    @property
    def id(self) -> str:
        """The catalogue's id."""
        return str(uuid.uuid5(uuid.NAMESPACE_URL, self.name))

    @property
    def strip_start(self) -> datetime:
        """Start of the datastrip; the time in the granule's name."""
        return self.sensed + timedelta(seconds=-4)

    @property
    def granule(self) -> str:
        """Name of the granule's folder."""
        return f"L2A_T{self.tile.id}_A{self.absolute_orbit:06d}_{self.strip_start:%Y%m%dT%H%M%S}"

    @property
    def datatake(self) -> str:
        """The datatake's identifier."""
        return (
            f"G{self.platform}_{self.sensed:%Y%m%dT%H%M%S}_{self.absolute_orbit:06d}_N{self.dotted_baseline}"
        )

    @property
    def dotted_baseline(self) -> str:
        """The baseline as the metadata has it, such as `05.10`."""
        return f"{self.baseline[:2]}.{self.baseline[2:]}"

    @property
    def offset(self) -> int:
        """What is added to 10000 times the reflectance to make the DN."""
        return 1000 if self.baseline >= "0400" else 0

    @property
    def folder(self) -> str:
        """Key of the product's folder in the bucket `eodata`."""
        return f"Sentinel-2/MSI/L2A/{self.sensed:%Y/%m/%d}/{self.name}"

    def sees(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Whether points are observed; x, y: metres in the tile's CRS."""
        anchor_x, anchor_y = find_anchor(self.tile)
        if self.cut == "edge":
            return x - anchor_x < _TRACK * (y - anchor_y)
        if self.cut == "none":
            return np.ones(np.broadcast_shapes(x.shape, y.shape), dtype=bool)
        north = y - anchor_y >= -_TRACK * (x - anchor_x)
        return north if self.cut == "north" else ~north

    def footprint(self) -> Polygon:
        """What is observed, in the tile's CRS."""
        if self.cut == "none":
            return self.tile.square
        anchor, far = np.array(find_anchor(self.tile)), 400_000.0
        along = np.array([_TRACK, 1.0]) if self.cut == "edge" else np.array([1.0, -_TRACK])
        aside = {"edge": (-1.0, _TRACK), "north": (_TRACK, 1.0), "south": (-_TRACK, -1.0)}[self.cut]
        side = np.array(aside)
        ring = [anchor - far * along, anchor + far * along, anchor + far * (along + side)]
        half = Polygon([*ring, anchor + far * (side - along)])
        seen = half.intersection(self.tile.square)
        if not isinstance(seen, Polygon):
            raise TypeError(f"{self.name}: its footprint is no polygon")
        return seen

    def cloud_cover(self) -> float:
        """Percent of what is observed that lies under clouds, to six decimals."""
        steps = (np.arange(0, TILE_SIZE_M, 300) + 150).astype("float64")
        x, y = np.meshgrid(self.tile.ulx + steps, self.tile.uly - steps)
        east, north = make_transformer(self.tile.epsg, 3035).transform(x, y)
        cols = np.floor(east / (PIXEL_M * COARSE)).astype("int64")
        rows = np.floor(north / (PIXEL_M * COARSE)).astype("int64")
        col, row = int(cols.min()), int(rows.min())
        window = Window(col, row, int(cols.max()) - col + 1, int(rows.max()) - row + 1)
        cloudy = self.sky.coarse_opacity(window) > 0.2
        seen = self.sees(x, y)
        under = cloudy[window.height - 1 - (rows - row), cols - col]
        return round(100 * float(under[seen].mean()), 6) if seen.any() else 0.0


@dataclass(frozen=True, slots=True)
class _Plan:
    """One line of the yearly plan."""

    month: int
    day: int
    cover: float
    kind: Literal["edge", "old", "twice", "strips", "new", "offline", "overcast"]


_PLANS = (
    _Plan(5, 13, 0.03, "edge"),
    _Plan(6, 12, 0.08, "old"),
    _Plan(6, 27, 0.10, "offline"),
    _Plan(7, 2, 0.15, "twice"),
    _Plan(7, 22, 0.12, "strips"),
    _Plan(8, 11, 0.28, "new"),
    _Plan(9, 5, 0.65, "overcast"),
)
LARGE_REGION = frozenset({"edge", "old", "offline", "new"})
"""What is made for a region of many patches."""
_BASELINES = (
    (date(2019, 7, 8), "0208"), (date(2020, 2, 4), "0213"), (date(2021, 3, 30), "0214"),
    (date(2022, 1, 25), "0301"), (date(2022, 12, 6), "0400"), (date(2023, 12, 13), "0509"),
    (date(2024, 7, 23), "0510"), (date(2026, 2, 1), "0511"),
)  # fmt: skip
"""Up to which day new products had which baseline."""


def plan_scenes(tile: Tile, year: int, *, large: bool = False) -> list[Scene]:
    """The products of a tile in a year, by date; fewer of them for a `large` region."""
    return [
        scene
        for plan in _PLANS
        if not large or plan.kind in LARGE_REGION
        for scene in _acquire(tile, year, plan)
    ]


def _acquire(tile: Tile, year: int, plan: _Plan) -> list[Scene]:
    """What one overpass leaves in the catalogue."""
    swath = _swath(tile)
    day = date(year, plan.month, plan.day) + timedelta(days=swath % 5)
    sensed = datetime(day.year, day.month, day.day, 10, 50 - swath % 30, 31, tzinfo=UTC)
    old = next((baseline for until, baseline in _BASELINES if day < until), "0512")
    new = max("0510", old)
    cuts: dict[str, tuple[Cut, ...]] = {"edge": ("edge",), "strips": ("north", "south")}
    baselines = {"twice": sorted({old, new}), "new": [new]}
    return [
        Scene(
            tile=tile,
            sensed=sensed,
            platform="S2A" if day.toordinal() % 10 < 5 else "S2B",
            relative_orbit=(51 + 14 * swath + 29 * (day.toordinal() % 5)) % 143 + 1,
            absolute_orbit=8000 + round((day.toordinal() - date(2017, 1, 1).toordinal()) * 14.3),
            baseline=baseline,
            generated=_generated(sensed, baseline, old) + timedelta(seconds=part),
            sky=Sky(day, plan.cover),
            cut=cut,
            online=plan.kind != "offline",
        )
        for baseline in baselines.get(plan.kind, [old])
        for part, cut in enumerate(cuts.get(plan.kind, ("none",)))
    ]


def _generated(sensed: datetime, baseline: str, original: str) -> datetime:
    if baseline == original:
        return sensed + timedelta(hours=3, minutes=25, seconds=2)
    again = datetime(max(2023, sensed.year + 1), 2, 3, 4, 11, 27, tzinfo=UTC)
    return again + timedelta(days=sensed.timetuple().tm_yday % 60, seconds=sensed.minute * 61)


def _swath(tile: Tile) -> int:
    """Which orbit's swath a tile lies in, counted from the west; bands of five degrees."""
    centre = shapely.centroid(tile.square)
    lon, _ = make_transformer(tile.epsg, 4326).transform(centre.x, centre.y)
    return int((lon + 40) // 5)


@cache
def make_transformer(source: int, target: int) -> Transformer:
    """A transformer between two EPSG codes, x before y."""
    return Transformer.from_crs(source, target, always_xy=True)


@cache
def load_tiles() -> tuple[Tile, ...]:
    """Every tile of the grid over Europe."""
    with (DATA / "s2_tiles_europe.csv").open(newline="") as rows:
        return tuple(
            Tile(row["tile_id"], int(row["epsg"]), int(row["ulx"]), int(row["uly"]))
            for row in csv.DictReader(rows)
        )


@cache
def _tile_outlines() -> tuple[shapely.STRtree, tuple[Polygon, ...]]:
    outlines = tuple(tile.outline(tile.square, 3035) for tile in load_tiles())
    return shapely.STRtree(outlines), outlines


def find_tiles(area: shapely.Geometry) -> list[Tile]:
    """The tiles that share area with an area, EPSG:3035; of several zones where these overlap."""
    tree, outlines = _tile_outlines()
    return [
        load_tiles()[index]
        for index in sorted(tree.query(area).tolist())
        if outlines[index].intersection(area).area > 0
    ]


@cache
def find_anchor(tile: Tile) -> tuple[float, float]:
    """A point of a tile, in its CRS, through which a swath's edge and a datastrip's end pass.

    The middle of the smallest region that lies in the tile, so that the cut can be met with a small
    region; the middle of the tile where there is none.
    """
    tree, names = _region_points()
    outline = tile.outline(tile.square.buffer(-8000), 3035)
    inside = [names[index] for index in tree.query(outline, predicate="contains")]
    if not inside:
        return tile.ulx + TILE_SIZE_M / 2, tile.uly - TILE_SIZE_M / 2
    smallest = min(inside, key=lambda name: (load_regions()[name].area, name))
    centre = load_regions()[smallest].centroid
    x, y = make_transformer(3035, tile.epsg).transform(centre.x, centre.y)
    return round(x, 1), round(y, 1)


@cache
def _region_points() -> tuple[shapely.STRtree, tuple[str, ...]]:
    regions = load_regions()
    return shapely.STRtree([region.centroid for region in regions.values()]), tuple(regions)
