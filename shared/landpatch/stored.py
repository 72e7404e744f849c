"""A region as it is stored: what its index tells, and its pairs one by one."""

import math
import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from landpatch.codec import Image, decode_image, decode_label
from landpatch.errors import InfrastructureError, PermanentError, RequestError, TransientError
from landpatch.grid import from_lonlat
from landpatch.index import PatchRow, read_legend, read_patches, read_source
from landpatch.layout import RegionLayout, parse_nuts, patch_of_key
from landpatch.legend import Legend
from landpatch.patch import Patch, parse_patch
from landpatch.settings import Settings
from landpatch.sources.gisco import Boundaries, Bounds, Region, fetch_boundaries, find_regions, pick_region
from landpatch.sources.http import make_session
from landpatch.storage import Store, open_store

READERS = 4
_YEARS = range(2015, 3000)
_POINT = re.compile(r"\s*(?P<lon>[+-]?\d+(\.\d+)?)\s*[,; ]\s*(?P<lat>[+-]?\d+(\.\d+)?)\s*")


@dataclass(frozen=True, slots=True)
class Pair:
    """A patch as it is stored."""

    row: PatchRow
    patch: Patch
    image: Image | None
    """None where the index has none."""
    label: NDArray[np.uint8] | None
    """(250, 250) classes; None where the index has none."""


@dataclass(frozen=True, slots=True)
class StoredRegion:
    """A region and year that has an index."""

    region: Region
    layout: RegionLayout
    rows: Mapping[str, PatchRow]
    """By patch name, sorted."""
    source: str
    """`sandbox` when the pixels are synthetic."""
    legend: Legend
    """Of its labels."""
    store: Store

    @property
    def key(self) -> str:
        """Such as `FR101/2021`."""
        return f"{self.layout.nuts}/{self.layout.year}"

    def read(self, name: str) -> Pair:
        """Read one patch, checked; raises PermanentError when it is not what the index says."""
        row, patch = self.rows[name], parse_patch(name)
        image = label = None
        if row.image is not None:
            image = decode_image(self._get(self.layout.image(name)), patch)
        if row.label is not None:
            label = decode_label(self._get(self.layout.label(name)), name)
        return Pair(row, patch, image, label)

    def read_each(self, names: Iterable[str]) -> Iterator[Pair]:
        """Read patches in the order given, a few ahead."""
        ahead: deque[Future[Pair]] = deque()
        with ThreadPoolExecutor(READERS) as pool:
            for name in names:
                ahead.append(pool.submit(self.read, name))
                if len(ahead) > 2 * READERS:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()

    def _get(self, key: str) -> bytes:
        data = self.store.get(key)
        if data is None:
            raise PermanentError(f"{key} is not there, though the index lists it; see `landpatch verify`")
        return data


def open_region(settings: Settings, nuts: str, year: int) -> StoredRegion:
    """A region that has been built; raises RequestError when it has not been, or is none."""
    nuts = parse_nuts(nuts)
    return _open(settings, pick_region(_load_boundaries(settings), nuts), year)


def find_patch(settings: Settings, what: str, nuts: str | None, year: int) -> tuple[StoredRegion, str]:
    """The region and the name of the patch that a user means.

    what: a patch's name, or the name or address of one of its files, or a point as `longitude,latitude`.
    nuts: its region, where it belongs to several. Raises RequestError when there is none.
    """
    bounds = _parse_place(what)
    boundaries = _load_boundaries(settings)
    regions = (
        list(find_regions(boundaries, bounds))
        if nuts is None
        else [pick_region(boundaries, parse_nuts(nuts))]
    )
    if not regions:
        raise RequestError(f"{what} lies in no NUTS3 region; a point is longitude, then latitude")
    reasons = []
    for region in regions:
        try:
            stored = _open(settings, region, year)
        except RequestError as error:
            reasons.append(str(error))
            continue
        for name in stored.rows:
            if _holds(name, bounds) and patch_of_key(what) in {None, name}:
                return stored, name
        reasons.append(f"{stored.key} has no such patch")
    raise RequestError(f"{what}: {'; '.join(reasons)}")


def _parse_place(what: str) -> Bounds:
    """The cell of a patch, or a point as a rectangle without area; EPSG:3035."""
    name, point = patch_of_key(what), _POINT.fullmatch(what)
    if name is not None:
        return parse_patch(name).bounds
    if point is None:
        raise RequestError(
            f"{what!r} is neither a patch, such as 3757500_2887500_0_20, nor a point as longitude,latitude,"
            " such as 2.35,48.85; `landpatch locate` finds the patch of a place"
        )
    lon, lat = float(point["lon"]), float(point["lat"])
    if not (-180 <= lon <= 180 and -90 <= lat <= 90):
        raise RequestError(f"{what!r} is no longitude and latitude")
    x, y = from_lonlat().transform(lon, lat)
    if not (math.isfinite(x) and math.isfinite(y)):
        raise RequestError(f"{what} lies at the other end of the world; a point is longitude, then latitude")
    return x, y, x, y


def _holds(name: str, bounds: Bounds) -> bool:
    """Whether a patch's cell, with its lower and left edges, holds the corner of a rectangle."""
    xmin, ymin, xmax, ymax = parse_patch(name).bounds
    return xmin <= bounds[0] < xmax and ymin <= bounds[1] < ymax


def _open(settings: Settings, region: Region, year: int) -> StoredRegion:
    if year not in _YEARS:
        raise RequestError(f"no Sentinel-2 images of {year}: choose a year from {_YEARS.start} on")
    store = open_store(settings)
    layout = RegionLayout(settings.prefix, region.nuts, year)
    rows, source, legend = read_index(store, layout)
    return StoredRegion(region, layout, rows, source, legend, store)


def read_index(store: Store, layout: RegionLayout) -> tuple[dict[str, PatchRow], str, Legend]:
    """The rows of a region's index by patch name, sorted; where its pixels come from; what its labels mean.

    Raises RequestError when the region has no index, PermanentError when it cannot be read.
    """
    data = store.get(layout.patches)
    if data is None:
        raise RequestError(f"{layout.nuts}/{layout.year} has no index; build it with `make region`")
    try:
        rows = dict(sorted(read_patches(data).items()))
        return rows, read_source(data), read_legend(data, rows.values())
    except PermanentError as error:
        raise PermanentError(f"{layout.images}: {error}") from error


def _load_boundaries(settings: Settings) -> Boundaries:
    try:
        return fetch_boundaries(settings.nuts_url, make_session())
    except TransientError as error:
        raise InfrastructureError(str(error)) from error
