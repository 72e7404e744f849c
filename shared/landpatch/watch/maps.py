"""The map of a region: its patches in the order in which their states are told, and its boundary."""

import json
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from threading import Lock

import shapely
from shapely.geometry import MultiPolygon, Polygon

from landpatch.grid import lay_grid
from landpatch.patch import PATCH_SIZE_M, Cover
from landpatch.settings import Settings
from landpatch.sources.gisco import Boundaries, fetch_boundaries, pick_region
from landpatch.sources.http import make_session

DETAIL_M = 100.0
"""A boundary is drawn with no more detail than this."""
MOST_MAPS = 32
"""Kept at a time; the largest region's takes some 3 MB."""


@dataclass(frozen=True, slots=True)
class RegionMap:
    """What does not change while a region is built."""

    nuts: str
    name: str
    places: Mapping[str, int]
    """Place of each patch, by name, in the order of their cells."""
    names: tuple[str, ...]
    """Name of the patch at each place."""
    outline: tuple[tuple[tuple[int, int], ...], ...]
    """Rings of the boundary: metres, EPSG:3035."""

    def describe(self) -> dict[str, object]:
        """As the page reads it; patches as column, row (of 2500 m), part and cell number by turns."""
        numbers = [[int(number) for number in name.split("_")] for name in self.names]
        return {
            "nuts": self.nuts,
            "name": self.name,
            "size": PATCH_SIZE_M,
            "patches": [
                each
                for xmin, ymin, part, cell in numbers
                for each in (xmin // PATCH_SIZE_M, ymin // PATCH_SIZE_M, part, cell)
            ],
            "outline": self.outline,
        }


class Atlas:
    """Makes maps, and keeps those that were asked for last. May be used by several threads."""

    def __init__(self, settings: Settings) -> None:
        """settings: name the boundaries, which are read when the first map is made."""
        self._url = settings.nuts_url
        self._features: dict[str, bytes] = {}
        """Of the boundary file, as JSON: parsed it takes ten times as much memory."""
        self._maps: OrderedDict[tuple[str, Cover], RegionMap] = OrderedDict()
        self._lock = Lock()

    def find(self, nuts: str, cover: Cover) -> RegionMap:
        """The map of a region. Raises RequestError for a region that there is not, TransientError or
        PermanentError when the boundaries cannot be had."""
        with self._lock:
            if (nuts, cover) not in self._maps:
                self._maps[nuts, cover] = make_map(nuts, cover, self._read(nuts))
            self._maps.move_to_end((nuts, cover))
            while len(self._maps) > MOST_MAPS:
                self._maps.popitem(last=False)
            return self._maps[nuts, cover]

    def _read(self, nuts: str) -> Boundaries:
        if not self._features:
            boundaries = fetch_boundaries(self._url, make_session(retries=0))
            self._features = {code: json.dumps(feature).encode() for code, feature in boundaries.items()}
        return {nuts: json.loads(self._features[nuts])} if nuts in self._features else {}


def make_map(nuts: str, cover: Cover, boundaries: Boundaries) -> RegionMap:
    """Lay the grid over a region. Errors as of `pick_region`."""
    region = pick_region(boundaries, nuts)
    names = tuple(patch.name for patch in lay_grid(region.boundary, cover))
    return RegionMap(
        nuts=nuts,
        name=region.name,
        places={name: place for place, name in enumerate(names)},
        names=names,
        outline=tuple(_draw(region.boundary)),
    )


def _draw(boundary: Polygon | MultiPolygon) -> list[tuple[tuple[int, int], ...]]:
    """Rings, without those that are smaller than a dot."""
    simple = shapely.simplify(boundary, DETAIL_M)
    rings = [
        ring
        for part in shapely.get_parts(simple)
        for ring in (part.exterior, *part.interiors)
        if ring.length > 4 * DETAIL_M
    ]
    return [tuple((round(x), round(y)) for x, y in ring.coords) for ring in rings]
