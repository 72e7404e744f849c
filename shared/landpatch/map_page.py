"""The interactive map of a region as one HTML page that needs nothing else but, if wanted, a base map."""

import base64
import hashlib
import html
import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from importlib.resources import files
from string import Template

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry import MultiPolygon, Polygon

from landpatch import __version__
from landpatch.errors import ConfigurationError
from landpatch.grid import patch_boxes, to_lonlat
from landpatch.index import PatchRow
from landpatch.legend import NDVI_SCALE, STATE_COLOURS, Legend
from landpatch.patch import parse_patch
from landpatch.tiles import MEDIA_TYPE, Tile

_PIXELS, _BOUNDARIES = "Modified Copernicus Sentinel data", "Boundaries: © EuroGeographics"
_BASE_URL = re.compile(r"(?P<origin>https?://(\{s\}\.)?[A-Za-z0-9.-]+(:\d+)?)/[^\s\"'<>]*")
_BOUNDARY_TOLERANCE_M = 10


@dataclass(frozen=True, slots=True)
class BaseMap:
    """Tiles that are fetched when the map is looked at."""

    url: str
    """With `{z}`, `{x}` and `{y}` in it."""
    credit: str
    """HTML."""

    @property
    def origin(self) -> str:
        """Where they are fetched from, as a Content-Security-Policy has it."""
        found = _BASE_URL.fullmatch(self.url)
        assert found is not None  # noqa: S101  # it was checked when it was read
        return found["origin"].replace("{s}", "*")


GISCO = BaseMap(
    "https://gisco-services.ec.europa.eu/maps/tiles/OSMPositronComposite/EPSG3857/{z}/{x}/{y}.png",
    'Base map: GISCO, © <a href="https://www.openstreetmap.org/copyright">OpenStreetMap</a> contributors',
)


def parse_base_map(text: str) -> BaseMap | None:
    """The base map that a user means: an address with `{z}`, `{x}` and `{y}`, or `none`.

    Raises ConfigurationError that says what it has to be.
    """
    if text == "none":
        return None
    found = _BASE_URL.fullmatch(text)
    if found is None or not all(f"{{{name}}}" in text for name in "zxy"):
        raise ConfigurationError(
            f"a base map is an address with {{z}}, {{x}} and {{y}}, or none, not {text!r}"
        )
    return BaseMap(text, f"Base map: {html.escape(found['origin'])}")


@dataclass(frozen=True, slots=True)
class MapPage:
    """What a map shows."""

    nuts: str
    name: str
    year: int
    source: str
    boundary: Polygon | MultiPolygon
    """EPSG:3035, metres."""
    rows: Sequence[PatchRow]
    legend: Legend
    """Of the labels."""
    tiles: Sequence[Tile]
    base_map: BaseMap | None

    def render(self) -> str:
        """The page."""
        leaflet_js = _read("leaflet/leaflet.js").replace("//# sourceMappingURL=leaflet.js.map", "")
        licence = f"/*\n{_read('leaflet/LICENSE')}*/\n"
        scripts = (licence + leaflet_js, _read("map.js"))
        styles = (licence + _read("leaflet/leaflet.css"), _read("map.css"))
        return Template(_read("map.html")).substitute(
            policy=_allow(scripts, styles, self.base_map),
            version=__version__,
            title=html.escape(f"{self.nuts} {self.name}, {self.year}"),
            leaflet_css=styles[0],
            style=styles[1],
            # What ends a script element must not be in it.
            data=json.dumps(self._data(), separators=(",", ":")).replace("<", "\\u003c"),
            leaflet_js=scripts[0],
            script=scripts[1],
        )

    def _data(self) -> dict[str, object]:
        products = sorted({name for row in self.rows if row.image for name in row.image.products})
        pixels = _count_pixels(self.rows)
        zooms = {tile.zoom for tile in self.tiles} or {10}
        editions = sorted({row.label.edition for row in self.rows if row.label})
        images, labels = (
            sum(getattr(row, what) is not None for row in self.rows) for what in ("image", "label")
        )
        counts = Counter(row.state for row in self.rows)
        corners = _lay_down_patches(self.rows)
        return {
            "nuts": self.nuts,
            "name": self.name,
            "year": self.year,
            "sandbox": self.source == "sandbox",
            "summary": f"{len(self.rows)} patches, {images} images, {labels} labels",
            "credit": " · ".join(filter(None, (_PIXELS, html.escape(self.legend.credit), _BOUNDARIES))),
            "minZoom": max(0, min(zooms) - 3),
            "minNativeZoom": min(zooms),
            "maxZoom": max(zooms),
            "bounds": [corners.min(axis=(0, 1)).tolist(), corners.max(axis=(0, 1)).tolist()],
            "boundary": _to_latlon(self.boundary),
            "mediaType": MEDIA_TYPE,
            "tiles": _by_layer(self.tiles),
            "hasLabel": labels > 0,
            "labelName": self.legend.title,
            "labelTitle": f"{self.legend.title} {', '.join(map(str, editions))}" if labels else "no labels",
            "classes": [
                asdict(cover) | {"share": round(pixels[cover.number] / max(1, sum(pixels)), 6)}
                for cover in self.legend.classes
            ],
            "ndviScale": NDVI_SCALE,
            "states": STATE_COLOURS,
            "counts": {state: counts[state] for state in STATE_COLOURS if state in counts},
            "products": _describe_products(self.rows, products),
            "patches": _describe_patches(self.rows, corners.tolist(), products),
            "baseMap": self.base_map and {"url": self.base_map.url, "credit": self.base_map.credit},
        }


def _read(name: str) -> str:
    return files("landpatch").joinpath("web", name).read_text(encoding="utf-8")


def _allow(scripts: Iterable[str], styles: Iterable[str], base_map: BaseMap | None) -> str:
    """A Content-Security-Policy under which the page runs what is in it, and fetches base map tiles alone."""

    def hashes(texts: Iterable[str]) -> str:
        digests = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in texts)
        return " ".join(f"'sha256-{digest}'" for digest in digests)

    images = f"data: {base_map.origin}" if base_map else "data:"
    return f"default-src 'none'; script-src {hashes(scripts)}; style-src {hashes(styles)}; img-src {images}"


def _by_layer(tiles: Iterable[Tile]) -> dict[str, dict[str, str]]:
    layers: dict[str, dict[str, str]] = {layer: {} for layer in ("true", "false", "ndvi", "label")}
    for tile in tiles:
        layers[tile.layer][f"{tile.zoom}/{tile.col}/{tile.row}"] = base64.b64encode(tile.data).decode()
    return layers


def _count_pixels(rows: Iterable[PatchRow]) -> list[int]:
    """Of each class, over all labels; those without a label left out."""
    counts = [row.label.pixels for row in rows if row.label is not None]
    total: list[int] = np.sum(counts, axis=0, dtype="int64").tolist() if counts else [0] * 12
    return [0, *total[1:]]


def _to_latlon(boundary: Polygon | MultiPolygon) -> list[list[list[list[float]]]]:
    """Polygons of rings of [latitude, longitude], as Leaflet wants them."""
    return [
        [_lay_down(ring) for ring in (polygon.exterior, *polygon.interiors)]
        for polygon in shapely.get_parts(shapely.simplify(boundary, _BOUNDARY_TOLERANCE_M))
    ]


def _lay_down(ring: shapely.LinearRing) -> list[list[float]]:
    places: list[list[float]] = _transform(shapely.get_coordinates(ring)[:-1]).tolist()
    return places


def _lay_down_patches(rows: Sequence[PatchRow]) -> NDArray[np.float64]:
    """The corners of patches, (patch, corner, 2): latitude and longitude."""
    boxes = patch_boxes([parse_patch(row.patch) for row in rows])
    corners = shapely.get_coordinates(boxes).reshape(len(rows), -1, 2)[:, :-1]
    return _transform(corners.reshape(-1, 2)).reshape(corners.shape)


def _transform(places: NDArray[np.float64]) -> NDArray[np.float64]:
    """(place, 2) metres, EPSG:3035, to latitude and longitude, a tenth of a metre exact."""
    lon, lat = to_lonlat().transform(*places.T)
    return np.round(np.stack([lat, lon], axis=-1), 6)


def _describe_products(rows: Iterable[PatchRow], names: Sequence[str]) -> list[dict[str, str]]:
    known = {
        name: {"name": name, "date": date[:16].replace("T", " "), "baseline": baseline}
        for row in rows
        if row.image is not None
        for name, date, baseline in zip(
            row.image.products, row.image.dates, row.image.baselines, strict=False
        )
    }
    return [known[name] for name in names]


def _describe_patches(
    rows: Sequence[PatchRow], rings: Sequence[list[list[float]]], products: Sequence[str]
) -> list[dict[str, object]]:
    """What a click on a patch tells."""
    number = {name: position for position, name in enumerate(products)}
    described = []
    for row, ring in zip(rows, rings, strict=True):
        patch: dict[str, object] = {"name": row.patch, "ring": ring, "state": row.state}
        if row.reason:
            patch["reason"] = row.reason
        if (image := row.image) is not None:
            shares = zip(image.products, image.shares, strict=False)
            patch["image"] = {
                "valid": image.valid_fraction,
                "clear": image.clear_fraction,
                "products": [[number[name], round(share, 4)] for name, share in shares],
                "sha256": image.sha256,
            }
        if (label := row.label) is not None:
            patch["label"] = {"edition": label.edition, "pixels": label.pixels, "sha256": label.sha256}
        elif row.label_reason:
            patch["labelReason"] = row.label_reason
        described.append(patch)
    return described
