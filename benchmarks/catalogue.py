"""A catalogue of all Europe, as the OData service would answer: simulated products over real HTTP.

Every Sentinel-2 tile is seen by each of its orbits every fifth day from May to September; which days are
clear is drawn, the same each time.
"""

import gzip
import json
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from hashlib import md5
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit
from zlib import crc32

import shapely
from shapely.geometry import Polygon

from benchmarks.stage import Stage, open_stage
from services.sandbox.landscape import NUTS_FILE
from services.sandbox.odata import MAX_SKIP
from services.sandbox.scenes import Tile, load_tiles

PATH = "/odata/v1/Products"
FIRST, DAYS, REVISIT = datetime(2021, 5, 1, 10, 50, 31, tzinfo=UTC), 153, 5
_SIZE = 109_800
_WIDTH = 0.75
"""Of a tile, the part that the swath of one orbit sees: the western or the eastern."""


def _footprint(tile: Tile, side: int) -> Polygon:
    left, bottom, right, top = tile.square.bounds
    if side == 0:
        right = left + _WIDTH * _SIZE
    else:
        left = right - _WIDTH * _SIZE
    outline: Polygon = tile.outline(shapely.box(left, bottom, right, top), 4326)
    return outline


def _cloud(tile: str, day: int) -> float:
    """Percent: most days clouded, some clear."""
    luck = crc32(f"{tile} {day}".encode()) / 2**32
    return round(100 * luck**1.2, 3)


def _product(tile: Tile, side: int, day: int, outline: Polygon) -> dict[str, Any]:
    sensed = FIRST + timedelta(days=day, minutes=7 * side)
    stamp = f"{sensed:%Y%m%dT%H%M%S}"
    name = f"S2{'AB'[day // REVISIT % 2]}_MSIL2A_{stamp}_N0500_R{51 + 43 * side:03d}_T{tile.id}_{stamp}.SAFE"
    digest = md5(name.encode(), usedforsecurity=False).hexdigest()
    moment = sensed.strftime("%Y-%m-%dT%H:%M:%S.000Z")
    return {
        "Id": f"{digest[:8]}-{digest[8:12]}-{digest[12:16]}-{digest[16:20]}-{digest[20:]}",
        "Name": name,
        "S3Path": f"/eodata/Sentinel-2/MSI/L2A/{sensed:%Y/%m/%d}/{name}",
        "Online": True,
        "ContentLength": 700_000_000,
        "ContentDate": {"Start": moment, "End": moment},
        "Footprint": f"geography'SRID=4326;{outline.wkt}'",
        "GeoFootprint": None,
        "Attributes": [{"Name": "cloudCover", "Value": _cloud(tile.id, day)}],
    }


@lru_cache(maxsize=1)
def _everything() -> tuple[list[dict[str, Any]], shapely.STRtree]:
    products, outlines = [], []
    for number, tile in enumerate(load_tiles()):
        for side in (0, 1):
            outline = _footprint(tile, side)
            for day in range(2 * side + number % 2, DAYS, REVISIT):
                products.append(_product(tile, side, day, outline))
                outlines.append(outline)
    return products, shapely.STRtree(outlines)


def find(query: str) -> list[dict[str, Any]]:
    """The products of a `$filter` as `landpatch.sources.odata.build_filter` writes it, by date."""
    products, tree = _everything()
    ring = re.search(r"POLYGON\(\((.*?)\)\)", query)
    cloud = re.search(r"Value le ([\d.]+)", query)
    if ring is None or cloud is None:
        raise ValueError(query)
    area = Polygon([tuple(map(float, point.split())) for point in ring[1].split(",")])
    hits = [products[number] for number in tree.query(area, predicate="intersects")]
    clear = [product for product in hits if product["Attributes"][0]["Value"] <= float(cloud[1])]
    return sorted(clear, key=lambda product: (product["ContentDate"]["Start"], product["Name"]))


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        query = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
        top, skip = int(query.get("$top", 20)), int(query.get("$skip", 0))
        if skip > MAX_SKIP:
            self.send_error(422)
            return
        found = find(query["$filter"]) if "$filter" in query else _everything()[0]
        page: dict[str, Any] = {"value": found[skip : skip + top]}
        if skip + top < len(found):
            host = f"http://127.0.0.1:{self.server.server_port}"  # type: ignore[attr-defined]
            page["@odata.nextLink"] = f"{host}{PATH}?{urlencode(query | {'$skip': str(skip + top)})}"
        body = json.dumps(page).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Be quiet."""


@contextmanager
def serving() -> Iterator[str]:
    """The address of the catalogue."""
    _everything()
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}{PATH}"
        server.shutdown()


@contextmanager
def open_europe() -> Iterator[Stage]:
    """A stage whose sources are this catalogue and the boundaries of all Europe."""
    with open_stage() as stage, serving() as catalogue, tempfile.TemporaryDirectory() as folder:
        boundaries = Path(folder) / "boundaries.geojson"
        boundaries.write_bytes(gzip.decompress(NUTS_FILE.read_bytes()))
        stage.environment.update(
            {
                "LANDPATCH_ODATA_URL": catalogue,
                "LANDPATCH_NUTS_URL": str(boundaries),
                "LANDPATCH_CLCPLUS_URL": catalogue.replace(PATH, "/{year}/exportImage"),
            }
        )
        yield stage
