"""A file of which parts are read as they are asked for: on this machine, or over HTTP."""

import io
from collections import OrderedDict
from pathlib import Path
from threading import Lock

import requests

from landpatch.errors import AbsentError, ConfigurationError, LandpatchError, TransientError
from landpatch.sources.http import opened, read_body
from landpatch.sources.product_files import Versions

BLOCK_BYTES = 262_144
MOST_BLOCKS = 128
"""That are kept of a file."""


class RangedFile:
    """A file over HTTP, asked for in blocks, the last of which are kept. May be used by many threads."""

    def __init__(self, session: requests.Session, url: str, what: str) -> None:
        """what: names the file for a person. Nothing is asked for yet."""
        self._session = session
        self._url = url
        self._what = what
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        self._versions: Versions | None = None
        self._size = -1
        self._lock = Lock()
        self.requests = 0
        """What has been asked so far."""

    @property
    def size(self) -> int:
        """Bytes of the file."""
        with self._lock:
            if self._size < 0:
                self._load(0)
            return self._size

    def read(self, start: int, length: int) -> bytes:
        """So many bytes from an offset on, fewer at the end of the file, all of one version.

        Raises PermanentError or ConfigurationError for what is no file that can be read so, TransientError.
        """
        if length <= 0:
            return b""
        with self._lock:
            first, last = start // BLOCK_BYTES, (start + length - 1) // BLOCK_BYTES
            pieces = [self._block(number) for number in range(first, last + 1)]
        return b"".join(pieces)[start - first * BLOCK_BYTES :][:length]

    def _block(self, number: int) -> bytes:
        if number in self._blocks:
            self._blocks.move_to_end(number)
            return self._blocks[number]
        if 0 <= self._size <= number * BLOCK_BYTES:
            return b""
        return self._load(number)

    def _load(self, number: int) -> bytes:
        begin = number * BLOCK_BYTES
        asked = {"Range": f"bytes={begin}-{begin + BLOCK_BYTES - 1}", "Accept-Encoding": "identity"}
        self.requests += 1
        with opened(self._session, "GET", self._url, self._what, (200, 206), headers=asked) as answer:
            given = answer.headers.get("Content-Range", "")
            span, _, size = given.partition("/")
            if answer.status_code != 206 or not size.isdecimal() or len(size) > 15:
                raise ConfigurationError(f"{self._what} is on a server that gives no parts of a file")
            end = min(begin + BLOCK_BYTES, int(size))
            if span != f"bytes {begin}-{end - 1}":
                raise TransientError(f"{self._what}: asked for byte {begin} on, was given {given[:100]}")
            self._check_version(answer.headers.get("ETag", ""), size)
            data = read_body(answer, self._what, BLOCK_BYTES)
        if len(data) != end - begin:
            raise TransientError(f"{self._what}: {len(data)} of {end - begin} bytes arrived")
        self._blocks[number] = data
        if len(self._blocks) > MOST_BLOCKS:
            self._blocks.popitem(last=False)
        return data

    def _check_version(self, etag: str, size: str) -> None:
        if self._versions is None:
            self._size = int(size)
            self._versions = Versions({self._url: self._size})
        try:
            self._versions.check(self._url, etag, size)
        except TransientError as error:
            self._blocks.clear()
            self._versions, self._size = None, -1
            raise TransientError(f"{self._what} has been replaced while it was read") from error


class LocalFile:
    """A file on this machine."""

    requests = 0

    def __init__(self, path: Path, what: str) -> None:
        """what: names the file for a person."""
        self._path = path
        self._what = what

    @property
    def size(self) -> int:
        """Bytes of the file. Raises AbsentError when it is not there, ConfigurationError when it cannot be
        read."""
        try:
            return self._path.stat().st_size
        except OSError as error:
            raise self._translate(error) from error

    def read(self, start: int, length: int) -> bytes:
        """So many bytes from an offset on, fewer at the end of the file."""
        try:
            with self._path.open("rb") as file:
                file.seek(start)
                return file.read(length)
        except OSError as error:
            raise self._translate(error) from error

    def _translate(self, error: OSError) -> LandpatchError:
        if isinstance(error, FileNotFoundError):
            return AbsentError(f"{self._what} is not there")
        return ConfigurationError(f"{self._what} cannot be read: {error.strerror}")


class FileView(io.RawIOBase):
    """A file for a library that reads and seeks."""

    def __init__(self, file: RangedFile | LocalFile, failures: list[LandpatchError]) -> None:
        """failures: a read that fails gives nothing and adds why; what is raised into the library would be
        lost there."""
        self._file = file
        self._at = 0
        self._failures = failures

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at}.get(whence)
        self._at = max(0, (self._measure() if base is None else base) + offset)
        return self._at

    def tell(self) -> int:
        return self._at

    def read(self, size: int = -1, /) -> bytes:
        length = self._measure() - self._at if size < 0 else size
        try:
            data = self._file.read(self._at, length)
        except LandpatchError as error:
            self._failures.append(error)
            return b""
        self._at += len(data)
        return data

    def _measure(self) -> int:
        try:
            return self._file.size
        except LandpatchError as error:
            self._failures.append(error)
            return 0
