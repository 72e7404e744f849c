"""Requests of one account: within its quota, tried again when they fail in passing, counted."""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from threading import Lock
from typing import Protocol, TypeVar

from landpatch.counters import Count
from landpatch.errors import RefusedError, TransientError
from landpatch.quota import Governor
from landpatch.stages import stage

T = TypeVar("T")
TRIES = 5
LONGEST_WAIT_S = 600
"""However long a service asks to wait."""
_PIECE_BYTES = 262_144
_REQUESTS = Count("landpatch_eodata_requests", "Requests to the image source.")
_BYTES = Count("landpatch_eodata_bytes", "Bytes asked of the image source.")


@dataclass(slots=True)
class Traffic:
    """What has been asked of a service."""

    bytes: int = 0
    requests: int = 0


class Account:
    """The account of a service. Its methods may be called from many threads."""

    def __init__(self, governor: Governor) -> None:
        """governor: of the account, over all workers."""
        self.governor = governor
        self._traffic = Traffic()
        self._lock = Lock()

    def ask(
        self,
        size: int,
        request: Callable[[float], T],
        tries: int = TRIES,
        weight: int = 1,
        volume: int | None = None,
    ) -> T:
        """Do a request, over one of the account's connections; a few times when it fails in passing.

        size: bytes that are expected. request: is given the bytes a second that it may take. weight: for how
        many requests it counts. volume: what it takes of the quota of 30 days, where that is not of bytes.
        Raises what the request raises.
        """
        for attempt in range(1, tries + 1):
            try:
                return self._try(size, size if volume is None else volume, weight, request)
            except RefusedError as error:
                # What is asked of one is asked of all: the quota is the account's.
                wait_s = error.wait_s if error.wait_s is not None else 2.0**attempt
                self.governor.back_off(min(wait_s, LONGEST_WAIT_S))
                if attempt == tries:
                    raise
            except TransientError:
                if attempt == tries:
                    raise
                time.sleep(min(2.0**attempt / 4, 8) * random.uniform(0.5, 1.5))  # noqa: S311
        raise ValueError(f"{tries} tries")

    def _try(self, size: int, volume: int, weight: int, request: Callable[[float], T]) -> T:
        with ExitStack() as connection:
            with stage("quota"):
                bytes_per_s = connection.enter_context(self.governor.request(volume, weight))
            self._count(size)
            with stage("download"):
                return request(bytes_per_s)

    def count_more(self, size: int) -> None:
        """A request has moved so many bytes beyond what was expected."""
        self.governor.count_volume(size)
        self.note_bytes(size)

    def note_bytes(self, size: int) -> None:
        """A request has moved so many bytes, which the quota does not count."""
        with self._lock:
            self._traffic.bytes += size
        _BYTES.add(amount=size)

    def _count(self, size: int) -> None:
        with self._lock:
            self._traffic.requests += 1
            self._traffic.bytes += size
        _REQUESTS.add()
        _BYTES.add(amount=size)

    @contextmanager
    def counting(self) -> Iterator[Traffic]:
        """Bytes and requests while the context lasts; complete when it ends."""
        begin = replace(self._traffic)
        traffic = Traffic()
        try:
            yield traffic
        finally:
            traffic.bytes = self._traffic.bytes - begin.bytes
            traffic.requests = self._traffic.requests - begin.requests


class Body(Protocol):
    """The body of an answer."""

    def read(self, size: int, /) -> bytes:
        """At most so many bytes; none at its end."""


class PacedBody:
    """A body that is read no faster than allowed."""

    def __init__(self, body: Body, bytes_per_s: float) -> None:
        """bytes_per_s: from now on, on average."""
        self._body = body
        self._bytes_per_s = bytes_per_s
        self._begin = time.monotonic()
        self.size = 0
        """Bytes that have been read."""

    def read(self, size: int, /) -> bytes:
        """At most so many bytes; none at its end."""
        piece = self._body.read(min(_PIECE_BYTES, size))
        self.size += len(piece)
        early_s = self.size / self._bytes_per_s - (time.monotonic() - self._begin)
        if early_s > 0.001:
            time.sleep(early_s)
        return piece


def read_paced(body: Body, length: int, bytes_per_s: float) -> bytes:
    """So many bytes of a body, or as many as it has, no faster than allowed."""
    paced = PacedBody(body, bytes_per_s)
    pieces: list[bytes] = []
    while paced.size < length and (piece := paced.read(length - paced.size)):
        pieces.append(piece)
    return b"".join(pieces)
