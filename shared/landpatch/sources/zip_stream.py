"""Members of a ZIP archive, taken out of it while it comes.

Source: PKWARE, APPNOTE.TXT (".ZIP File Format Specification"), sections 4.3 to 4.5.
"""

import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from landpatch.errors import PermanentError, TransientError
from landpatch.sources.account import Body
from landpatch.sources.product_files import MAX_FILES
from landpatch.sources.zip_directory import (
    DEFLATED,
    ENCRYPTED,
    HEADER_BYTES,
    LOCAL,
    MAX_DIRECTORY_BYTES,
    STORED,
)

_PIECE_BYTES = 1_048_576
_ENTRY, _END, _END_64 = b"PK\x01\x02", b"PK\x05\x06", b"PK\x06\x06"
_DESCRIPTOR = b"PK\x07\x08"
_SIGNED_FORMS = ("<4xIII", "<4xIQQ")
"""Of a descriptor that begins with its signature: checksum, packed bytes, bytes."""
_SIZES_FOLLOW, _UTF8 = 0x8, 0x800
_IN_64 = 0xFFFFFFFF


class Sink(Protocol):
    """Takes a member's bytes as they come."""

    def write(self, data: bytes, /) -> object:
        """Some of them."""


class _Nowhere:
    """For members that nobody wants."""

    def write(self, data: bytes, /) -> object:
        return None


class _Stream:
    """Bytes that come one after the other, some of them looked at before they are taken."""

    def __init__(self, body: Body, what: str) -> None:
        self._body = body
        self._what = what
        self.buffer = bytearray()

    def fill(self, size: int) -> bool:
        """Have so many bytes in the buffer; False when there are no more."""
        while len(self.buffer) < size:
            piece = self._body.read(_PIECE_BYTES)
            if not piece:
                return False
            self.buffer += piece
        return True

    def take(self, size: int) -> bytes:
        """So many bytes of the buffer, which has them."""
        if not self.fill(size):
            raise TransientError(f"{self._what} ended early")
        taken = bytes(self.buffer[:size])
        del self.buffer[:size]
        return taken


@dataclass(frozen=True, slots=True)
class _Header:
    """What a member's own header says."""

    name: str
    deflated: bool
    open_end: bool
    """Sizes and checksum follow behind the data."""
    crc: int
    packed: int
    size: int


class _Sum:
    """Bytes of a member that have come: how many, and their checksum; passed on to a sink."""

    def __init__(self, sink: Sink, most: int, refuse: Callable[[], Exception]) -> None:
        self._sink, self._most, self._refuse = sink, most, refuse
        self.size = self.crc = 0

    def add(self, data: bytes) -> None:
        self.size += len(data)
        if self.size > self._most:
            raise self._refuse()
        self.crc = zlib.crc32(data, self.crc)
        self._sink.write(data)


def read_members(
    body: Body, choose: Callable[[str], tuple[Sink, int] | None], most: int, what: str
) -> Iterator[str]:
    """Take members out of an archive while it comes.

    choose: for a member's name, where its bytes go and how many it may have; None where nobody wants it,
    which may then have `most`. Yields the name of each chosen member when it is complete and its checksum
    right. Raises PermanentError for what is no archive that can be read so, or a member that is too large,
    TransientError for one that ends early or has arrived broken.
    """
    stream = _Stream(body, what)
    count = 0
    while (signature := stream.take(4)) == LOCAL:
        count += 1
        if count > MAX_FILES:
            raise PermanentError(f"{what}: a ZIP of more than {MAX_FILES} files")
        header = _read_header(stream, what)
        chosen = choose(header.name)
        sink, limit = chosen or (_Nowhere(), most)
        _read_member(stream, header, _sum_up(sink, limit, header.name, what), what)
        if chosen:
            yield header.name
    if not count and signature != _END:
        # Whoever is down for a while may say so with status 200.
        raise TransientError(f"{what} did not send a ZIP")
    if signature not in {_ENTRY, _END, _END_64}:
        raise PermanentError(f"{what}: not a ZIP that can be read while it comes")
    _read_rest(stream, signature, what)


def _sum_up(sink: Sink, limit: int, name: str, what: str) -> _Sum:
    message = f"{what}: {name[-80:]!r} has more than {limit} bytes"
    return _Sum(sink, limit, lambda: PermanentError(message))


def _read_header(stream: _Stream, what: str) -> _Header:
    _, flags, method, _, _, crc, packed, size, name_bytes, extra_bytes = struct.unpack(
        "<HHHHHIIIHH", stream.take(HEADER_BYTES - 4)
    )
    raw, extra = stream.take(name_bytes), stream.take(extra_bytes)
    name = raw.decode("utf-8" if flags & _UTF8 else "cp437", "replace")
    if method not in {STORED, DEFLATED} or flags & ENCRYPTED:
        raise PermanentError(f"{what}: {name[-80:]!r} is packed in another way than deflated")
    if _IN_64 in {packed, size}:
        size, packed = _read_sizes_64(extra, size, packed)
    if method == STORED and not flags & _SIZES_FOLLOW and packed != size:
        raise PermanentError(f"{what}: {name[-80:]!r} has two sizes")
    return _Header(name, method == DEFLATED, bool(flags & _SIZES_FOLLOW), crc, packed, size)


def _read_sizes_64(extra: bytes, size: int, packed: int) -> tuple[int, int]:
    """The sizes of a large member: in the extra field with the number 1, in this order, where they are asked
    for."""
    at = 0
    while at + 4 <= len(extra):
        number, length = struct.unpack_from("<HH", extra, at)
        field = extra[at + 4 : at + 4 + length]
        if number == 1:
            values = list(struct.unpack(f"<{len(field) // 8}Q", field[: len(field) // 8 * 8]))
            size = values.pop(0) if size == _IN_64 and values else size
            packed = values.pop(0) if packed == _IN_64 and values else packed
            break
        at += 4 + length
    return size, packed


def _read_member(stream: _Stream, header: _Header, sums: _Sum, what: str) -> None:
    """Take a member's data, and what follows them."""
    if header.deflated:
        packed = _inflate(stream, sums, header.name, what)
    elif header.open_end:
        _find_end(stream, sums, what)
        return  # with what follows
    else:
        packed = header.packed
        _copy(stream, packed, sums)
    if header.open_end:
        _check_descriptor(stream, sums, packed, header.name, what)
    elif (sums.crc, sums.size, packed) != (header.crc, header.size, header.packed):
        raise TransientError(f"{what}: {header.name[-80:]!r} arrived broken")


def _copy(stream: _Stream, size: int, sums: _Sum) -> None:
    while size:
        piece = stream.take(min(size, _PIECE_BYTES))
        size -= len(piece)
        sums.add(piece)


def _inflate(stream: _Stream, sums: _Sum, name: str, what: str) -> int:
    """Unpack up to the end that the data themselves say; how many packed bytes there were."""
    decoder = zlib.decompressobj(-zlib.MAX_WBITS)
    packed = 0
    try:
        while not decoder.eof:
            if not decoder.unconsumed_tail:
                if not stream.fill(1):
                    raise TransientError(f"{what} ended early")
                piece = stream.take(len(stream.buffer))
                packed += len(piece)
            else:
                piece = decoder.unconsumed_tail
            sums.add(decoder.decompress(piece, _PIECE_BYTES))
    except zlib.error as error:
        raise TransientError(f"{what}: {name[-80:]!r} arrived broken: {error}") from error
    stream.buffer[:0] = decoder.unused_data
    return packed - len(decoder.unused_data)


def _find_end(stream: _Stream, sums: _Sum, what: str) -> None:
    """Take what is not packed up to a descriptor that says its size and checksum, and the descriptor."""
    while True:
        at = stream.buffer.find(_DESCRIPTOR)
        if at < 0:
            # The last bytes may be the beginning of one.
            if len(stream.buffer) > len(_DESCRIPTOR):
                sums.add(stream.take(len(stream.buffer) - len(_DESCRIPTOR)))
            if not stream.fill(len(stream.buffer) + 1):
                raise TransientError(f"{what} ended early")
            continue
        sums.add(stream.take(at))
        if _take_descriptor(stream, _SIGNED_FORMS, (sums.crc, sums.size, sums.size)):
            return
        sums.add(stream.take(len(_DESCRIPTOR)))


def _take_descriptor(stream: _Stream, forms: Sequence[str], said: tuple[int, int, int]) -> bool:
    """Take a descriptor that says so (checksum, packed bytes, bytes), in one of these forms, when it is
    there."""
    stream.fill(struct.calcsize(_SIGNED_FORMS[-1]) + 4)
    for form in forms:
        length = struct.calcsize(form)
        if len(stream.buffer) < length or struct.unpack(form, stream.buffer[:length]) != said:
            continue
        # A file may begin like the descriptor of an empty one; then no other file follows.
        if bytes(stream.buffer[length : length + 4]) in {LOCAL, _ENTRY, _END, _END_64}:
            stream.take(length)
            return True
    return False


def _check_descriptor(stream: _Stream, sums: _Sum, packed: int, name: str, what: str) -> None:
    """Take the descriptor behind packed data; it may begin with a signature, its sizes have 4 or 8 bytes."""
    if not _take_descriptor(stream, (*_SIGNED_FORMS, "<III", "<IQQ"), (sums.crc, packed, sums.size)):
        raise TransientError(f"{what}: {name[-80:]!r} arrived broken")


def _read_rest(stream: _Stream, signature: bytes, what: str) -> None:
    """The directory at the end: not needed, but without it the archive is not whole."""
    rest = bytearray(signature) + stream.buffer
    stream.buffer.clear()
    while stream.fill(1):
        rest += stream.take(len(stream.buffer))
        if len(rest) > MAX_DIRECTORY_BYTES:
            raise PermanentError(f"{what}: its directory is larger than that of a product")
    if _END not in rest:
        raise TransientError(f"{what} ended early")
