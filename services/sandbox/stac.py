"""The catalogue of Sentinel Hub: a search among the products that are online.

Source: https://docs.sentinel-hub.com/api/latest/reference/ (Catalog API); what is not written
there is refused.
"""

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import shapely
from shapely.geometry import MultiPolygon, Polygon, shape
from shapely.geometry.base import BaseGeometry

MAX_LIMIT, DEFAULT_LIMIT = 100, 10
_KEYS = {"collections", "datetime", "bbox", "intersects", "limit", "next", "filter", "filter-lang"}
_CLOUD = re.compile(r"\s*eo:cloud_cover\s*(<=|>=|<|>|=)\s*(\d+(?:\.\d+)?)\s*")
_COMPARE: Mapping[str, Callable[[float, float], bool]] = {
    "<=": operator.le, ">=": operator.ge, "<": operator.lt, ">": operator.gt, "=": operator.eq,
}  # fmt: skip


class RefusedError(ValueError):
    """A request that Sentinel Hub refuses, with the body of its answer."""

    def __init__(self, message: str, code: str = "COMMON_BAD_PAYLOAD", status: int = 400) -> None:
        super().__init__(message)
        self.status = status
        reasons = {400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 429: "Too Many Requests"}
        self.body = {"error": {"status": status, "reason": reasons[status], "message": message, "code": code}}


def search(query: Any, products: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A page of items, the latest first.

    products: of the catalogue, as OData has them. Raises RefusedError.
    """
    if not isinstance(query, dict) or (unknown := set(query) - _KEYS):
        raise RefusedError(f"Unrecognized fields: {sorted(unknown) if isinstance(query, dict) else 'all'}")
    if query.get("collections") != ["sentinel-2-l2a"]:
        raise RefusedError("Illegal collection id", status=400)
    limit = _read_number(query, "limit", DEFAULT_LIMIT, 1, MAX_LIMIT)
    skip = _read_number(query, "next", 0, 0, 10**6)
    begin, end = read_interval(query.get("datetime"))
    area, is_clear = _read_area(query), _read_filter(query)
    found = [
        product
        for product in products
        if product["Online"]
        and begin <= read_time(product["ContentDate"]["Start"]) <= end
        and is_clear(_read_cloud(product))
        and shapely.intersects(shape(product["GeoFootprint"]), area)
    ]
    found.sort(key=lambda product: (product["ContentDate"]["Start"], product["Name"]), reverse=True)
    page = found[skip : skip + limit]
    context: dict[str, int] = {"limit": limit, "returned": len(page)}
    if skip + limit < len(found):
        context["next"] = skip + limit
    features = [_describe(product) for product in page]
    return {"type": "FeatureCollection", "features": features, "links": [], "context": context}


def _read_number(query: Mapping[str, Any], name: str, usual: int, least: int, most: int) -> int:
    value = query.get(name, usual)
    if not isinstance(value, int) or not least <= value <= most:
        raise RefusedError(f"{name} must be between {least} and {most}")
    return value


def read_time(text: Any) -> datetime:
    """A moment, ISO 8601 with its zone. Raises RefusedError."""
    try:
        moment = datetime.fromisoformat(text)
    except (ValueError, TypeError) as error:
        raise RefusedError(f"Invalid time: {str(text)[:50]}") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def read_interval(text: Any) -> tuple[datetime, datetime]:
    """Both ends of `from/to`, or of one second. Raises RefusedError."""
    if not isinstance(text, str):
        raise RefusedError("datetime is required")
    begin, slash, end = text.partition("/")
    first = read_time(begin)
    return first, read_time(end) if slash else first + timedelta(seconds=1)


def _read_area(query: Mapping[str, Any]) -> BaseGeometry:
    if ("bbox" in query) == ("intersects" in query):
        raise RefusedError("Exactly one of bbox and intersects is required")
    try:
        area = shapely.box(*query["bbox"]) if "bbox" in query else shape(query["intersects"])
    except (ValueError, TypeError, KeyError, AttributeError, shapely.errors.GEOSException) as error:
        raise RefusedError("Invalid geometry") from error
    if not area.is_valid or area.is_empty:
        raise RefusedError("Invalid geometry")
    return area


def _read_filter(query: Mapping[str, Any]) -> Callable[[float], bool]:
    text = query.get("filter")
    if text is None:
        return lambda _: True
    if query.get("filter-lang", "cql2-text") != "cql2-text" or not isinstance(text, str):
        raise RefusedError("filter-lang must be cql2-text")
    found = _CLOUD.fullmatch(text)
    if found is None:
        raise RefusedError(f"Invalid filter: {text[:100]}")
    compare, limit = _COMPARE[found[1]], float(found[2])
    return lambda cloud: compare(cloud, limit)


def _read_cloud(product: Mapping[str, Any]) -> float:
    return next(float(entry["Value"]) for entry in product["Attributes"] if entry["Name"] == "cloudCover")


def _describe(product: Mapping[str, Any]) -> dict[str, Any]:
    """A product as an item."""
    footprint = shape(product["GeoFootprint"])
    polygons = [part for part in shapely.get_parts(footprint) if isinstance(part, Polygon)]
    outline = MultiPolygon(polygons)
    name = str(product["Name"])
    tile = name[39:41]
    return {
        "stac_version": "1.0.0",
        "type": "Feature",
        "id": name,
        "collection": "sentinel-2-l2a",
        "bbox": list(outline.bounds),
        "geometry": {
            **shapely.geometry.mapping(outline),
            "crs": {"type": "name", "properties": {"name": "urn:ogc:def:crs:OGC::CRS84"}},
        },
        "properties": {
            "datetime": product["ContentDate"]["Start"],
            "platform": f"sentinel-{name[1:3].lower()}",
            "instruments": ["msi"],
            "constellation": "sentinel-2",
            "gsd": 10,
            "eo:cloud_cover": _read_cloud(product),
            "proj:epsg": 32600 + int(tile),
        },
        "assets": {"data": {"href": f"s3://EODATA{product['S3Path'].removeprefix('/eodata')}"}},
        "links": [],
    }
