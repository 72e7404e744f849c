"""Files in chunks, fetched ahead in the order in which they will be needed, within a bound of memory."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Condition, Event, Lock
from typing import Protocol

from landpatch.jp2 import Span
from landpatch.stages import carry_context

Read = Callable[[str, int, int], bytes]
"""Key, offset, length -> exactly so many bytes of the file."""


class Room:
    """How many bytes a product may hold in memory, compressed and decoded together."""

    def __init__(self, limit: int) -> None:
        """limit: bytes."""
        self._limit = limit
        self._used = 0
        self._changed = Condition()

    def hold(self, size: int) -> None:
        """Count bytes that are there."""
        with self._changed:
            self._used += size

    def free(self, size: int) -> None:
        """Count bytes that are gone."""
        with self._changed:
            self._used -= size
            self._changed.notify_all()

    def wait_for(self, size: int, urgent: Event) -> None:
        """Hold bytes when there is room for them, or when they have become urgent."""
        with self._changed:
            self._changed.wait_for(lambda: urgent.is_set() or self._used + size <= self._limit)
            self._used += size

    def look_again(self) -> None:
        """Something has become urgent."""
        with self._changed:
            self._changed.notify_all()


class Chunk:
    """A piece of a file that is fetched with one request."""

    def __init__(self, key: str, span: Span, rank: float) -> None:
        """rank: chunks of a lower rank are fetched first."""
        self.key = key
        self.offset, self.length = span
        self.rank = rank
        self.urgent = Event()
        """Somebody waits for it: it is fetched even when there is no room."""
        self.lock = Lock()
        self.fetching: Future[bytes] | None = None


class Loader:
    """Fetches chunks ahead, over several connections; use it with `with`."""

    def __init__(self, read: Read, chunks: Sequence[Chunk], connections: int, room: Room) -> None:
        """chunks: everything that will be asked for, in any order."""
        self._read = read
        self._room = room
        self._stopped = False
        self._pool = ThreadPoolExecutor(connections, thread_name_prefix="fetch", initializer=carry_context())
        self._chunks = sorted(chunks, key=lambda chunk: (chunk.rank, chunk.key, chunk.offset))
        for chunk in self._chunks:
            chunk.fetching = self._pool.submit(self._fetch, chunk)

    def _fetch(self, chunk: Chunk) -> bytes:
        self._room.wait_for(chunk.length, chunk.urgent)
        return b"" if self._stopped else self._read(chunk.key, chunk.offset, chunk.length)

    def get(self, chunk: Chunk) -> bytes:
        """The bytes of a chunk; waits for them. Raises what fetching them raised."""
        chunk.urgent.set()
        with chunk.lock:
            if chunk.fetching is None:
                raise ValueError(f"{chunk.key}, {chunk.offset}: a chunk that was forgotten")
            if chunk.fetching.cancel():
                # Its turn has not come: who needs it now fetches it now.
                chunk.fetching = Future()
                chunk.fetching.set_result(self._fetch(chunk))
            fetching = chunk.fetching
        self._room.look_again()
        return fetching.result()

    def fetch_again(self, chunk: Chunk, read: Read) -> None:
        """Give up the bytes of a chunk, which are wrong, for others. read: the source itself."""
        fetching: Future[bytes] = Future()
        fetching.set_result(read(chunk.key, chunk.offset, chunk.length))
        with chunk.lock:
            chunk.fetching = fetching

    def forget(self, chunk: Chunk) -> None:
        """Give up the bytes of a chunk that nobody will ask for again."""
        with chunk.lock:
            if chunk.fetching is None:
                return
            held = not chunk.fetching.cancel()
            chunk.fetching = None
        if held:
            chunk.urgent.set()
            self._room.free(chunk.length)

    def __enter__(self) -> "Loader":
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop fetching; what has not begun never does."""
        self._stopped = True
        for chunk in self._chunks:
            chunk.urgent.set()
        self._room.look_again()
        self._pool.shutdown(wait=True, cancel_futures=True)


class File(Protocol):
    """The bytes of a file, or those parts of it that are needed."""

    def read(self, offset: int, length: int) -> bytes:
        """Exactly so many bytes."""

    def forget(self, before: int) -> None:
        """Nothing before this offset will be asked for again."""


class ChunkedFile:
    """A file of which chunks are fetched ahead."""

    def __init__(self, loader: Loader, chunks: Sequence[Chunk]) -> None:
        """chunks: of this file, by offset."""
        self._loader = loader
        self._chunks = list(chunks)

    def read(self, offset: int, length: int) -> bytes:
        """Exactly so many bytes; raises ValueError for any that no chunk holds."""
        pieces, at, end = [], offset, offset + length
        for chunk in self._chunks:
            if at < end and chunk.offset <= at < chunk.offset + chunk.length:
                begin = at - chunk.offset
                pieces.append(self._loader.get(chunk)[begin : begin + end - at])
                at += len(pieces[-1])
        if at != end:
            raise ValueError(f"bytes {at} to {end} are in no chunk")
        return b"".join(pieces)

    def forget(self, before: int) -> None:
        """Nothing before this offset will be asked for again."""
        for chunk in self._chunks:
            if chunk.offset + chunk.length <= before:
                self._loader.forget(chunk)


class MemoryBytes:
    """A file that is in memory, whole."""

    def __init__(self, data: bytes) -> None:
        """data: all of it."""
        self._data = data

    def read(self, offset: int, length: int) -> bytes:
        """Exactly so many bytes."""
        return self._data[offset : offset + length]

    def forget(self, before: int) -> None:
        """It stays: who made it keeps it."""
