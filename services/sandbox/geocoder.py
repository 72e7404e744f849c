"""A small geocoder: the regions' names and a handful of addresses, in Nominatim's JSON shape."""

import gzip
import json
import re
import unicodedata
from dataclasses import dataclass
from functools import cache
from typing import Any

import shapely

from services.sandbox.landscape import NUTS_FILE, load_regions
from services.sandbox.scenes import make_transformer

_ADDRESSES = {
    "5, rue Alphonse Weicker Luxembourg": (49.6335945, 6.1695145),
    "Brussels, Belgium": (50.8465573, 4.351697),
    "Paris, France": (48.8588897, 2.320041),
    "Valletta, Malta": (35.8989818, 14.5136759),
    "Luxembourg": (49.6112768, 6.129799),
    "Berlin, Germany": (52.510885, 13.3989367),
    "Madrid, Spain": (40.416782, -3.703507),
    "Rome, Italy": (41.8933203, 12.4829321),
    "Lisbon, Portugal": (38.7077507, -9.1365919),
    "Helsinki, Finland": (60.1674881, 24.9427473),
    "Vienna, Austria": (48.2083537, 16.3725042),
    "Copenhagen, Denmark": (55.6867243, 12.5700724),
    "New York, USA": (40.7127281, -74.0060152),
}


@dataclass(frozen=True, slots=True)
class _Place:
    name: str
    lat: float
    lon: float
    kind: str


def find_places(query: str, limit: int) -> list[dict[str, Any]]:
    """Places whose name holds every word asked for, the shortest name first; [] when there is none."""
    wanted = _words(query)
    if not wanted:
        return []
    fits = [place for place in _list_places() if wanted <= _words(place.name)]
    return [_describe(place) for place in sorted(fits, key=lambda place: len(place.name))[:limit]]


def _describe(place: _Place) -> dict[str, Any]:
    box = [place.lat - 0.05, place.lat + 0.05, place.lon - 0.05, place.lon + 0.05]
    return {
        "place_id": sum(place.name.encode()) * 1000 + len(place.name),
        "licence": "landpatch sandbox; © EuroGeographics for the administrative boundaries",
        "lat": f"{place.lat:.7f}",
        "lon": f"{place.lon:.7f}",
        "class": "boundary" if place.kind == "administrative" else "place",
        "type": place.kind,
        "importance": 0.5,
        "addresstype": place.kind,
        "name": place.name.split(",")[0],
        "display_name": place.name,
        "boundingbox": [f"{edge:.7f}" for edge in box],
    }


def _words(text: str) -> frozenset[str]:
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return frozenset(re.findall(r"[a-z0-9]+", plain))


@cache
def _list_places() -> tuple[_Place, ...]:
    addresses = [_Place(name, lat, lon, "house") for name, (lat, lon) in _ADDRESSES.items()]
    features = json.loads(gzip.decompress(NUTS_FILE.read_bytes()))["features"]
    regions = [_locate(feature["properties"]) for feature in features]
    return (*addresses, *regions)


def _locate(properties: dict[str, Any]) -> _Place:
    """A region as a place: a point that lies in it."""
    point = shapely.point_on_surface(load_regions()[properties["NUTS_ID"]])
    lon, lat = make_transformer(3035, 4326).transform(point.x, point.y)
    name = f"{properties['NAME_LATN']}, {properties['CNTR_CODE']}"
    return _Place(name, float(lat), float(lon), "administrative")
