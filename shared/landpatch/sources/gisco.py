"""Boundaries of the NUTS3 regions: Eurostat GISCO, or a file with the same content."""

import difflib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import requests
import shapely
from shapely.errors import ShapelyError
from shapely.geometry import MultiPolygon, Polygon, shape

from landpatch.errors import PermanentError, RequestError, TransientError
from landpatch.sources.http import fetch

MAX_BYTES = 100_000_000
"""The genuine file at 1:3M has 5 MB; when it is parsed a file takes some ten times its size."""
MAX_AREA_M2 = 1.2e11
"""The largest region, SE332, has 1.06e11."""
MAX_BOX_M2 = 2e12
"""Of the rectangle around a region, whose cells are all looked at; that of NO0B2 is the largest, 3e11."""
UNREADABLE = (ShapelyError, ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError)
"""What a geometry may be refused with that comes from outside."""


Boundaries = Mapping[str, dict[str, Any]]
"""The features of the boundary file by NUTS code."""


@dataclass(frozen=True, slots=True)
class Region:
    """A NUTS3 region."""

    nuts: str
    name: str
    boundary: Polygon | MultiPolygon
    """EPSG:3035, metres."""


def fetch_boundaries(url: str, session: requests.Session) -> Boundaries:
    """The features of the boundary file by NUTS code. url: http(s) address, or a path.

    Raises TransientError when it cannot be had, PermanentError when it is not such a file.
    """
    what = "the boundary service (LANDPATCH_NUTS_URL)"
    if url.startswith(("http://", "https://")):
        data = fetch(session, url, None, what, MAX_BYTES)
    else:
        try:
            data = Path(url.removeprefix("file://")).read_bytes()
        except OSError as error:
            raise TransientError(f"{what}: {error}") from error
    try:
        features = json.loads(data)["features"]
        return {str(feature["id"]): feature for feature in features}
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise PermanentError(f"{what} did not send a GeoJSON FeatureCollection") from error


def pick_region(boundaries: Boundaries, nuts: str) -> Region:
    """One region of the boundary file.

    Raises RequestError, naming codes that are near, when it is not there; PermanentError when its
    polygon is broken.
    """
    feature = boundaries.get(nuts)
    if feature is None:
        kin = [code for code in boundaries if code[:3] == nuts[:3]] or list(boundaries)
        near = difflib.get_close_matches(nuts, kin, n=5, cutoff=0.6)
        hint = f"; near are {', '.join(near)}" if near else ""
        raise RequestError(f"no NUTS3 region {nuts!r} in the 2021 boundaries{hint}")
    try:
        boundary = shape(feature["geometry"])
        properties = feature.get("properties")
        name = str(properties.get("NAME_LATN", nuts)) if isinstance(properties, dict) else nuts
        if not boundary.is_valid:
            boundary = shapely.make_valid(boundary, method="structure", keep_collapsed=False)
    except UNREADABLE as error:
        raise PermanentError(f"the boundary of {nuts} cannot be read") from error
    if not isinstance(boundary, Polygon | MultiPolygon) or boundary.area < 1:
        raise PermanentError(f"the boundary of {nuts} is no polygon")
    xmin, ymin, xmax, ymax = boundary.bounds
    if not (1000 < xmin < xmax < 1.2e7 and 1000 < ymin < ymax < 8e6):
        raise PermanentError(f"the boundary of {nuts} is not in EPSG:3035 metres")
    if boundary.area > MAX_AREA_M2 or (xmax - xmin) * (ymax - ymin) > MAX_BOX_M2:
        raise PermanentError(f"the boundary of {nuts} is larger than any region's")
    return Region(nuts, name, boundary)


Bounds = tuple[float, float, float, float]
"""xmin, ymin, xmax, ymax: EPSG:3035, metres."""


def find_regions(boundaries: Boundaries, bounds: Bounds) -> Iterator[Region]:
    """The regions whose polygon touches a rectangle, by code; without those that cannot be built."""
    wanted = shapely.box(*bounds)
    for nuts in sorted(boundaries):
        if not _may_touch(boundaries[nuts], bounds):
            continue
        try:
            region = pick_region(boundaries, nuts)
        except PermanentError:
            continue  # overseas, beyond EPSG:3035
        if region.boundary.intersects(wanted):
            yield region


def _may_touch(feature: dict[str, Any], bounds: Bounds) -> bool:
    """Whether the rectangle around a feature touches another: polygons are made of a few of a thousand."""
    try:
        geometry = feature["geometry"]
        polygons = (
            geometry["coordinates"] if geometry["type"] == "MultiPolygon" else [geometry["coordinates"]]
        )
        points = np.concatenate([np.asarray(polygon[0], "float64")[:, :2] for polygon in polygons])
        (left, lower), (right, upper) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    except UNREADABLE:
        return False
    xmin, ymin, xmax, ymax = bounds
    return bool(left <= xmax and lower <= ymax and right >= xmin and upper >= ymin)
