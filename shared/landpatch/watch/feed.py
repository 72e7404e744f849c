"""Server-sent events: one look for all who follow, and to each what is new to it."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection
from typing import Any

from starlette.concurrency import run_in_threadpool

from landpatch.errors import TransientError
from landpatch.watch.lookout import Lookout
from landpatch.watch.sights import Snapshot
from landpatch.watch.telling import Told, tell

PAUSE_S = 1.0
"""Between two looks, at least."""
SHARE = 0.25
"""Of the time that may go into looking: of many large regions, less often."""
LONGEST_PAUSE_S = 10.0
KEEP_ALIVE_S = 15.0
"""After so long without news a comment is sent, so that nothing in between hangs up."""
MOST_CLIENTS = 64
MOST_REGIONS = 8
"""That a client may see patch by patch."""
MOST_VIEWS = 24
"""Of all clients together."""


class CrowdedError(TransientError):
    """More wants to be seen than this process tells."""


class Feed:
    """Looks while somebody follows, and never twice at a time."""

    def __init__(self, lookout: Lookout, is_ending: Callable[[], bool], pause_s: float = PAUSE_S) -> None:
        """is_ending: whether the server wants to end, which waits for those who follow. pause_s: between two
        looks, at least."""
        self._lookout = lookout
        self._is_ending = is_ending
        self._pause_s = pause_s
        self._wanted: Counter[str] = Counter()
        self._clients = 0
        self._snapshot = Snapshot()
        self._news = asyncio.Condition()
        self._call = asyncio.Event()

    async def run(self) -> None:
        """Look again and again, while there is somebody to tell."""
        while True:
            await self._call.wait()
            self._call.clear()
            while self._clients:
                begin_s = time.monotonic()
                seen = await run_in_threadpool(self._lookout.look, set(self._wanted))
                took_s = time.monotonic() - begin_s
                async with self._news:
                    self._snapshot = seen
                    self._news.notify_all()
                await self._rest(max(self._pause_s, min(took_s / SHARE, LONGEST_PAUSE_S)))

    async def _rest(self, pause_s: float) -> None:
        """A pause, which ends early when somebody comes."""
        try:
            await asyncio.wait_for(self._call.wait(), pause_s)
        except TimeoutError:
            return
        self._call.clear()

    def follow(self, wanted: Collection[str]) -> AsyncIterator[str]:
        """The events for a client, without an end. wanted: regions that it wants to see patch by patch.

        Raises CrowdedError at once where that is too much.
        """
        more = [key for key in wanted if key not in self._wanted]
        if self._clients >= MOST_CLIENTS or len(self._wanted) + len(more) > MOST_VIEWS:
            raise CrowdedError("too many look at once; close a page, or choose fewer regions")
        return self._tell(tuple(dict.fromkeys(wanted)))

    async def _tell(self, wanted: tuple[str, ...]) -> AsyncIterator[str]:
        self._clients += 1
        self._wanted.update(wanted)
        self._call.set()
        told, last, said_s = Told(), self._snapshot.number, time.monotonic()
        try:
            while not self._is_ending():
                message: dict[str, Any] = {}
                if (snapshot := await self._next(last)) is not None:
                    last = snapshot.number
                    message, told = tell(snapshot, wanted, told)
                if message:
                    yield f"data: {json.dumps(message, separators=(',', ':'))}\n\n"
                elif time.monotonic() - said_s > KEEP_ALIVE_S:
                    yield ": nothing new\n\n"
                else:
                    continue
                said_s = time.monotonic()
        finally:
            self._clients -= 1
            self._wanted = +(self._wanted - Counter(wanted))

    async def _next(self, after: int) -> Snapshot | None:
        """The first snapshot after one; None when none comes soon."""
        try:
            async with asyncio.timeout(PAUSE_S), self._news:
                await self._news.wait_for(lambda: self._snapshot.number > after)
                return self._snapshot
        except TimeoutError:
            return None
