"""Product discovery: the OData catalogue of the Copernicus Data Space Ecosystem.

Source: https://documentation.dataspace.copernicus.eu/APIs/OData.html
"""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any, TypeGuard
from urllib.parse import urlsplit

import numpy as np
import requests
import shapely
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError
from shapely.geometry import MultiPolygon, Polygon, shape
from shapely.geometry.base import BaseGeometry

from landpatch.coverage import Scene
from landpatch.errors import ConfigurationError, PermanentError, TransientError
from landpatch.grid import patch_boxes, to_lonlat
from landpatch.patch import Patch
from landpatch.sources.gisco import UNREADABLE
from landpatch.sources.http import fetch

PAGE_SIZE = 1000
MAX_SKIP = 10_000
"""Products that the catalogue passes over to give those behind them; it refuses to pass over more."""
MAX_PAGES = 100
MAX_PAGE_BYTES = 40_000_000
"""1000 genuine products have some 3 MB."""
_WHAT = "the catalogue (LANDPATCH_ODATA_URL)"
_PATH = re.compile(r"[A-Za-z0-9_./-]{1,500}")
_POLYGON = re.compile(r"(MULTI)?POLYGON\b", re.IGNORECASE)
"""Nothing else is a footprint; a collection may be nested deeper than a parser can go."""
_NAME = re.compile(
    r"(?P<platform>S2[A-D])_MSIL2A_(?P<sensed>\d{8}T\d{6})_N(?P<baseline>\d{4})_R\d{3}_T(?P<tile>\d{2}[A-Z]{3})"
    r"_\d{8}T\d{6}\.SAFE"
)


class _Attribute(BaseModel):
    name: str = Field(alias="Name")
    value: Any = Field(None, alias="Value")


class _Product(BaseModel):
    model_config = ConfigDict(extra="ignore")

    id: str = Field(alias="Id", pattern=r"^[0-9a-fA-F-]{8,64}$")
    name: str = Field(alias="Name", max_length=200)
    s3_path: str | None = Field(None, alias="S3Path", max_length=500)
    online: bool = Field(alias="Online")
    size: int | None = Field(0, alias="ContentLength", ge=0, le=10**13)
    footprint: str | None = Field(None, alias="Footprint", max_length=1_000_000)
    geo_footprint: dict[str, Any] | None = Field(None, alias="GeoFootprint")
    attributes: list[_Attribute] = Field(alias="Attributes")


class _ContentDate(BaseModel):
    start: AwareDatetime = Field(alias="Start")


class _Dated(BaseModel):
    """A product of any kind: what it is ordered by."""

    content_date: _ContentDate = Field(alias="ContentDate")


@dataclass(frozen=True, slots=True)
class NameParts:
    """What the name of a product tells."""

    tile: str
    sensed: datetime
    """Begin of its datatake, UTC."""
    baseline: tuple[int, int]


def parse_name(name: str) -> NameParts | None:
    """The parts of the name of a Sentinel-2 L2A product, with `.SAFE`; None when it is no such name."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    try:
        sensed = datetime.strptime(match["sensed"], "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return None
    baseline = match["baseline"]
    return NameParts(match["tile"], sensed, (int(baseline[:2]), int(baseline[2:])))


def is_cloud_cover(value: Any, most: float) -> TypeGuard[float]:
    """Whether a catalogue's cloud cover is one, in percent, and no more than asked for."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= most


@dataclass(frozen=True, slots=True)
class Findings:
    """What the catalogue knows for a request."""

    scenes: tuple[Scene, ...]
    """Products that can be had, sorted by id."""
    offline: int
    """Products left out because they are not online."""
    unusable: int
    """Products left out because their entry lacks what is needed."""
    requests: int


def search_area(patches: Sequence[Patch]) -> BaseGeometry:
    """The hull of patches, EPSG:4326, lon lat; what to ask the catalogue about."""
    hull = shapely.segmentize(shapely.union_all(patch_boxes(list(patches))).convex_hull, 5000)
    return shapely.transform(hull, lambda xy: np.column_stack(to_lonlat().transform(xy[:, 0], xy[:, 1])))


def outline(area: BaseGeometry) -> BaseGeometry:
    """A polygon around an area that is short enough to be asked about; both EPSG:4326, lon lat."""
    return area.convex_hull.buffer(0.01).simplify(0.005)


def build_filter(area: BaseGeometry, begin: datetime, end: datetime, max_cloud: float) -> str:
    """The `$filter` for Sentinel-2 L2A products that touch an area.

    area: EPSG:4326, lon lat; its convex hull is asked for, as the catalogue bounds a query's length.
    begin, end: first and last moment, UTC. max_cloud: percent.
    """
    ring = ",".join(f"{lon:.5f} {lat:.5f}" for lon, lat in shapely.get_coordinates(outline(area)))
    return " and ".join(
        [
            "Collection/Name eq 'SENTINEL-2'",
            "Attributes/OData.CSC.StringAttribute/any(att:att/Name eq 'productType' and "
            "att/OData.CSC.StringAttribute/Value eq 'S2MSI2A')",
            f"ContentDate/Start ge {_stamp(begin)}",
            f"ContentDate/Start le {_stamp(end)}",
            "Attributes/OData.CSC.DoubleAttribute/any(att:att/Name eq 'cloudCover' and "
            f"att/OData.CSC.DoubleAttribute/Value le {max_cloud:.2f})",
            f"OData.CSC.Intersects(area=geography'SRID=4326;POLYGON(({ring}))')",
        ]
    )


def _stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def find_scenes(
    url: str, session: requests.Session, area: BaseGeometry, start: date, end: date, max_cloud: float
) -> Findings:
    """All Sentinel-2 L2A products that touch an area.

    area, max_cloud: as in `build_filter`. start, end: first and last day, UTC. Follows every page, in an
    explicit order, and asks anew from the last product on where the catalogue goes no further; a usable
    product that comes again counts once. Raises TransientError, also for pages that lead back and so leave
    products out, or PermanentError for an answer that is none or pages that do not end.
    """
    begin, last = datetime.combine(start, time.min, UTC), datetime.combine(end, time.max, UTC)
    products: dict[str, _Product] = {}
    unusable = pages = 0
    for page in _read_pages(url, session, lambda since: build_filter(area, since, last, max_cloud), begin):
        pages += 1
        if pages > MAX_PAGES:
            raise PermanentError(f"{_WHAT} has more than {MAX_PAGES} pages; ask for a shorter time")
        for entry in page["value"]:
            try:
                product = _Product.model_validate(entry)
                products[product.id] = product
            except ValidationError:
                unusable += 1
    online = [product for product in products.values() if product.online]
    scenes = [scene for product in online if (scene := _to_scene(product, max_cloud)) is not None]
    return Findings(
        scenes=tuple(sorted(scenes, key=lambda scene: scene.id)),
        offline=len(products) - len(online),
        unusable=unusable + len(online) - len(scenes),
        requests=pages,
    )


def _read_pages(
    url: str, session: requests.Session, filter_since: Callable[[datetime], str], begin: datetime
) -> Iterator[dict[str, Any]]:
    """Every page of an answer, and of the questions that go on where the catalogue goes no further."""
    since: datetime | None = begin
    while since is not None:
        params = {
            "$filter": filter_since(since),
            "$orderby": "ContentDate/Start asc",
            "$top": str(PAGE_SIZE),
            "$expand": "Attributes",
        }
        passed, following = 0, None
        for page in _follow(url, session, params):
            yield page
            passed += len(page["value"])
            if passed > MAX_SKIP and (_next_page(page, url) or len(page["value"]) >= PAGE_SIZE):
                following = _time_of_last(page, since)
                break
        since = following


def _follow(url: str, session: requests.Session, params: dict[str, str]) -> Iterator[dict[str, Any]]:
    """The pages of one question."""
    visited: set[str] = set()
    page_url: str | None = url
    while page_url is not None:
        if page_url in visited:
            raise TransientError(f"{_WHAT} leads from page {len(visited)} back to one that was read already")
        visited.add(page_url)
        page = _read_page(
            fetch(session, page_url, params if page_url == url else None, _WHAT, MAX_PAGE_BYTES)
        )
        yield page
        page_url = _next_page(page, url)


def _time_of_last(page: dict[str, Any], since: datetime) -> datetime:
    """When the last product of a page begins, which has to be later than what was asked for."""
    try:
        last = _Dated.model_validate(page["value"][-1]).content_date.start
    except ValidationError as error:
        raise PermanentError(f"{_WHAT} gives a product without a time; ask for a shorter time") from error
    if last <= since:
        raise PermanentError(f"{_WHAT} has more than {MAX_SKIP} products of one moment")
    return last.astimezone(UTC)


def _read_page(body: bytes) -> dict[str, Any]:
    try:
        page = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise PermanentError(f"{_WHAT} did not send JSON") from error
    if not isinstance(page, dict) or not isinstance(page.get("value"), list):
        raise PermanentError(f"{_WHAT} sent JSON without a list of products")
    return page


def _next_page(page: dict[str, Any], first: str) -> str | None:
    """The address of the next page, whatever the case of its key; None on the last page.

    Only an address of the same service is followed.
    """
    link = next((value for key, value in page.items() if key.lower() == "@odata.nextlink"), None)
    if not link or not page["value"]:
        return None
    if not isinstance(link, str) or not _is_same_service(link, first):
        raise PermanentError(f"{_WHAT} points to a next page of another service")
    return link


def _is_same_service(link: str, first: str) -> bool:
    try:
        a, b = urlsplit(link), urlsplit(first)
    except ValueError:
        return False
    return (a.scheme, a.netloc, a.path) == (b.scheme, b.netloc, b.path)


def _to_scene(product: _Product, max_cloud: float) -> Scene | None:
    """None when the entry lacks something that is needed."""
    parts = parse_name(product.name)
    cloud = next((a.value for a in product.attributes if a.name == "cloudCover"), None)
    path = (product.s3_path or "").strip("/")
    start = path.find(product.name)
    if parts is None or not is_cloud_cover(cloud, max_cloud):
        return None
    if not path.startswith("eodata/") or start < 0 or ".." in path.split("/") or not _PATH.fullmatch(path):
        return None
    return Scene(
        id=product.id,
        name=product.name,
        # The path may end below the .SAFE folder.
        s3_path=path[len("eodata/") : start + len(product.name)],
        tile=parts.tile,
        sensed=parts.sensed,
        baseline=parts.baseline,
        cloud_cover=float(cloud),
        size=product.size or 0,
        footprint=parse_footprint(product.geo_footprint, product.footprint),
    )


def parse_footprint(geojson: dict[str, Any] | None, wkt: str | None) -> BaseGeometry | None:
    """The footprint, EPSG:4326, lon lat; None when there is none that can be used.

    A footprint that crosses the antimeridian is None as well: it spans the globe as a plain polygon.
    """
    try:
        if geojson is not None:
            footprint = shape(geojson)
        elif wkt:
            text = wkt.strip().removeprefix("geography'SRID=4326;").rstrip("'")
            if not _POLYGON.match(text):
                return None
            footprint = shapely.from_wkt(text)
        else:
            return None
        footprint = shapely.make_valid(shapely.force_2d(footprint))
    except UNREADABLE:
        return None
    if not isinstance(footprint, Polygon | MultiPolygon) or footprint.is_empty:
        return None
    west, south, east, north = footprint.bounds
    if not (west >= -180 and east <= 180 and south >= -90 and north <= 90 and east - west < 90):
        return None
    return footprint


def check_catalogue(url: str, session: requests.Session) -> None:
    """Raise TransientError or ConfigurationError when the catalogue does not answer as one."""
    try:
        _read_page(fetch(session, url, {"$top": "1"}, _WHAT, MAX_PAGE_BYTES))
    except PermanentError as error:
        raise ConfigurationError(str(error)) from error
