"""Where a training set lies: a folder, an S3 bucket or a web server; objects by key below it."""

import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol
from urllib.parse import urlsplit

from landpatch.errors import AbsentError, PermanentError, RequestError
from landpatch.layout import PublishedLayout, split_index_folder
from landpatch.settings import load_settings
from landpatch.sources.http import fetch, make_session
from landpatch.storage import open_store

MAX_OBJECT_BYTES = 2**30
"""Of an answer over HTTP: an index of a million patches has a few hundred MB."""
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,62}")
_PREFIX = re.compile(r"(?:[A-Za-z0-9._=-]+(?:/[A-Za-z0-9._=-]+)*)?")
_HIDDEN_OR_ABSENT = (403, 404, 410)
"""A store that may be read but not listed says 403 for what is not there."""

Kind = Literal["folder", "s3", "http"]


@dataclass(frozen=True, slots=True)
class Location:
    """Where a training set lies. Holds no client and no secret, so it can be given to another process."""

    kind: Kind
    root: str
    """A path, `bucket/prefix`, or an address; without a slash at its end."""
    region: str | None = None
    """`FR101/2021`, where it was named by the folder of one region's images."""


class Place(Protocol):
    """What can be read of a training set; made in the process, after a fork, that uses it."""

    def get(self, key: str) -> bytes | None:
        """An object's bytes; None when there is none."""

    def list_regions(self, nuts: str | None = None) -> list[PublishedLayout]:
        """The regions and years that have an index, of one region or all; sorted.

        Raises RequestError where nothing can be listed.
        """

    def url(self, key: str) -> str:
        """Where a person or another program finds the object."""


def parse_location(location: str | os.PathLike[str]) -> Location:
    """Where a training set lies: a folder, `s3://bucket/prefix` or `https://host/path`.

    That is the folder above `images` and `labels`; the folder of one region's images or its
    `filename2bbox.parquet` will do. Raises RequestError that says what is wrong.
    """
    text = os.fspath(location)
    scheme, separator, _ = text.partition("://")
    scheme = scheme.lower() if separator else ""
    if scheme not in {"", "s3", "http", "https"}:
        raise RequestError(f"cannot open {scheme}://: name a folder, s3://bucket/prefix or https://host/path")
    if not scheme and not text.strip():
        raise RequestError("nothing to open: name a folder, s3://bucket/prefix or https://host/path")
    found = split_index_folder(text)
    root, region = (found[0], f"{found[1]}/{found[2]}") if found else (text, None)
    if scheme == "s3":
        return Location("s3", _check_s3(root), region)
    if scheme:
        return Location("http", _check_address(root), region)
    return Location("folder", str(Path(root or ".").expanduser().absolute()), region)


def _check_address(url: str) -> str:
    """An address without credentials, query and end slash; the message repeats none of it, as it may hold
    a secret."""
    try:
        parts = urlsplit(url)
        port_is_none = parts.port == 0
    except ValueError:
        raise RequestError("that is no address: say https://host/path") from None
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise RequestError("an address to open must not hold credentials, a query or a fragment")
    if not parts.hostname or port_is_none or re.search(r"\s|/\.\./", url):
        raise RequestError("that is no address: say https://host/path")
    return url.rstrip("/")


def _check_s3(url: str) -> str:
    bucket, _, prefix = url[len("s3://") :].rstrip("/").partition("/")
    if not _BUCKET.fullmatch(bucket) or not _PREFIX.fullmatch(prefix) or ".." in prefix:
        raise RequestError(
            "that is no bucket and prefix: say s3://bucket/prefix; credentials are taken from"
            " AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        )
    return f"{bucket}/{prefix}" if prefix else bucket


def open_place(location: Location) -> Place:
    """The place itself. Raises RequestError for a folder that is not there, ConfigurationError when
    credentials are missing."""
    kinds: dict[Kind, Callable[[str], Place]] = {"folder": FolderPlace, "s3": S3Place, "http": HttpPlace}
    return kinds[location.kind](location.root)


class Reader:
    """A place, opened anew in every process: neither a connection nor a client survives a fork."""

    def __init__(self, location: Location) -> None:
        self._location = location
        self._opened: tuple[int, Place] | None = None

    @property
    def place(self) -> Place:
        """The place, with clients of this process."""
        opened = self._opened
        if opened is None or opened[0] != os.getpid():
            self._opened = opened = (os.getpid(), open_place(self._location))
        return opened[1]

    def __getstate__(self) -> Location:
        return self._location

    def __setstate__(self, location: Location) -> None:
        self._location, self._opened = location, None


class FolderPlace:
    """A folder of this machine."""

    def __init__(self, root: str) -> None:
        self._root = Path(root)
        if not self._root.is_dir():
            raise RequestError(f"there is no folder {root}")

    def get(self, key: str) -> bytes | None:
        """An object's bytes; None when there is none."""
        try:
            return (self._root / key).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise PermanentError(f"{self._root / key} cannot be read: {error.strerror}") from error

    def list_regions(self, nuts: str | None = None) -> list[PublishedLayout]:
        """The regions and years that have an index, of one region or all; sorted."""
        found = (self._root / "images").glob(f"{nuts or '*'}/*/filename2bbox.parquet")
        return _layouts(path.relative_to(self._root).as_posix() for path in found)

    def url(self, key: str) -> str:
        """The absolute path."""
        return str((self._root / key).absolute())


class S3Place:
    """A prefix of a bucket, with the endpoint and the credentials of the settings."""

    def __init__(self, root: str) -> None:
        bucket, _, prefix = root.partition("/")
        self._prefix = f"{prefix}/" if prefix else ""
        self._store = open_store(load_settings().model_copy(update={"bucket": bucket}))

    def get(self, key: str) -> bytes | None:
        """An object's bytes; None when there is none."""
        return self._store.get(self._prefix + key)

    def list_regions(self, nuts: str | None = None) -> list[PublishedLayout]:
        """The regions and years that have an index, of one region or all; sorted.

        Lists every image: a thousand objects a request.
        """
        below = f"{self._prefix}images/{nuts}/" if nuts else f"{self._prefix}images/"
        return _layouts(entry.key.removeprefix(self._prefix) for entry in self._store.find(below))

    def url(self, key: str) -> str:
        """Where readers find the object; `s3://…` on AWS."""
        return self._store.url(self._prefix + key)


class HttpPlace:
    """A folder of a web server, such as a store that anyone may read."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._what = urlsplit(root).netloc
        self._session = make_session()

    def get(self, key: str) -> bytes | None:
        """An object's bytes; None when there is none, or none that may be read."""
        try:
            return fetch(
                self._session, self.url(key), None, self._what, MAX_OBJECT_BYTES, absent=_HIDDEN_OR_ABSENT
            )
        except AbsentError:
            return None

    def list_regions(self, nuts: str | None = None) -> list[PublishedLayout]:
        """Raises RequestError: a web server lists nothing."""
        example = f"{nuts or 'LU000'}/2021"
        raise RequestError(
            f"{self._what} cannot be listed: name regions with their years, as in"
            f' landpatch.open("{self._root}", "{example}")'
        )

    def url(self, key: str) -> str:
        """The address."""
        return f"{self._root}/{key}"


def _layouts(keys: Iterable[str]) -> list[PublishedLayout]:
    """The regions of those keys that are an index's."""
    parts = {split_index_folder(key) for key in keys if key.endswith("/filename2bbox.parquet")}
    return [
        PublishedLayout(nuts, year)
        for _, nuts, year in sorted(found for found in parts if found is not None and not found[0])
    ]
