"""The HTTP services of the sandbox: catalogue, tokens, downloads, Sentinel Hub, ImageServer, boundary file,
geocoder."""

import gzip
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from landpatch.quota import Quota
from services.sandbox.catalogue import read_products
from services.sandbox.download import Download
from services.sandbox.gate import Gate
from services.sandbox.geocoder import find_places
from services.sandbox.identity import Identity, TokenError
from services.sandbox.imageserver import (
    ExportError,
    describe_error,
    describe_service,
    export_image,
    find_edition,
)
from services.sandbox.landscape import NUTS_FILE
from services.sandbox.odata import BadQueryError, answer, parse_query
from services.sandbox.options import Parts
from services.sandbox.prepare import check_request, read_progress, start_preparing
from services.sandbox.sentinelhub import Meter, SentinelHub

_SERVICE = "/arcgis/rest/services/CLC_plus/{service}/ImageServer"


@dataclass(frozen=True, slots=True)
class Quotas:
    """Of the one account."""

    downloads: Quota
    processing: Quota


def make_app(root: Path, identity: Identity, quotas: Quotas, parts: Parts = "ignored") -> Starlette:
    """The application; root: where products and catalogue lie. identity, quotas: of the one account. parts:
    what becomes of requests for parts of a download."""
    download = Download(root, identity, Gate(quotas.downloads), parts)
    hub = SentinelHub(root, identity, Meter(quotas.processing))
    app = Starlette(
        routes=[
            Route("/healthz", _tell_health),
            Route("/odata/v1/Products", _find_products),
            Route("/odata/v1/Products({id})/$value", download.send),
            Route("/auth/realms/CDSE/protocol/openid-connect/token", _grant, methods=["POST"]),
            Route("/api/v1/catalog/1.0.0/search", hub.search, methods=["POST"]),
            Route("/api/v1/process", hub.process, methods=["POST"]),
            Route(_SERVICE, _tell_service),
            Route(f"{_SERVICE}/exportImage", _export, methods=["GET", "POST"]),
            Route("/gisco/NUTS_RG_01M_2021_3035_LEVL_3.geojson", _send_boundaries),
            Route("/nominatim/search", _geocode),
            Route("/sandbox/prepare", _start, methods=["POST"]),
            Route("/sandbox/prepare", _tell_progress, methods=["GET"]),
        ]
    )
    app.state.root = root
    app.state.identity = identity
    return app


async def _tell_health(_: Request) -> Response:
    return JSONResponse({"status": "ok"})


async def _find_products(request: Request) -> Response:
    parameters = dict(request.query_params)
    url = str(request.url.replace(query=""))
    try:
        query = parse_query(parameters)
        products = await run_in_threadpool(read_products, request.app.state.root)
        body = await run_in_threadpool(answer, query, products, url, parameters)
    except BadQueryError as error:
        return JSONResponse({"detail": error.detail}, status_code=error.status)
    return JSONResponse(body)


async def _grant(request: Request) -> Response:
    form = dict(parse_qsl((await request.body()).decode("utf-8", "replace"), keep_blank_values=True))
    try:
        return JSONResponse(request.app.state.identity.grant(form))
    except TokenError as error:
        return JSONResponse(error.body, error.status)


async def _tell_service(request: Request) -> Response:
    edition = find_edition(request.path_params["service"])
    return _no_service() if edition is None else JSONResponse(describe_service(edition))


async def _export(request: Request) -> Response:
    edition = find_edition(request.path_params["service"])
    if edition is None:
        return _no_service()
    parameters: dict[str, str] = dict(request.query_params)
    if request.method == "POST":
        parameters |= dict(parse_qsl((await request.body()).decode("utf-8", "replace")))
    try:
        data = await run_in_threadpool(export_image, edition, parameters)
    except ExportError as error:
        data = error.body
    return Response(data, media_type="image/tiff")


def _no_service() -> Response:
    return Response(describe_error(404, "Service not found", []), media_type="application/json")


async def _send_boundaries(request: Request) -> Response:
    data = NUTS_FILE.read_bytes()
    if "gzip" in request.headers.get("accept-encoding", ""):
        return Response(data, media_type="application/geo+json", headers={"Content-Encoding": "gzip"})
    return Response(gzip.decompress(data), media_type="application/geo+json")


async def _geocode(request: Request) -> Response:
    if not request.headers.get("user-agent"):
        return PlainTextResponse("Access blocked: a User-Agent is required", status_code=403)
    limit = request.query_params.get("limit", "10")
    if not limit.isdecimal():
        return JSONResponse({"error": {"code": 400, "message": "Parameter 'limit' must be a number."}}, 400)
    places = await run_in_threadpool(find_places, request.query_params.get("q", ""), int(limit))
    return JSONResponse(places)


def _read_request(request: Request) -> tuple[str, int]:
    """Region and year. Raises ValueError for what cannot be prepared."""
    region, year = request.query_params.get("nuts", ""), int(request.query_params.get("year", ""))
    check_request(region, year)
    return region, year


async def _start(request: Request) -> Response:
    root = request.app.state.root
    try:
        region, year = _read_request(request)
        await run_in_threadpool(start_preparing, region, year, root)
    except ValueError as error:
        return JSONResponse({"detail": str(error)}, status_code=422)
    return JSONResponse(_progress(region, year, root), status_code=202)


async def _tell_progress(request: Request) -> Response:
    try:
        region, year = _read_request(request)
    except ValueError as error:
        return JSONResponse({"detail": str(error)}, status_code=422)
    return JSONResponse(_progress(region, year, request.app.state.root))


def _progress(region: str, year: int, root: Path) -> dict[str, Any]:
    progress = read_progress(region, year, root)
    return {
        "state": progress.state,
        "done": progress.done,
        "total": progress.total,
        "message": progress.message,
    }
