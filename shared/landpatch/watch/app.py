"""The page and what it asks for, over HTTP."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from importlib import resources
from typing import Any, ParamSpec, TypeVar
from urllib.parse import parse_qs

import structlog
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from landpatch.errors import AbsentError, ConfigurationError, LandpatchError, PermanentError
from landpatch.layout import NUTS3_PATTERN
from landpatch.ledger import open_ledger
from landpatch.legend import STATE_COLOURS
from landpatch.patch import Cover, parse_patch
from landpatch.settings import Settings
from landpatch.storage import open_store
from landpatch.watch.feed import MOST_REGIONS, CrowdedError, Feed
from landpatch.watch.gate import COOKIE, Gate, Pass
from landpatch.watch.lookout import open_lookout
from landpatch.watch.maps import Atlas
from landpatch.watch.patches import KINDS, Showcase

P = ParamSpec("P")
T = TypeVar("T")
LONGEST_FORM = 4096
"""Bytes of a login."""
PICTURES_AT_A_TIME = 2
_PAGES = {
    "/": "index.html",
    **{
        f"/{name}": name
        for name in (
            "style.css", "icon.svg", "login.js", "app.js", "cards.js", "feed.js", "format.js", "map.js",
            "panel.js",
        )
    },
}  # fmt: skip
_TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
log = structlog.get_logger()


class Page:
    """Answers the requests."""

    def __init__(self, settings: Settings, is_ending: Callable[[], bool]) -> None:
        """settings: name the Redis, and the store when there is one. is_ending: see `Feed`."""
        self._atlas = Atlas(settings)
        self._showcase = None
        if settings.store_access_key is not None:
            store, ledger = open_store(settings), open_ledger(settings)
            self._showcase = Showcase(store, settings.prefix, ledger, clcplus=not settings.label_rasters)
        self.guard = Pass(settings.serve_token) if settings.serve_token is not None else None
        self.feed = Feed(open_lookout(settings, self._atlas), is_ending)
        self._drawing = asyncio.Semaphore(PICTURES_AT_A_TIME)
        self._source = settings.source

    async def send_file(self, request: Request) -> Response:
        """A file of the page."""
        return _read_page(_PAGES[request.url.path])

    async def show_login(self, request: Request) -> Response:
        """Ask for the token."""
        if self.guard is None or self.guard.admits(request):
            return RedirectResponse("/", 303)
        return _read_page("login.html")

    async def log_in(self, request: Request) -> Response:
        """Take the token, give the cookie."""
        form = parse_qs((await _read_body(request)).decode("utf-8", "replace"), max_num_fields=4)
        if self.guard is None or not self.guard.is_token(form.get("token", [""])[0].strip()):
            return _read_page("login.html", 403, {"hidden": ""})
        answer = RedirectResponse("/", 303)
        secure = request.url.scheme == "https"
        answer.set_cookie(COOKIE, self.guard.cookie, httponly=True, samesite="strict", secure=secure)
        return answer

    async def tell_health(self, _: Request) -> Response:
        """That the server answers."""
        return JSONResponse({"status": "ok"})

    async def follow(self, request: Request) -> Response:
        """What the workers do, from now on, as server-sent events."""
        wanted = [_check_region(text) for text in request.query_params.getlist("region")]
        if len(wanted) > MOST_REGIONS:
            raise HTTPException(400, f"at most {MOST_REGIONS} regions at a time")
        events = self.feed.follow(["/".join(map(str, each)) for each in wanted])
        return StreamingResponse(events, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})

    async def send_map(self, request: Request) -> Response:
        """The patches and the boundary of a region."""
        nuts = request.path_params["nuts"]
        if not NUTS3_PATTERN.fullmatch(nuts):
            raise HTTPException(404, "no such region")
        cover: Cover = "within" if request.query_params.get("cover") == "within" else "intersects"
        found = await run_in_threadpool(self._atlas.find, nuts, cover)
        return JSONResponse(await run_in_threadpool(found.describe))

    async def send_legend(self, _: Request) -> Response:
        """What the colours of states mean, and where the pixels come from."""
        return JSONResponse({"states": dict(STATE_COLOURS), "source": self._source})

    async def send_patch(self, request: Request) -> Response:
        """What is known of a patch."""
        nuts, year, patch = _check_patch(request)
        return JSONResponse(await self._draw(self._find_showcase().describe, nuts, year, patch))

    async def send_picture(self, request: Request) -> Response:
        """A picture of a patch."""
        nuts, year, patch = _check_patch(request)
        kind = request.path_params["kind"]
        if kind not in KINDS:
            raise HTTPException(404, f"pictures are {', '.join(KINDS)}")
        data = await self._draw(self._find_showcase().draw, nuts, year, patch, kind)
        return Response(data, media_type="image/png", headers={"Cache-Control": "private, max-age=60"})

    async def _draw(self, make: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        async with self._drawing:
            return await run_in_threadpool(partial(make, *args, **kwargs))

    def _find_showcase(self) -> Showcase:
        if self._showcase is None:
            raise ConfigurationError("no destination store is set (AWS_S3_ENDPOINT, AWS_ACCESS_KEY_ID, …)")
        return self._showcase


def _read_page(name: str, status: int = 200, cut: dict[str, str] | None = None) -> Response:
    """A file of the page; cut: texts that are replaced in it."""
    text = (resources.files("landpatch.watch") / "static" / name).read_text()
    for old, new in (cut or {}).items():
        text = text.replace(old, new)
    headers = {"Cache-Control": "no-cache"}
    return Response(text, status, headers, media_type=_TYPES[name.rpartition(".")[2]])


async def _read_body(request: Request) -> bytes:
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > LONGEST_FORM:
            raise HTTPException(413, "that is no login")
    return body


def _check_region(text: str) -> tuple[str, int]:
    """Region and year of `FR101/2021`."""
    nuts, _, year = text.partition("/")
    if not NUTS3_PATTERN.fullmatch(nuts) or not (year.isascii() and year.isdecimal() and len(year) == 4):
        raise HTTPException(404, "no such region and year")
    return nuts, int(year)


def _check_patch(request: Request) -> tuple[str, int, str]:
    nuts, year = _check_region(f"{request.path_params['nuts']}/{request.path_params['year']}")
    try:
        return nuts, year, parse_patch(request.path_params["patch"]).name
    except ValueError:
        raise HTTPException(404, "no such patch") from None


async def _tell_fault(_: Request, error: Exception) -> Response:
    """An error of landpatch as JSON: our own sentences, which hold no secret."""
    if isinstance(error, HTTPException):
        return JSONResponse({"fault": error.detail}, error.status_code)
    for kind, status in (
        (AbsentError, 404),
        (CrowdedError, 503),
        (PermanentError, 502),
        (ConfigurationError, 404),
    ):
        if isinstance(error, kind):
            return JSONResponse({"fault": str(error)}, status)
    return JSONResponse({"fault": str(error)}, 503)


def make_app(settings: Settings, is_ending: Callable[[], bool] = lambda: False) -> ASGIApp:
    """The application. Raises ConfigurationError when no Redis is named.

    settings: with a `serve_token` when others than this machine may look; see `access.check_access`.
    is_ending: whether the server that runs it wants to end.
    """
    page = Page(settings, is_ending)

    @asynccontextmanager
    async def look_while_serving(_: Starlette) -> AsyncIterator[None]:
        looking = asyncio.create_task(page.feed.run())
        looking.add_done_callback(_report)
        yield
        looking.cancel()
        with suppress(asyncio.CancelledError):
            await looking

    patch = "/{nuts}/{year}/{patch}"
    app = Starlette(
        routes=[
            *(Route(path, page.send_file) for path in _PAGES),
            Route("/login", page.show_login, methods=["GET"]),
            Route("/login", page.log_in, methods=["POST"]),
            Route("/healthz", page.tell_health),
            Route("/events", page.follow),
            Route("/legend", page.send_legend),
            Route("/map/{nuts}", page.send_map),
            Route(f"/patch{patch}", page.send_patch),
            Route(f"/picture{patch}/{{kind}}.png", page.send_picture),
        ],
        exception_handlers={HTTPException: _tell_fault, LandpatchError: _tell_fault},
        lifespan=look_while_serving,
    )
    return Gate(app, page.guard)  # outermost: an answer that goes wrong has the headers as well


def _report(looking: asyncio.Task[Any]) -> None:
    """The lookout reports what it meets; anything else is a fault of landpatch."""
    if not looking.cancelled() and (error := looking.exception()) is not None:
        log.error("nobody looks any more", exc_info=error)
