"""Catalogues that say what a test wants, and entries with the shape of genuine ones."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from uuid import UUID

from shapely.geometry import box, mapping

from landpatch.sources.odata import (
    Findings,
    find_scenes,
)
from tests import http_server
from tests.http_server import Request, Server, quick_session

PATH = "/odata/v1/Products"
AREA = box(2.2, 48.8, 2.4, 48.9)
START, END = date(2021, 5, 1), date(2021, 9, 30)
BEGIN, FINISH = datetime(2021, 5, 1, tzinfo=UTC), datetime(2021, 9, 30, 23, 59, 59, 999_999, UTC)
TILE_AREA = box(1.7, 48.7, 3.1, 49.6)

Answer = tuple[int, dict[str, str], bytes]


@contextmanager
def serving(answer: Callable[[Server, str], Answer]) -> Iterator[Server]:
    """A catalogue; `answer` decides what it says."""

    def reply(request: Request) -> None:
        status, headers, body = answer(request.server, request.path)
        request.send(status, body, **{name.replace("-", "_"): value for name, value in headers.items()})

    with http_server.serving(reply, PATH) as server:
        yield server


def serving_pages(
    pages: list[list[dict[str, Any]]], next_link: str = "@odata.nextLink"
) -> "contextmanager[Any]":
    """A catalogue of these pages, chained by `$skiptoken`."""

    def answer(server: Any, path: str) -> Answer:
        number = int(dict(parse_qsl(urlsplit(path).query)).get("$skiptoken", 0))
        page: dict[str, Any] = {"@odata.context": "$metadata#Products(Attributes())", "value": pages[number]}
        if number + 1 < len(pages):
            page[next_link] = f"{server.url}?$skiptoken={number + 1}"
        return 200, {"Content-Type": "application/json"}, json.dumps(page).encode()

    return serving(answer)


def find(url: str, max_cloud: float = 30) -> Findings:
    return find_scenes(url, quick_session(), AREA, START, END, max_cloud)


def find_in(*pages: list[dict[str, Any]], **options: Any) -> Findings:
    with serving_pages(list(pages), **options) as server:
        return find(server.url)


def product(  # each is one field that a test varies
    number: int = 1,
    *,
    platform: str = "S2A",
    sensed: datetime = datetime(2021, 6, 1, 10, 50, 31, tzinfo=UTC),
    baseline: str = "0500",
    tile: str = "31UDQ",
    last: str = "20230212T061204",
    cloud: object = 12.5,
    decimals: int = 3,
    **fields: object,
) -> dict[str, Any]:
    """An entry with the shape of genuine ones; `fields` replace, `...` removes."""
    name = f"{platform}_MSIL2A_{sensed:%Y%m%dT%H%M%S}_N{baseline}_R051_T{tile}_{last}.SAFE"
    attributes = [
        ("String", "productType", "S2MSI2A"),
        ("String", "tileId", tile),
        ("String", "processorVersion", f"{baseline[:2]}.{baseline[2:]}"),
        ("Integer", "relativeOrbitNumber", 51),
        ("Double", "cloudCover", cloud),
    ]
    entry = {
        "@odata.mediaContentType": "application/octet-stream",
        "Id": str(UUID(int=number)),
        "Name": name,
        "ContentType": "application/octet-stream",
        "ContentLength": 1_164_018_562,
        "OriginDate": stamp(sensed, decimals),
        "PublicationDate": stamp(sensed, decimals),
        "ModificationDate": stamp(sensed, decimals),
        "Online": True,
        "EvictionDate": "9999-12-31T23:59:59.999999Z",
        "S3Path": f"/eodata/Sentinel-2/MSI/L2A_N0500/{sensed:%Y/%m/%d}/{name}",
        "Checksum": [],
        "ContentDate": {"Start": stamp(sensed, decimals), "End": stamp(sensed, decimals)},
        "Footprint": f"geography'SRID=4326;{TILE_AREA.wkt}'",
        "GeoFootprint": mapping(TILE_AREA),
        "Attributes": [
            {"@odata.type": f"#OData.CSC.{kind}Attribute", "Name": key, "Value": value, "ValueType": kind}
            for kind, key, value in attributes
            if value is not ...
        ],
    } | fields
    return {key: value for key, value in entry.items() if value is not ...}


def stamp(moment: datetime, decimals: int) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{'024000'[:decimals]}Z"
