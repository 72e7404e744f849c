"""What a ZIP archive of which parts can be asked for holds, and where; it is not unpacked.

Source: PKWARE, APPNOTE.TXT (".ZIP File Format Specification"), sections 4.3 to 4.5.
"""

import io
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass

from landpatch.errors import PermanentError, TransientError
from landpatch.sources.product_files import MAX_FILES

TAIL_BYTES = 65_536
"""What is read of an archive's end at once; the directory of a product has some 20 kB."""
MAX_DIRECTORY_BYTES = 4_000_000
HEADER_BYTES = 30
"""Of a member's own header, before its name."""
LOCAL = b"PK\x03\x04"
"""What a member's own header begins with."""
ENCRYPTED = 0x1
STORED, DEFLATED = 0, 8

Read = Callable[[int, int], bytes]
"""Offset, length -> exactly so many bytes of the archive."""


@dataclass(frozen=True, slots=True)
class Member:
    """A file in an archive."""

    name: str
    size: int
    """Bytes when it is unpacked."""
    packed: int
    """Bytes in the archive."""
    stored: bool
    """Not packed: any part of it is a part of the archive."""
    header: int
    """Offset of its own header."""
    crc: int


class _Seekable(io.RawIOBase):
    """An archive of which parts are asked for, as a file."""

    def __init__(self, read: Read, size: int, what: str) -> None:
        self._read, self._size, self._what = read, size, what
        self._at = self._total = 0

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        begin = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        if begin + offset < 0:
            raise OSError("before the beginning")
        self._at = begin + offset
        return self._at

    def tell(self) -> int:
        return self._at

    def read(self, size: int = -1, /) -> bytes:
        left = max(0, self._size - self._at)
        length = left if size < 0 else min(size, left)
        self._total += length
        if self._total > MAX_DIRECTORY_BYTES:
            raise PermanentError(f"{self._what}: its directory is larger than that of a product")
        data = self._read(self._at, length) if length else b""
        self._at += length
        return data


def read_directory(read: Read, size: int, what: str) -> dict[str, Member]:
    """What an archive of `size` bytes holds, by name. Raises PermanentError with `what`."""
    try:
        with zipfile.ZipFile(_Seekable(read, size, what)) as archive:
            entries = archive.infolist()
    except (
        zipfile.BadZipFile, NotImplementedError, ValueError, OverflowError, struct.error, EOFError, OSError,
    ) as error:  # fmt: skip
        raise PermanentError(f"{what}: not a whole ZIP: {error}") from error
    if len(entries) > MAX_FILES:
        raise PermanentError(f"{what}: a ZIP of more than {MAX_FILES} files")
    members: dict[str, Member] = {}
    for entry in entries:
        if entry.filename in members:
            raise PermanentError(f"{what}: {entry.filename[-80:]!r} is in the ZIP twice")
        if entry.compress_type not in {STORED, DEFLATED} or entry.flag_bits & ENCRYPTED:
            raise PermanentError(f"{what}: {entry.filename[-80:]!r} is packed in another way than deflated")
        stored = entry.compress_type == STORED
        if stored and entry.file_size != entry.compress_size:
            raise PermanentError(f"{what}: {entry.filename[-80:]!r} has two sizes")
        if not 0 <= entry.header_offset <= size - HEADER_BYTES - entry.compress_size:
            raise PermanentError(f"{what}: {entry.filename[-80:]!r} ends behind the end of the ZIP")
        members[entry.filename] = Member(
            entry.filename, entry.file_size, entry.compress_size, stored, entry.header_offset, entry.CRC
        )
    return members


def find_data(header: bytes, member: Member, size: int, what: str) -> int:
    """Offset in the archive at which a member's data begin.

    header: HEADER_BYTES from its `header` on. size: of the archive. Raises PermanentError.
    """
    if not header.startswith(LOCAL) or len(header) < HEADER_BYTES:
        raise PermanentError(f"{what}: no file where the ZIP says that {member.name[-80:]!r} begins")
    name, extra = struct.unpack_from("<HH", header, 26)
    begin = member.header + HEADER_BYTES + int(name) + int(extra)
    if begin + member.packed > size:
        raise PermanentError(f"{what}: {member.name[-80:]!r} ends behind the end of the ZIP")
    return begin


def unpack(packed: bytes, member: Member, what: str) -> bytes:
    """A member's bytes, checked. Raises TransientError when they are others than were packed."""
    data = packed
    if not member.stored:
        decoder = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            data = decoder.decompress(packed, member.size + 1)
        except zlib.error as error:
            raise TransientError(f"{what}: {member.name[-80:]!r} arrived broken: {error}") from error
    if len(data) != member.size or zlib.crc32(data) != member.crc:
        raise TransientError(f"{what}: {member.name[-80:]!r} arrived broken")
    return data
