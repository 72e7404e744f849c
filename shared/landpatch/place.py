"""From a place or a point to its region and patch, and whether that is built.

from landpatch.place import locate
locate("5, rue Alphonse Weicker Luxembourg")
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from shapely.geometry import Point

from landpatch.embedded import complete_settings
from landpatch.errors import InfrastructureError, PermanentError, RequestError, TransientError
from landpatch.grid import from_lonlat, lay_grid, patch_boxes, to_lonlat
from landpatch.index import PatchState, read_states
from landpatch.layout import RegionLayout
from landpatch.patch import PATCH_SIZE_M, Patch
from landpatch.settings import Settings
from landpatch.sources.gisco import Boundaries, Region, fetch_boundaries, find_regions
from landpatch.sources.http import make_session
from landpatch.sources.nominatim import Place, find_place
from landpatch.storage import Store, open_store

SHORE_M = 3000.0
"""How far from a region a point may lie and still be of it: boundaries are simplified, and harbours lie
outside of them."""


@dataclass(frozen=True, slots=True)
class Built:
    """A year in which a patch, or its region, is built."""

    year: int
    state: str
    """complete, partial, missing or failed; empty when the year has the region without this patch."""
    label: bool
    image: str
    """URL of the image; empty when there is none."""


@dataclass(frozen=True, slots=True)
class Location:
    """Where a point lies."""

    lon: float
    """Degrees, EPSG:4326."""
    lat: float
    x: float
    """Metres, EPSG:3035."""
    y: float
    name: str
    """As the geocoder calls it; empty for a point that was given."""
    credit: str
    """Whom the geocoder wants to be named."""
    region: str
    """Code of the NUTS3 region."""
    region_name: str
    off_region_m: float
    """How far outside the region's boundary the point lies; 0 inside."""
    patch: str | None
    """The region's patch that holds the point; None where the point lies in none of its cells."""
    bounds: tuple[int, int, int, int] | None
    """Of the patch: xmin, ymin, xmax, ymax, metres, EPSG:3035."""
    bounds_lonlat: tuple[float, float, float, float] | None
    """The rectangle around the patch: west, south, east, north, degrees, EPSG:4326."""
    neighbours: tuple[str, ...]
    """Other regions that the patch's cell belongs to as well."""
    built: tuple[Built, ...] | None
    """By year; None where no destination store is set."""


def locate(
    place: str | None = None,
    *,
    lon: float | None = None,
    lat: float | None = None,
    settings: Settings | None = None,
) -> Location:
    """Where a place, or a point in degrees (EPSG:4326), lies.

    settings: those of the environment when there are none. Raises RequestError for a place that nobody
    knows and a point in no region, InfrastructureError for a service that does not answer.
    """
    settings = settings or complete_settings(required=False)
    try:
        found = _find(place, lon, lat, settings)
        boundaries = fetch_boundaries(settings.nuts_url, make_session())
        store = open_store(settings) if settings.store_access_key else None
        return _describe(found, boundaries, settings, store)
    except TransientError as error:
        raise InfrastructureError(str(error)) from error


def find_region_of(place: str, settings: Settings) -> Region:
    """The NUTS3 region of a place; errors as of `locate`."""
    try:
        found = _find(place, None, None, settings)
        x, y = from_lonlat().transform(found.lon, found.lat)
        return _pick(fetch_boundaries(settings.nuts_url, make_session()), Point(x, y), found.name)
    except TransientError as error:
        raise InfrastructureError(str(error)) from error


def _find(place: str | None, lon: float | None, lat: float | None, settings: Settings) -> Place:
    if place is not None and lon is None and lat is None:
        # Once in a second, also when it fails.
        return find_place(settings.nominatim_url, place, make_session(retries=0), settings.cache_dir)
    if place is not None or lon is None or lat is None:
        raise RequestError("name a place, or give --lon and --lat, such as --lon 6.17 --lat 49.63")
    if not (-180 <= lon <= 180 and -90 <= lat <= 90):
        raise RequestError(f"--lon is from -180 to 180 and --lat from -90 to 90 degrees, not {lon}, {lat}")
    return Place("", lon, lat, "")


def _describe(found: Place, boundaries: Boundaries, settings: Settings, store: Store | None) -> Location:
    x, y = from_lonlat().transform(found.lon, found.lat)
    point = Point(x, y)
    region = _pick(boundaries, point, found.name)
    patch = _hold(lay_grid(region.boundary), x, y)
    return Location(
        lon=found.lon,
        lat=found.lat,
        x=round(x, 1),
        y=round(y, 1),
        name=found.name,
        credit=found.licence,
        region=region.nuts,
        region_name=region.name,
        off_region_m=round(region.boundary.distance(point), 1),
        patch=patch.name if patch else None,
        bounds=patch.bounds if patch else None,
        bounds_lonlat=_to_lonlat(patch) if patch else None,
        neighbours=_neighbours(boundaries, region, patch) if patch else (),
        built=tuple(_look(store, settings.prefix, region.nuts, patch)) if store else None,
    )


def _pick(boundaries: Boundaries, point: Point, name: str) -> Region:
    """The region that holds a point, or the nearest within some kilometres."""
    x, y = point.x, point.y
    what = f"{name!r}" if name else "the point"
    nowhere = RequestError(f"{what} lies in none of the NUTS3 regions of Europe")
    if not (math.isfinite(x) and math.isfinite(y)):
        raise nowhere  # beyond the projection
    near = list(find_regions(boundaries, (x - SHORE_M, y - SHORE_M, x + SHORE_M, y + SHORE_M)))
    if not near:
        raise nowhere
    nearest = min(near, key=lambda region: (region.boundary.distance(point), region.nuts))
    if nearest.boundary.distance(point) > SHORE_M:
        raise nowhere
    return nearest


def _hold(patches: Iterable[Patch], x: float, y: float) -> Patch | None:
    """The patch whose cell holds a point; of an edge, the cell to the north-east."""
    corner = (x // PATCH_SIZE_M * PATCH_SIZE_M, y // PATCH_SIZE_M * PATCH_SIZE_M)
    return next((patch for patch in patches if (patch.xmin, patch.ymin) == corner), None)


def _to_lonlat(patch: Patch) -> tuple[float, float, float, float]:
    west, south, east, north = to_lonlat().transform_bounds(*patch.bounds)
    return round(west, 6), round(south, 6), round(east, 6), round(north, 6)


def _neighbours(boundaries: Boundaries, region: Region, patch: Patch) -> tuple[str, ...]:
    (cell,) = patch_boxes([patch])
    near = find_regions(boundaries, patch.bounds)
    return tuple(
        each.nuts for each in near if each.nuts != region.nuts and each.boundary.intersection(cell).area > 0
    )


def _look(store: Store, prefix: str, nuts: str, patch: Patch | None) -> Iterable[Built]:
    """The years in which the region is built, and what of the patch is there."""
    for year in built_years(store, prefix, nuts):
        layout = RegionLayout(prefix, nuts, year)
        index = store.get(layout.patches)
        if index is None:
            continue
        row = _find_row(index, patch.name if patch else "")
        is_there = patch is not None and row is not None and row.state in {"complete", "partial"}
        image = store.url(layout.image(patch.name)) if is_there and patch else ""
        yield Built(year, row.state if row else "", row.label if row else False, image)


def _find_row(index: bytes, name: str) -> PatchState | None:
    try:
        return next((row for row in read_states(index) if row.patch == name), None)
    except PermanentError:
        return None  # as good as not there: `landpatch region` makes it anew


def built_years(store: Store, prefix: str, nuts: str) -> list[int]:
    """Years of which the store has something of a region."""
    names = store.folders(f"{prefix}/images/{nuts}/")
    return [int(name) for name in names if len(name) == 4 and name.isdecimal() and name.startswith("2")]
