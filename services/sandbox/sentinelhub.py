"""Sentinel Hub over HTTP: who may ask, how much, and the answers of `stac` and `process`."""

import json
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from landpatch.quota import Quota
from services.sandbox.catalogue import read_products
from services.sandbox.identity import Identity
from services.sandbox.process import read_order, render
from services.sandbox.stac import RefusedError, search


@dataclass(slots=True)
class Meter:
    """The processing units of the one account."""

    quota: Quota
    """In processing units."""
    spent: float = 0.0
    _minute: deque[tuple[float, float]] = field(default_factory=deque)

    def spend(self, units: float) -> int | None:
        """Count units; None, or how many milliseconds to wait when there are none left in this minute.

        Raises RefusedError when there are none left at all.
        """
        now = time.monotonic()
        while self._minute and self._minute[0][0] <= now - 60:
            self._minute.popleft()
        if self.spent + units > self.quota.volume_per_30_days / self.quota.measure.scale:
            code = "ACCESS_INSUFFICIENT_PROCESSING_UNITS"
            raise RefusedError("Insufficient processing units or requests available", code, 403)
        used = sum(max(1.0, earlier) for _, earlier in self._minute)
        if self._minute and used + max(1.0, units) > self.quota.requests_per_minute:
            return int(1000 * (60 - (now - self._minute[0][0]))) + 1
        self._minute.append((now, units))
        self.spent += units
        return None


@dataclass(frozen=True, slots=True)
class SentinelHub:
    """The service."""

    root: Path
    identity: Identity
    meter: Meter

    async def search(self, request: Request) -> Response:
        """Answer a search."""

        def answer(body: Any) -> tuple[float, Callable[[], Response]]:
            return 0.0, lambda: JSONResponse(search(body, read_products(self.root)))

        return await self._answer(request, answer)

    async def process(self, request: Request) -> Response:
        """Answer a request to render."""

        def answer(body: Any) -> tuple[float, Callable[[], Response]]:
            order = read_order(body)

            def run() -> Response:
                return Response(render(order, read_products(self.root), self.root), media_type="image/tiff")

            return order.units, run

        return await self._answer(request, answer)

    async def _answer(
        self, request: Request, read: Callable[[Any], tuple[float, Callable[[], Response]]]
    ) -> Response:
        try:
            if not self.identity.knows(request.headers.get("authorization")):
                raise RefusedError("You are not authorized!", "COMMON_UNAUTHORIZED", 401)
            units, run = read(await _read_json(request))
            wait_ms = self.meter.spend(units)
            if wait_ms is not None:
                refused = RefusedError("You have exceeded your rate limit", "RATE_LIMIT_EXCEEDED", 429)
                return JSONResponse(refused.body, 429, {"Retry-After": str(wait_ms)})
            return await run_in_threadpool(run)
        except RefusedError as error:
            return JSONResponse(error.body, error.status)


async def _read_json(request: Request) -> Any:
    try:
        return json.loads(await request.body())
    except ValueError as error:
        raise RefusedError("Not JSON") from error
