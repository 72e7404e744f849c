"""Which patches: by place, and how a place is given. Pure."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import Transformer
from pyproj.exceptions import CRSError
from shapely.geometry import shape
from shapely.geometry.base import BaseGeometry

from landpatch.errors import RequestError
from landpatch.index import Bounds
from landpatch.patch import CRS

LONLAT = "EPSG:4326"


def bounds_array(bounds: Sequence[Bounds]) -> NDArray[np.float64]:
    """Bounds as one array, (patch, 4): xmin ymin xmax ymax."""
    return np.array(bounds, dtype="float64").reshape(-1, 4)


def boxes_of(bounds: NDArray[np.float64]) -> NDArray[np.object_]:
    """Bounds, (patch, 4), as shapely polygons, (patch,)."""
    boxes: NDArray[np.object_] = np.asarray(shapely.box(*bounds.T), dtype="object")
    return boxes


def project_shape(area: BaseGeometry, to: Transformer) -> BaseGeometry:
    """A geometry whose corners are moved to another CRS."""

    def move(corners: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.stack(to.transform(corners[:, 0], corners[:, 1]), axis=1)

    return shapely.transform(area, move)


def holds_point(bounds: NDArray[np.float64], x: float, y: float) -> NDArray[np.bool_]:
    """Which patches hold a point; (patch,). West and south edges belong to a patch, so that of patches side
    by side one holds it.

    bounds: (patch, 4), and x, y in one CRS.
    """
    xmin, ymin, xmax, ymax = bounds.T
    found: NDArray[np.bool_] = (xmin <= x) & (x < xmax) & (ymin <= y) & (y < ymax)
    return found


def shares_area(bounds: NDArray[np.float64], polygon: BaseGeometry) -> NDArray[np.bool_]:
    """Which patches share area with a polygon, (patch,); touching is not enough.

    bounds: (patch, 4), in the polygon's CRS.
    """
    boxes = boxes_of(bounds)
    shapely.prepare(polygon)
    found = np.asarray(shapely.intersects(polygon, boxes), dtype="bool")
    near = np.flatnonzero(found)
    found[near] = shapely.area(shapely.intersection(polygon, boxes[near])) > 0
    return found


@lru_cache(maxsize=8)
def _to_grid(crs: str) -> Transformer:
    try:
        return Transformer.from_crs(crs, CRS, always_xy=True)
    except CRSError:
        raise RequestError(f"{crs[:100]!r} is no CRS: say EPSG:4326 or EPSG:3035") from None


def project_point(point: tuple[float, float], crs: str) -> tuple[float, float]:
    """A point (lon, lat), or (x, y) in another CRS, in EPSG:3035. Raises RequestError for what is none."""
    try:
        x, y = (float(number) for number in point)
    except (TypeError, ValueError):
        raise RequestError(
            f"{str(point)[:100]} is no point: say (lon, lat), or (x, y) with its crs"
        ) from None
    _check_lonlat((x, y, x, y), crs)
    found = _to_grid(crs).transform(x, y)
    if not np.isfinite(found).all():
        raise RequestError(f"{(x, y)} lies outside of what {CRS} can show")
    return found


def project_polygon(polygon: Any, crs: str) -> BaseGeometry:
    """A polygon in EPSG:3035.

    polygon: a shapely geometry, or GeoJSON as a dict, in `crs`. Raises RequestError for what is none.
    """
    try:
        area = shape(polygon.get("geometry", polygon) if isinstance(polygon, dict) else polygon)
    except (AttributeError, TypeError, ValueError, KeyError, IndexError, shapely.errors.ShapelyError):
        raise RequestError("that is no polygon: give one of shapely's, or GeoJSON") from None
    if area.area <= 0 or not np.isfinite(area.bounds).all():
        raise RequestError("that is no polygon: it has no area")
    _check_lonlat(area.bounds, crs)
    moved = project_shape(area, _to_grid(crs))
    if not np.isfinite(moved.bounds).all():
        raise RequestError(f"that polygon lies outside of what {CRS} can show")
    return shapely.make_valid(moved)


def _check_lonlat(bounds: Bounds, crs: str) -> None:
    xmin, ymin, xmax, ymax = bounds
    if crs == LONLAT and not (-180 <= xmin <= xmax <= 180 and -90 <= ymin <= ymax <= 90):
        raise RequestError(f"{bounds} is not within longitude and latitude; say crs={CRS!r} for metres")
