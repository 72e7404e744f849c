"""Whole products as ZIP: the OData download of the Copernicus Data Space Ecosystem.

Where the service gives parts of an archive, only those are asked for that hold what is needed. Where it gives
none, the archive comes whole and what is needed is taken out of it on the way.

Source: https://documentation.dataspace.copernicus.eu/APIs/OData.html, "Product Download"
"""

import io
import re
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from threading import Lock

import requests

from landpatch.errors import PermanentError, TransientError
from landpatch.messages import SceneRef
from landpatch.quota import Governor, open_governor
from landpatch.settings import Settings
from landpatch.sources.account import Account, Body, PacedBody, Traffic, read_paced
from landpatch.sources.http import make_session
from landpatch.sources.product_files import (
    LoadedFiles,
    ProductFiles,
    RemoteFiles,
    Versions,
    most_bytes_of,
    resolve_files,
)
from landpatch.sources.tokens import Tokens, authorized, open_password_tokens
from landpatch.sources.zip_directory import (
    HEADER_BYTES,
    TAIL_BYTES,
    Member,
    find_data,
    read_directory,
    unpack,
)
from landpatch.sources.zip_stream import Sink, read_members
from landpatch.stages import carry_context

MAX_ARCHIVE_BYTES = 8 * 10**9
"""Of a product; genuine ones have some 700 MB."""
WHOLE_S = 1800
"""Seconds that a product which comes whole may take: a gigabyte on the slow connection that is left when a
quota is used up takes a thousand."""
_WHAT = "the product download (LANDPATCH_ODATA_DOWNLOAD_URL)"
_SPAN = re.compile(r"bytes (\d{1,15})-(\d{1,15})/(\d{1,15})")
_NO_PARTS = (400, 405, 416, 500, 501)
"""What a service may answer that was asked for a part and gives none."""


@dataclass(frozen=True, slots=True)
class _Archive:
    """An archive of which parts can be asked for."""

    url: str
    what: str
    """Names service and product for a person."""
    size: int
    etag: str
    tail: bytes
    """Its last bytes."""


class ODataZip:
    """The download of products, within the account's quota. Its methods may be called from many threads."""

    def __init__(self, url: str, tokens: Tokens, governor: Governor, request_s: float | None = None) -> None:
        """url: of the products, without an id. request_s: seconds that a request for a part may take."""
        self._url = url
        self._tokens = tokens
        self._account = Account(governor)
        # Without retries of their own: the governor has to know of every request.
        self._parts = make_session(0, request_s) if request_s else make_session(0)
        self._wholes = make_session(0, request_s or WHOLE_S)

    @property
    def connections(self) -> int:
        """How many requests at a time are worth trying."""
        return self._account.governor.quota.connections

    def counting(self) -> AbstractContextManager[Traffic]:
        """Bytes and requests while the context lasts; complete when it ends."""
        return self._account.counting()

    def check(self) -> None:
        """Raise ConfigurationError or TransientError when user and password give no token."""
        self._tokens.get()

    def open_product(self, scene: SceneRef, most_bytes: int) -> RemoteFiles | LoadedFiles:
        """Find the files of a product in its archive, or load those that are needed.

        most_bytes: of memory that they may take when they are loaded. Raises PermanentError for an archive
        that cannot be read, or lacks a file, or holds more than that; TransientError.
        """
        url, what = f"{self._url}({scene.id})/$value", f"{_WHAT}, asked for {scene.name},"

        def begin(bytes_per_s: float) -> _Archive | LoadedFiles | None:
            headers = {"Range": f"bytes=-{TAIL_BYTES}"}
            with self._open(self._wholes, url, what, headers, (200, 206, *_NO_PARTS)) as answer:
                if answer.status_code == 206:
                    archive = _read_tail(answer, url, what, bytes_per_s)
                    self._account.count_more(len(archive.tail))
                    return archive
                if answer.status_code == 200:
                    return self._load(answer, scene.name, what, bytes_per_s, most_bytes)
                return None

        def whole(bytes_per_s: float) -> LoadedFiles:
            with self._open(self._wholes, url, what, {}, (200,)) as answer:
                return self._load(answer, scene.name, what, bytes_per_s, most_bytes)

        found = self._account.ask(0, begin) or self._account.ask(0, whole)
        if isinstance(found, LoadedFiles):
            return found
        return self._find_parts(found, scene.name, most_bytes)

    @contextmanager
    def _open(
        self,
        session: requests.Session,
        url: str,
        what: str,
        headers: Mapping[str, str],
        accepted: tuple[int, ...],
    ) -> Iterator[requests.Response]:
        plain = {"Accept-Encoding": "identity", **headers}
        with authorized(session, self._tokens, "GET", url, what, accepted, headers=plain) as answer:
            if answer.headers.get("Content-Encoding", "identity").lower() not in {"", "identity"}:
                raise PermanentError(f"{what} is sent packed once more")
            yield answer

    # an archive that comes whole

    def _load(
        self, answer: requests.Response, product: str, what: str, bytes_per_s: float, most_bytes: int
    ) -> LoadedFiles:
        """Take what is needed out of an archive that comes."""
        paced = PacedBody(answer.raw, bytes_per_s)
        kept: dict[str, _Kept] = {}
        room = _Room(most_bytes, product)

        def choose(name: str) -> tuple[Sink, int] | None:
            limit = most_bytes_of(name, product)
            if limit is None:
                return None
            if name in kept:
                raise PermanentError(f"{what}: {name[-80:]!r} is in the ZIP twice")
            kept[name] = _Kept(room)
            return kept[name], limit

        try:
            for _ in read_members(_Bounded(paced, what), choose, MAX_ARCHIVE_BYTES, what):
                pass
        finally:
            self._account.count_more(paced.size)
        announced = answer.headers.get("Content-Length", "")
        if announced.isdecimal() and int(announced) != paced.size:
            raise TransientError(f"{what} sent {paced.size} of {announced} bytes")
        return _gather({name: sink.getvalue() for name, sink in kept.items()}, product)

    # an archive of which parts can be asked for

    def _find_parts(self, archive: _Archive, product: str, most_bytes: int) -> RemoteFiles | LoadedFiles:
        read = partial(self._read_part, archive)
        directory = read_directory(read, archive.size, archive.what)
        sizes = {
            member.name: member.size for member in directory.values() if member.name.startswith(f"{product}/")
        }
        files = resolve_files(sizes, product, product)
        members = _Members(archive, {key: directory[key] for key in files.sizes}, read)
        if all(directory[key].stored for key in files.bands.values()):
            return RemoteFiles(files, members.read)
        return self._load_parts(members, files, product, most_bytes)

    def _load_parts(
        self, members: "_Members", files: ProductFiles, product: str, most_bytes: int
    ) -> LoadedFiles:
        """Of what is packed no part can be asked for."""
        # What is unpacked is checked by the archive's own checksums.
        keys = (files.metadata, *files.bands.values())
        size = sum(files.sizes[key] for key in keys)
        if size > most_bytes:
            raise _too_large(product, size, most_bytes)
        with ThreadPoolExecutor(self.connections, initializer=carry_context()) as pool:
            whole = dict(pool.map(lambda key: (key, members.read_whole(key)), keys))
        return _gather(whole, product)

    def _read_part(self, archive: _Archive, start: int, length: int) -> bytes:
        """So many bytes of an archive from an offset on, of the version that was found first."""
        begin = archive.size - len(archive.tail)
        if start >= begin:
            return archive.tail[start - begin : start - begin + length]
        versions = Versions({archive.url: archive.size})
        versions.check(archive.url, archive.etag, "")

        def read(bytes_per_s: float) -> bytes:
            asked = f"bytes={start}-{start + length - 1}"
            with self._open(self._parts, archive.url, archive.what, {"Range": asked}, (200, 206)) as answer:
                given = answer.headers.get("Content-Range", "")
                if answer.status_code != 206 or not given.startswith(f"bytes {start}-{start + length - 1}/"):
                    raise TransientError(
                        f"{archive.what} for {asked}, gave {given[:100] or 'something else'}"
                    )
                try:
                    versions.check(archive.url, answer.headers.get("ETag", ""), given.rpartition("/")[2])
                except TransientError as error:
                    raise TransientError(f"{archive.what} has been replaced while it was read") from error
                data = read_paced(answer.raw, length, bytes_per_s)
            if len(data) != length:
                raise TransientError(f"{archive.what} sent {len(data)} of {length} bytes")
            return data

        return self._account.ask(length, read)


class _Members:
    """The needed members of an archive of which parts can be asked for."""

    def __init__(self, archive: _Archive, members: Mapping[str, Member], read: partial[bytes]) -> None:
        self._archive = archive
        self._members = members
        self._read = read
        self._begins: dict[str, int] = {}
        self._lock = Lock()

    def read(self, key: str, start: int, length: int) -> bytes:
        """So many bytes of a member from an offset on."""
        member = self._members[key]
        if not member.stored:
            return self.read_whole(key)[start : start + length]
        if start + length > member.size:
            raise PermanentError(f"{key.rsplit('/', 1)[-1]}: {start + length} bytes are more than it has")
        return self._read(self._begin(key) + start, length)

    def read_whole(self, key: str) -> bytes:
        """All bytes of a member, unpacked and checked."""
        member = self._members[key]
        return unpack(self._read(self._begin(key), member.packed), member, self._archive.what)

    def _begin(self, key: str) -> int:
        with self._lock:
            known = self._begins.get(key)
        if known is not None:
            return known
        member, archive = self._members[key], self._archive
        header = self._read(member.header, HEADER_BYTES)
        begin = find_data(header, member, archive.size, archive.what)
        with self._lock:
            self._begins[key] = begin
        return begin


class _Room:
    """How much of what comes may be kept."""

    def __init__(self, limit: int, product: str) -> None:
        self._limit, self._product = limit, product
        self._used = 0

    def take(self, size: int) -> None:
        """Count bytes; raises PermanentError when there is no room for them."""
        self._used += size
        if self._used > self._limit:
            raise _too_large(self._product, self._used, self._limit)


class _Kept:
    """A file that is kept while it comes."""

    def __init__(self, room: _Room) -> None:
        self._room = room
        self._data = io.BytesIO()

    def write(self, data: bytes, /) -> None:
        """Some of its bytes."""
        self._room.take(len(data))
        self._data.write(data)

    def getvalue(self) -> bytes:
        """All of its bytes, without a copy."""
        return self._data.getvalue()


class _Bounded:
    """A body that may not go on for ever."""

    def __init__(self, body: PacedBody, what: str) -> None:
        self._body, self._what = body, what

    def read(self, size: int, /) -> bytes:
        """At most so many bytes; none at its end."""
        if self._body.size > MAX_ARCHIVE_BYTES:
            raise PermanentError(f"{self._what} sent more than {MAX_ARCHIVE_BYTES} bytes")
        return self._body.read(size)


def _too_large(product: str, needed: int, limit: int) -> PermanentError:
    return PermanentError(
        f"{product} needs more than {needed // 10**6} MB of memory to be downloaded whole, "
        f"{limit // 10**6} MB are left of LANDPATCH_MEMORY_BYTES"
    )


def _gather(files: Mapping[str, bytes], product: str) -> LoadedFiles:
    found = resolve_files({name: len(data) for name, data in files.items()}, product, product)
    return LoadedFiles(files[found.metadata], {band: files[key] for band, key in found.bands.items()})


def _read_tail(answer: requests.Response, url: str, what: str, bytes_per_s: float) -> _Archive:
    """The last bytes of an archive, and how large it is."""
    given = _SPAN.fullmatch(answer.headers.get("Content-Range", ""))
    begin, end, size = (int(number) for number in given.groups()) if given else (0, 0, 0)
    length = end - begin + 1
    if not size or end != size - 1 or length != min(size, TAIL_BYTES) or size > MAX_ARCHIVE_BYTES:
        raise TransientError(f"{what} for its last {TAIL_BYTES} bytes, gave others")
    body: Body = answer.raw
    tail = read_paced(body, length, bytes_per_s)
    if len(tail) != length:
        raise TransientError(f"{what} sent {len(tail)} of {length} bytes")
    return _Archive(url, what, size, answer.headers.get("ETag", ""), tail)


def open_odata_zip(settings: Settings) -> ODataZip:
    """The download of the settings. Raises ConfigurationError when credentials are missing."""
    tokens = open_password_tokens(settings, make_session(2, posts=True))
    return ODataZip(settings.odata_download_url, tokens, open_governor(settings))
