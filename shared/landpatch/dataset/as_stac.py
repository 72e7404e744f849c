"""STAC items of a training set, and their GeoParquet. Imported only where STAC is wanted.

Sources: STAC 1.1.0, and its extensions projection 2.0.0, eo 2.0.0, file 2.1.0, processing 1.2.0.
"""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pystac
import shapely
from shapely.geometry import mapping
from stac_geoparquet.arrow import parse_stac_items_to_arrow, to_parquet

from landpatch.dataset.entries import Entry
from landpatch.dataset.pairs import make_transform
from landpatch.dataset.selection import project_shape
from landpatch.errors import PermanentError, RequestError
from landpatch.grid import to_lonlat
from landpatch.index import ImageFacts, LabelFacts
from landpatch.patch import CRS, PATCH_SIZE_PX, PIXEL_SIZE_M
from landpatch.radiometry import BANDS

EXTENSIONS = [
    "https://stac-extensions.github.io/projection/v2.0.0/schema.json",
    "https://stac-extensions.github.io/eo/v2.0.0/schema.json",
    "https://stac-extensions.github.io/file/v2.1.0/schema.json",
    "https://stac-extensions.github.io/processing/v1.2.0/schema.json",
]
_SPECTRUM = {
    "B1": ("coastal", 0.443, 0.027),
    "B2": ("blue", 0.49, 0.098),
    "B3": ("green", 0.56, 0.045),
    "B4": ("red", 0.665, 0.038),
    "B5": ("rededge071", 0.704, 0.019),
    "B6": ("rededge075", 0.74, 0.018),
    "B7": ("rededge078", 0.783, 0.028),
    "B8": ("nir", 0.842, 0.145),
    "B8A": ("nir08", 0.865, 0.033),
    "B9": ("nir09", 0.945, 0.026),
    "B11": ("swir16", 1.61, 0.143),
    "B12": ("swir22", 2.19, 0.242),
}
"""Common name, centre and width of each band, micrometres. Source: STAC eo extension, "Common Band Names";
Sentinel-2 spectral response functions, as in the STAC of Earth Search."""
_SHA256_MULTIHASH = "1220"
"""What a SHA-256 of 32 bytes begins with as a multihash."""


def collect_items(entries: Iterable[Entry], url: Callable[[str], str]) -> pystac.ItemCollection:
    """See `Dataset.to_stac`. url: where the object of a key is found."""
    return pystac.ItemCollection([describe_patch(entry, url) for entry in entries])


def write_items(items: pystac.ItemCollection, path: Path) -> None:
    """Write items as one GeoParquet file; raises RequestError where there is none."""
    if not len(items):
        raise RequestError("there is no patch to describe: nothing was selected")
    to_parquet(parse_stac_items_to_arrow([item.to_dict() for item in items]), path)


def describe_patch(entry: Entry, url: Callable[[str], str]) -> pystac.Item:
    """The item of a patch: where and when it is, how clear, from which products, and its files."""
    footprint = project_shape(shapely.box(*entry.bounds), to_lonlat())
    return pystac.Item.from_dict(
        {
            "type": "Feature",
            "stac_version": "1.1.0",
            "stac_extensions": EXTENSIONS,
            "id": f"{entry.nuts}_{entry.year}_{entry.patch}",
            "geometry": mapping(footprint),
            "bbox": list(footprint.bounds),
            "properties": _tell_time(entry) | _tell_place(entry) | _tell_making(entry),
            "links": [],
            "assets": {"image": _image_asset(entry, url)} | _label_asset(entry, url),
        }
    )


def _tell_time(entry: Entry) -> dict[str, Any]:
    """When the products were sensed, foremost the one of most pixels; the year where nothing tells."""
    if entry.image is None:
        year = entry.year
        return {
            "datetime": None,
            "start_datetime": f"{year}-01-01T00:00:00Z",
            "end_datetime": f"{year}-12-31T23:59:59Z",
        }
    dates, shares = entry.image.dates, entry.image.shares
    try:
        moments = [datetime.fromisoformat(date).astimezone(UTC) for date in dates]
    except ValueError:
        raise PermanentError(
            f"the index of {entry.nuts}/{entry.year} has no sensing dates: {dates}"
        ) from None
    most = max(zip(shares, moments, strict=False), key=lambda pair: pair[0])[1]
    return {
        "datetime": _stamp(most),
        "start_datetime": _stamp(min(moments)),
        "end_datetime": _stamp(max(moments)),
    }


def _stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _tell_place(entry: Entry) -> dict[str, Any]:
    xmin, ymin, xmax, ymax = entry.bounds
    lon, lat = to_lonlat().transform((xmin + xmax) / 2, (ymin + ymax) / 2)
    return {
        "proj:code": CRS,
        "proj:bbox": list(entry.bounds),
        "proj:centroid": {"lat": lat, "lon": lon},
        "proj:shape": [PATCH_SIZE_PX, PATCH_SIZE_PX],
        "proj:transform": list(make_transform(entry.bounds))[:6],
    }


def _tell_making(entry: Entry) -> dict[str, Any]:
    """How the image came about, as far as the index knows."""
    told: dict[str, Any] = {
        "gsd": PIXEL_SIZE_M,
        "processing:level": "L3",
        "processing:lineage": "Sentinel-2 L2A surface reflectance, warped to EPSG:3035 and composed",
        "landpatch:nuts": entry.nuts,
        "landpatch:year": entry.year,
    }
    if entry.image is None:
        return told
    image = entry.image
    return told | {
        # What is seen but not clear: cloud, its shadow, cirrus, defects.
        "eo:cloud_cover": round(100 * max(0.0, image.valid_fraction - image.clear_fraction), 4),
        "landpatch:valid_fraction": image.valid_fraction,
        "landpatch:clear_fraction": image.clear_fraction,
        "landpatch:products": list(image.products),
        "landpatch:baselines": list(image.baselines),
        "landpatch:recipe": image.recipe,
    }


def _image_asset(entry: Entry, url: Callable[[str], str]) -> dict[str, Any]:
    return {
        "href": url(entry.layout.image(entry.patch)),
        "type": pystac.MediaType.GEOTIFF,
        "roles": ["data", "reflectance"],
        "title": "12 reflectances, NDVI and NDWI",
        "data_type": "float64",
        "bands": [_describe_band(name) for name in BANDS],
    } | _describe_file(entry.image)


def _describe_band(name: str) -> dict[str, Any]:
    if name not in _SPECTRUM:
        return {"name": name}
    common, centre_um, width_um = _SPECTRUM[name]
    return {
        "name": name,
        "eo:common_name": common,
        "eo:center_wavelength": centre_um,
        "eo:full_width_half_max": width_um,
    }


def _label_asset(entry: Entry, url: Callable[[str], str]) -> dict[str, Any]:
    """The label, unless the index says that there is none."""
    if entry.labelled is False:
        return {}
    asset: dict[str, Any] = {
        "href": url(entry.layout.label(entry.patch)),
        "type": "application/x-npy",
        "roles": ["labels"],
        "title": f"{entry.legend.title} classes, 0 = no label; pixel (i, j) is that of the image",
        "data_type": "uint8",
        "landpatch:classes": [{"value": each.number, "name": each.name} for each in entry.legend.classes],
    }
    if entry.label is not None:
        asset["landpatch:class_pixels"] = list(entry.label.pixels)
        asset["landpatch:edition"] = entry.label.edition
    return {"label": asset | _describe_file(entry.label)}


def _describe_file(facts: ImageFacts | LabelFacts | None) -> dict[str, Any]:
    if facts is None:
        return {}
    return {"file:size": facts.size, "file:checksum": _SHA256_MULTIHASH + facts.sha256}
