"""Which bytes of a band file to fetch, and how: pure, in bytes, requests and the account's quota.

An account is bounded by bytes a second and by requests a minute. Both are counted in the time for which
they use up the account, so that a request and the bytes that it saves can be compared.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from landpatch.jp2 import SOT_BYTES, Head, Span

CHUNK_BYTES = 8 * 2**20
"""Most bytes of one request: small enough that four connections end together, large enough that a
product takes some hundred requests."""
HEAD_REQUESTS = 15
"""To take up a product: its listing, its metadata, and the first bytes of 12 bands and SCL. Where bands come
whole, its manifest is one more."""


@dataclass(frozen=True, slots=True)
class Rates:
    """What an account may do."""

    bytes_per_s: float
    """All its connections together."""
    requests_per_s: float

    def cost_s(self, size: float, requests: float) -> float:
        """Seconds for which so many bytes and requests use up the account."""
        return size / self.bytes_per_s + requests / self.requests_per_s


@dataclass(frozen=True, slots=True)
class Fetch:
    """How to fetch the needed tiles of a band file."""

    how: Literal["tiles", "walk", "whole"]
    """tiles: the spans hold them, the file says where they lie. whole: the spans are the whole file.
    walk: no spans; go from tile-part to tile-part up to the last that is needed, then plan again."""
    spans: tuple[Span, ...]
    to_the_end: bool = False
    """All of the spans are worth having, and they are all of the file's tiles: its checksum can be had."""


def plan_fetch(head: Head, needed: Sequence[int], rates: Rates) -> Fetch:
    """Choose the way that uses up least of the account.

    needed: numbers of the tiles that patches need. Where the file says where its tiles lie (TLM), only
    they are fetched; those with a gap between them that costs less than a request are fetched with it.
    Where it does not, walking from one to the next takes a request a tile-part up to the last that is
    needed, and is chosen when that costs less than all of the file.
    """
    if not needed:
        return Fetch("tiles", ())
    if head.spans is not None:
        joined = _join(sorted(span for tile in needed for span in head.spans[tile]), rates)
        return Fetch("tiles", _split(joined), joined == [(head.begin, head.end - head.begin)])
    whole = split_rest(head.begin, head.end)
    steps = max(needed) + 1
    share = len(needed) / head.tiling.count
    walked = rates.cost_s(
        steps * SOT_BYTES + share * (head.end - head.begin),
        steps + len(needed),
    )
    if walked < rates.cost_s(head.end - head.begin, len(whole)):
        return Fetch("walk", ())
    return Fetch("whole", whole, _ends_soon(head, max(needed), rates))


def split_rest(begin: int, end: int) -> tuple[Span, ...]:
    """All of a file from one offset to another, in requests."""
    return _split([(begin, end - begin)])


def _ends_soon(head: Head, last: int, rates: Rates) -> bool:
    """Whether what lies behind the last needed tile costs no more than a request, or is at most a quarter
    of the file: when the tiles that are needed are there, no more of it is fetched otherwise."""
    size = head.end - head.begin
    rest = size * (head.tiling.count - 1 - last) / head.tiling.count
    return 4 * rest <= size or rates.cost_s(rest, 0) <= rates.cost_s(0, 1)


def _join(spans: Sequence[Span], rates: Rates) -> list[Span]:
    """Neighbours become one where the bytes between them cost less than a request."""
    joined: list[Span] = []
    for offset, length in spans:
        if joined:
            begin, size = joined[-1]
            gap = offset - (begin + size)
            if rates.cost_s(gap, 0) < rates.cost_s(0, 1):
                joined[-1] = (begin, offset + length - begin)
                continue
        joined.append((offset, length))
    return joined


def _split(spans: Sequence[Span]) -> tuple[Span, ...]:
    """Long spans in equal pieces of at most CHUNK_BYTES."""
    pieces: list[Span] = []
    for offset, length in spans:
        count = -(-length // CHUNK_BYTES)
        edges = [offset + length * n // count for n in range(count + 1)]
        pieces += [(begin, end - begin) for begin, end in itertools.pairwise(edges)]
    return tuple(pieces)
