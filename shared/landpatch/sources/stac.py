"""Product discovery: the catalogue of Sentinel Hub, a STAC API.

Source: https://docs.sentinel-hub.com/api/latest/api/catalog/
"""

import json
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Annotated, Any
from uuid import NAMESPACE_URL, uuid5

import shapely
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from shapely.geometry.base import BaseGeometry

from landpatch.coverage import Scene
from landpatch.errors import ConfigurationError, PermanentError, TransientError
from landpatch.sources.odata import Findings, is_cloud_cover, outline, parse_footprint, parse_name
from landpatch.sources.sentinelhub import COLLECTION, SentinelHub

PAGE_SIZE = 100
MAX_PAGES = 500
MAX_PAGE_BYTES = 10_000_000
"""100 genuine items have some 0.3 MB."""
_WHAT = "the catalogue of Sentinel Hub (LANDPATCH_SENTINELHUB_URL)"


class _Item(BaseModel):
    model_config = ConfigDict(extra="ignore")

    id: str = Field(max_length=200)
    geometry: dict[str, Any] | None = None
    properties: dict[str, Any]


class _Context(BaseModel):
    model_config = ConfigDict(extra="ignore")

    next: Annotated[int, Field(ge=1, le=10**7)] | None = None


class _Page(BaseModel):
    model_config = ConfigDict(extra="ignore")

    features: list[Any] = Field(max_length=10_000)
    context: _Context = _Context()


@dataclass(frozen=True, slots=True)
class SentinelHubCatalogue:
    """The catalogue."""

    hub: SentinelHub

    def check(self) -> None:
        """Raise TransientError or ConfigurationError when it does not answer as a catalogue."""
        try:
            self._read_page({"bbox": [2, 48, 3, 49], "limit": 1, "datetime": "2021-06-01T00:00:00Z"}, 0)
        except PermanentError as error:
            raise ConfigurationError(str(error)) from error

    def find(self, area: BaseGeometry, start: date, end: date, max_cloud: float) -> Findings:
        """All Sentinel-2 L2A products that touch an area; arguments and errors as of `Catalogue`.

        A product that pages repeat counts once; pages that lead back are not believed, as products would be
        left out.
        """
        query = write_query(area, start, end, max_cloud)
        scenes: dict[str, Scene] = {}
        unusable, at, pages = 0, 0, 0
        while True:
            page = self._read_page(query, at)
            pages += 1
            for feature in page.features:
                scene = _to_scene(feature, max_cloud)
                if scene is None:
                    unusable += 1
                else:
                    scenes[scene.id] = scene
            if page.context.next is None or not page.features:
                break
            if page.context.next <= at:
                raise TransientError(f"{_WHAT} leads from page {pages} back to what was read already")
            if pages == MAX_PAGES:
                raise PermanentError(f"{_WHAT} has more than {MAX_PAGES} pages; ask for a shorter time")
            at = page.context.next
        found = tuple(sorted(scenes.values(), key=lambda scene: scene.id))
        return Findings(scenes=found, offline=0, unusable=unusable, requests=pages)

    def _read_page(self, query: dict[str, Any], at: int) -> _Page:
        body = {"collections": [COLLECTION], **query, **({"next": at} if at else {})}
        data = self.hub.search(body, MAX_PAGE_BYTES)
        try:
            return _Page.model_validate(json.loads(data))
        except (ValueError, RecursionError, ValidationError) as error:
            raise PermanentError(f"{_WHAT} did not send a page of products") from error


def write_query(area: BaseGeometry, start: date, end: date, max_cloud: float) -> dict[str, Any]:
    """The body of a search, without its collection; arguments as of `Catalogue`."""
    begin = datetime.combine(start, time.min, UTC)
    finish = datetime.combine(end, time.max, UTC)
    return {
        "datetime": f"{begin:%Y-%m-%dT%H:%M:%SZ}/{finish:%Y-%m-%dT%H:%M:%SZ}",
        "intersects": json.loads(shapely.to_geojson(shapely.set_precision(outline(area), 1e-5))),
        "limit": PAGE_SIZE,
        "filter": f"eo:cloud_cover <= {max_cloud:g}",
        "filter-lang": "cql2-text",
    }


def _to_scene(feature: Any, max_cloud: float) -> Scene | None:
    """None when the item lacks something that is needed."""
    try:
        item = _Item.model_validate(feature)
    except ValidationError:
        return None
    name = f"{item.id.removesuffix('.SAFE')}.SAFE"
    parts = parse_name(name)
    cloud = item.properties.get("eo:cloud_cover")
    if parts is None or not is_cloud_cover(cloud, max_cloud):
        return None
    return Scene(
        id=str(uuid5(NAMESPACE_URL, name)),
        name=name,
        s3_path=f"Sentinel-2/MSI/L2A/{parts.sensed:%Y/%m/%d}/{name}",
        tile=parts.tile,
        sensed=parts.sensed,
        baseline=parts.baseline,
        cloud_cover=float(cloud),
        size=0,
        footprint=parse_footprint(item.geometry, None),
    )
