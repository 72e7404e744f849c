"""What is made is stored while the next is being made."""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

CONNECTIONS = 4
MOST_WAITING = 8
"""Finished images in memory; beyond that the making waits for the storing."""


class Uploads:
    """Stores in the background; use it with `with`, which ends when all is stored."""

    def __init__(self) -> None:
        """Over a few connections of its own."""
        self._pool = ThreadPoolExecutor(CONNECTIONS, thread_name_prefix="upload")
        self._running: deque[Future[None]] = deque()

    def add(self, upload: Callable[[], None]) -> None:
        """Do an upload soon. Raises what an earlier one has raised."""
        self._running.append(self._pool.submit(upload))
        while len(self._running) > MOST_WAITING:
            self._running.popleft().result()

    def __enter__(self) -> "Uploads":
        """Itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait until all is stored; raises what storing has raised."""
        try:
            while self._running and error is None:
                self._running.popleft().result()
        finally:
            self._pool.shutdown(wait=True, cancel_futures=True)
