"""Region polygon -> patches: the one 2500 m grid for all Europe, in EPSG:3035."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import Transformer
from shapely.geometry import MultiPolygon, Polygon

CRS = "EPSG:3035"
PATCH_SIZE_M = 2500
PATCH_SIZE_PX = 250
PIXEL_SIZE_M = 10

Cover = Literal["intersects", "within"]


@dataclass(frozen=True, order=True, slots=True)
class Patch:
    """One 2500 m cell of the European grid that belongs to a region.

    The four numbers are functions of the region's boundary alone.
    """

    cell_id: int
    """Row-major number of the cell in the region's full rectangle, from its lower-left cell."""
    xmin: int
    """Lower-left corner, metres, EPSG:3035; a multiple of 2500."""
    ymin: int
    """Lower-left corner, metres, EPSG:3035; a multiple of 2500."""
    part: int
    """Which part of the region's polygon the cell belongs to; parts ordered by falling area."""

    @property
    def name(self) -> str:
        """`{xmin}_{ymin}_{part}_{cell_id}`, the stem of the file names."""
        return f"{self.xmin}_{self.ymin}_{self.part}_{self.cell_id}"

    @property
    def bounds(self) -> tuple[int, int, int, int]:
        """(xmin, ymin, xmax, ymax), metres, EPSG:3035."""
        return self.xmin, self.ymin, self.xmin + PATCH_SIZE_M, self.ymin + PATCH_SIZE_M


def parse_patch(name: str) -> Patch:
    """The patch that a name `{xmin}_{ymin}_{part}_{cell_id}` tells of.

    Raises ValueError for anything that is not such a name on the 2500 m grid.
    """
    xmin, ymin, part, cell_id = (int(field) for field in name.split("_"))
    patch = Patch(cell_id=cell_id, xmin=xmin, ymin=ymin, part=part)
    if patch.name != name or xmin % PATCH_SIZE_M or ymin % PATCH_SIZE_M or part < 0 or cell_id < 0:
        raise ValueError(f"not the name of a patch on the {PATCH_SIZE_M} m grid: {name!r}")
    return patch


def lay_grid(region: Polygon | MultiPolygon, cover: Cover = "intersects") -> list[Patch]:
    """Lay the 2500 m grid over a region.

    region: EPSG:3035, metres. cover: `intersects` takes every cell that shares area with the region,
    `within` only the cells that lie inside it. Returns the patches by rising cell number.
    """
    col0, row0, col1, _ = _cell_range(region.bounds)
    columns = col1 - col0
    owner: dict[int, int] = {}
    for part_number, part in enumerate(_parts_by_area(region)):
        for col, row in _cells_sharing_area(part):
            owner.setdefault((row - row0) * columns + (col - col0), part_number)
    patches = [
        Patch(
            cell_id=cell_id,
            xmin=(col0 + cell_id % columns) * PATCH_SIZE_M,
            ymin=(row0 + cell_id // columns) * PATCH_SIZE_M,
            part=part_number,
        )
        for cell_id, part_number in sorted(owner.items())
    ]
    if cover == "within":
        shapely.prepare(region)
        inside = shapely.covers(region, patch_boxes(patches))
        patches = [patch for patch, keep in zip(patches, inside, strict=True) if keep]
    return patches


@lru_cache(maxsize=1)
def to_lonlat() -> Transformer:
    """From the grid's CRS to EPSG:4326, lon lat; made once, as making one takes long."""
    return Transformer.from_crs(CRS, "EPSG:4326", always_xy=True)


@lru_cache(maxsize=1)
def from_lonlat() -> Transformer:
    """From EPSG:4326, lon lat, to the grid's CRS; made once."""
    return Transformer.from_crs("EPSG:4326", CRS, always_xy=True)


def patch_boxes(patches: list[Patch]) -> NDArray[np.object_]:
    """The cells as shapely polygons, EPSG:3035, in the order given; shape (patch,)."""
    xmin = np.array([patch.xmin for patch in patches], dtype="float64")
    ymin = np.array([patch.ymin for patch in patches], dtype="float64")
    boxes: NDArray[np.object_] = shapely.box(xmin, ymin, xmin + PATCH_SIZE_M, ymin + PATCH_SIZE_M)
    return boxes


def _parts_by_area(region: Polygon | MultiPolygon) -> list[Polygon]:
    parts = [part for part in shapely.get_parts(region) if part.area > 0]
    return sorted(parts, key=lambda part: (-part.area, part.bounds))


def _cell_range(bounds: tuple[float, float, float, float]) -> tuple[int, int, int, int]:
    """First column, first row, one past the last column, one past the last row."""
    xmin, ymin, xmax, ymax = (bound / PATCH_SIZE_M for bound in bounds)
    return int(np.floor(xmin)), int(np.floor(ymin)), int(np.ceil(xmax)), int(np.ceil(ymax))


def _cells_sharing_area(part: Polygon) -> Iterator[tuple[int, int]]:
    col0, row0, col1, row1 = _cell_range(part.bounds)
    cols, rows = (axis.ravel() for axis in np.meshgrid(np.arange(col0, col1), np.arange(row0, row1)))
    boxes = shapely.box(
        cols * PATCH_SIZE_M, rows * PATCH_SIZE_M, (cols + 1) * PATCH_SIZE_M, (rows + 1) * PATCH_SIZE_M
    )
    shapely.prepare(part)
    touched = shapely.intersects(part, boxes)
    shares = touched & shapely.covers(part, boxes)
    border = np.flatnonzero(touched & ~shares)
    shares[border] = shapely.area(shapely.intersection(part, boxes[border])) > 0
    yield from zip(cols[shares].tolist(), rows[shares].tolist(), strict=True)
