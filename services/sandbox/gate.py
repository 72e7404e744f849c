"""The EO data store's front door: passes requests on to the S3 server, and enforces an account's quota.

As the Copernicus Data Space Ecosystem does: so many connections at a time, so many bytes a second on each,
so many requests a minute, so many bytes in 30 days, after which one slow connection is left.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import asdict, dataclass

import aiohttp
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send
from yarl import URL

from landpatch.quota import EXHAUSTED_BYTES_PER_S, Quota

PIECE_BYTES = 131_072
HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade", "server", "date"}


@dataclass(slots=True)
class Tally:
    """What has come through the door."""

    requests: int = 0
    refused: int = 0
    peak_connections: int = 0
    bytes: int = 0


class Gate:
    """The state of the one account of the sandbox."""

    def __init__(self, quota: Quota) -> None:
        self.quota = quota
        self.tally = Tally()
        self._open = 0
        self._minute: deque[float] = deque()

    @property
    def bytes_per_s(self) -> int:
        """What a connection may take now."""
        return EXHAUSTED_BYTES_PER_S if self._exhausted else self.quota.connection_bytes_per_s

    @property
    def _exhausted(self) -> bool:
        return self.tally.bytes >= self.quota.volume_per_30_days

    def enter(self) -> int | None:
        """Let a request in; None, or how many seconds to wait when it is refused."""
        now = time.monotonic()
        self.tally.requests += 1
        while self._minute and self._minute[0] <= now - 60:
            self._minute.popleft()
        if self._open >= (1 if self._exhausted else self.quota.connections):
            self.tally.refused += 1
            return 1
        if len(self._minute) >= self.quota.requests_per_minute:
            self.tally.refused += 1
            return int(60 - (now - self._minute[0])) + 1
        self._minute.append(now)
        self._open += 1
        self.tally.peak_connections = max(self.tally.peak_connections, self._open)
        return None

    def leave(self) -> None:
        """A request is over."""
        self._open -= 1


class PacedResponse(StreamingResponse):
    """A body, no faster than a connection may take it.

    The request is over when the last bytes go out: a client that has them may ask again at once.
    """

    def __init__(
        self,
        gate: Gate,
        inside: ExitStack,
        pieces: AsyncIterator[bytes],
        status: int,
        headers: dict[str, str],
    ) -> None:
        """inside: what is closed when the request is over, however it ends."""
        super().__init__(self._pace(pieces), status, headers)
        self._gate = gate
        self._inside = inside

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._inside:
            await super().__call__(scope, receive, send)

    async def _pace(self, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        begin, size, due = time.monotonic(), 0, b""
        async for piece in pieces:
            if due:
                yield due
            due = piece
            size += len(piece)
            self._gate.tally.bytes += len(piece)
            await asyncio.sleep(size / self._gate.bytes_per_s - (time.monotonic() - begin))
        self._inside.close()
        yield due


def make_gate(upstream: str, quota: Quota) -> Starlette:
    """The application; upstream: URL of the S3 server."""
    gate = Gate(quota)

    @asynccontextmanager
    async def run(app: Starlette) -> AsyncIterator[None]:
        # The path and the query must arrive as they were signed.
        async with aiohttp.ClientSession(auto_decompress=False) as session:
            app.state.session = session
            yield

    async def pass_on(request: Request) -> Response:
        wait_s = gate.enter()
        if wait_s is not None:
            body = b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>SlowDown</Code></Error>'
            return Response(body, 429, media_type="application/xml", headers={"Retry-After": str(wait_s)})
        with ExitStack() as inside:
            inside.callback(gate.leave)
            answer = await _ask(request, upstream)
            inside.callback(answer.close)
            headers = {
                name: value for name, value in answer.headers.items() if name.lower() not in HOP_BY_HOP
            }
            pieces = answer.content.iter_chunked(PIECE_BYTES)
            return PacedResponse(gate, inside.pop_all(), pieces, answer.status, headers)

    async def tell(_: Request) -> Response:
        return JSONResponse(asdict(gate.tally))

    return Starlette(
        routes=[
            Route("/sandbox/quota", tell),
            Route("/{path:path}", pass_on, methods=["GET", "HEAD", "PUT", "POST", "DELETE"]),
        ],
        lifespan=run,
    )


async def _ask(request: Request, upstream: str) -> aiohttp.ClientResponse:
    target = request.scope["raw_path"].decode("latin-1")
    if query := request.scope["query_string"].decode("latin-1"):
        target = f"{target}?{query}"
    session: aiohttp.ClientSession = request.app.state.session
    # `Host` is part of what was signed, so it goes on as it came.
    headers = [(name, value) for name, value in request.headers.items() if name.lower() not in HOP_BY_HOP]
    return await session.request(
        request.method,
        URL(upstream + target, encoded=True),
        headers=headers,
        data=await request.body() or None,
        allow_redirects=False,
    )
