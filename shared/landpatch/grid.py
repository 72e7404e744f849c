"""Region polygon -> patches: the one 2500 m grid for all Europe, in EPSG:3035."""

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import Transformer
from shapely.geometry import MultiPolygon, Polygon

from landpatch.patch import CRS, PATCH_SIZE_M, Cover, Patch


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
