"""Bands of a product: the EO data store of the Copernicus Data Space Ecosystem, over S3."""

import random
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, TypeVar

from botocore.exceptions import BotoCoreError, ClientError
from urllib3.exceptions import HTTPError

from landpatch.errors import ConfigurationError, PermanentError, TransientError
from landpatch.quota import Governor, open_governor
from landpatch.radiometry import REFLECTANCE_BANDS
from landpatch.settings import Settings
from landpatch.storage import make_s3_client, translate

if TYPE_CHECKING:
    from botocore.response import StreamingBody
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import ListObjectsV2OutputTypeDef

T = TypeVar("T")
BUCKET = "eodata"
SCENE_CLASS = "SCL"
MAX_FILE_BYTES = 400_000_000
MAX_METADATA_BYTES = 10_000_000
"""A parsed document takes many times its size; genuine ones have some 60 kB."""
MAX_PAGES = 20
"""Of a product's listing, 1000 files each; a product has some hundred."""
TRIES = 5
_PIECE_BYTES = 262_144
_REFUSALS = {429, 498, 503}
_LONGEST_WAIT_S = 600
_LONGEST_REQUEST_S = 120

NATIVE_SIZE_M = {
    "B1": 60, "B2": 10, "B3": 10, "B4": 10, "B5": 20, "B6": 20, "B7": 20,
    "B8": 10, "B8A": 20, "B9": 60, "B11": 20, "B12": 20, SCENE_CLASS: 20,
}  # fmt: skip
"""Native pixel size of each band and of the scene classification, metres."""
_BAND_FILE = re.compile(
    r"/GRANULE/[^/]+/IMG_DATA/R(?P<folder>\d\d)m/T[0-9A-Z]{5}_\d{8}T\d{6}_(?P<band>[A-Z0-9]{3})_(?P<size>\d\d)m\.jp2$"
)


@dataclass(frozen=True, slots=True)
class ProductFiles:
    """Where the files of a product are."""

    metadata: str
    """Key of MTD_MSIL2A.xml."""
    bands: Mapping[str, str]
    """Key of the file of each band (`B1` … `B12`, `SCL`) at its native pixel size."""
    sizes: Mapping[str, int]
    """Bytes of each key."""


@dataclass(slots=True)
class Traffic:
    """What has been asked of the store."""

    bytes: int = 0
    requests: int = 0


class _RefusedError(TransientError):
    """The store asks the account to wait."""

    def __init__(self, message: str, wait_s: float | None) -> None:
        super().__init__(message)
        self.wait_s = wait_s


class EOData:
    """The EO data store, asked within the account's quota. Its methods may be called from many threads."""

    def __init__(self, client: "S3Client", endpoint: str, governor: Governor) -> None:
        """client: made for the EO data store alone, without retries of its own. endpoint: its URL."""
        self._client = client
        self._governor = governor
        self._what = f"the EO data store (LANDPATCH_EO_S3_ENDPOINT={endpoint})"
        self._traffic = Traffic()
        self._lock = Lock()

    @property
    def connections(self) -> int:
        """How many requests at a time are worth trying."""
        return self._governor.quota.connections

    def find_files(self, s3_path: str, product: str) -> ProductFiles:
        """Find the files of a product by listing its folder, not by guessing names.

        Raises PermanentError that names what is missing.
        """
        folder = s3_path.strip("/")
        sizes: dict[str, int] = {}
        token = ""
        for _ in range(MAX_PAGES):
            page = self._ask(0, partial(self._list, f"{folder}/", token))
            sizes |= {entry["Key"]: entry["Size"] for entry in page.get("Contents", [])}
            token = page.get("NextContinuationToken", "")
            if not token:
                return resolve_files(sizes, folder, product)
        raise PermanentError(f"{product}: its folder has no end after {MAX_PAGES} pages")

    def _list(self, prefix: str, token: str, _: float) -> "ListObjectsV2OutputTypeDef":
        if token:
            return self._client.list_objects_v2(Bucket=BUCKET, Prefix=prefix, ContinuationToken=token)
        return self._client.list_objects_v2(Bucket=BUCKET, Prefix=prefix)

    def read(self, key: str, size: int) -> bytes:
        """A file's bytes, whole. Raises TransientError when fewer arrive than the listing said."""
        return self.read_range(key, 0, size)

    def read_range(self, key: str, start: int, length: int) -> bytes:
        """So many bytes of a file from an offset on.

        Raises PermanentError for a file that is not there or larger than a band is, TransientError when
        the store cannot give them now.
        """
        name = key.rsplit("/", 1)[-1]
        if start + length > MAX_FILE_BYTES:
            raise PermanentError(f"{name}: {start + length} bytes are more than a band has")

        def read(bytes_per_s: float) -> bytes:
            asked = f"bytes={start}-{start + length - 1}"
            answer = self._client.get_object(Bucket=BUCKET, Key=key, Range=asked)
            with closing(answer["Body"]) as body:
                given = answer.get("ContentRange", "")
                if not given.startswith(f"bytes {start}-{start + length - 1}/"):
                    raise TransientError(f"{name}: asked for {asked}, was given {given or 'the whole file'}")
                data = _read_paced(body, length, bytes_per_s, name)
            if len(data) != length:
                raise TransientError(f"{name}: {len(data)} of {length} bytes arrived")
            return data

        return self._ask(length, read)

    def check(self) -> None:
        """Raise ConfigurationError or InfrastructureError when the store cannot be used."""
        self._ask(0, partial(self._list, "Sentinel-2/MSI/L2A/2015/07/", ""), tries=1)

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

    def _ask(self, size: int, request: Callable[[float], T], tries: int = TRIES) -> T:
        """Do a request, over one of the account's connections; a few times when it fails in passing.

        size: bytes that are expected. request: is given the bytes a second that it may take.
        """
        for attempt in range(1, tries + 1):
            try:
                return self._try(size, request)
            except _RefusedError as error:
                # What is asked of one is asked of all: the quota is the account's.
                self._governor.back_off(error.wait_s if error.wait_s is not None else 2.0**attempt)
                if attempt == tries:
                    raise
            except TransientError:
                if attempt == tries:
                    raise
                time.sleep(min(2.0**attempt / 4, 8) * random.uniform(0.5, 1.5))  # noqa: S311
        raise ValueError(f"{tries} tries")

    def _try(self, size: int, request: Callable[[float], T]) -> T:
        with self._governor.request(size) as bytes_per_s:
            with self._lock:
                self._traffic.requests += 1
                self._traffic.bytes += size
            try:
                return request(bytes_per_s)
            except ClientError as error:
                answer = error.response["ResponseMetadata"]
                if answer["HTTPStatusCode"] in _REFUSALS:
                    wait = answer["HTTPHeaders"].get("retry-after", "")
                    wait_s = min(float(wait), _LONGEST_WAIT_S) if wait.isdecimal() else None
                    what = f"{self._what} asks to wait ({answer['HTTPStatusCode']})"
                    raise _RefusedError(what, wait_s) from error
                raise translate(error, self._what) from error
            except (BotoCoreError, HTTPError, OSError) as error:
                raise _as_transient(error, self._what) from error


def _as_transient(error: Exception, what: str) -> Exception:
    if isinstance(error, BotoCoreError):
        return translate(error, what)
    return TransientError(f"{what} broke off: {type(error).__name__}")


def _read_paced(body: "StreamingBody", length: int, bytes_per_s: float, name: str) -> bytes:
    """Read a body no faster than allowed. Raises TransientError when it takes too long."""
    pieces: list[bytes] = []
    begin, size = time.monotonic(), 0
    while size < length and (piece := body.read(min(_PIECE_BYTES, length - size))):
        pieces.append(piece)
        size += len(piece)
        took_s = time.monotonic() - begin
        if took_s > _LONGEST_REQUEST_S:
            raise TransientError(f"{name}: {size} of {length} bytes in {took_s:.0f} s")
        if (early_s := size / bytes_per_s - took_s) > 0.001:
            time.sleep(early_s)
    return b"".join(pieces)


def resolve_files(sizes: Mapping[str, int], folder: str, product: str) -> ProductFiles:
    """Pick, from the listing of a product's folder, its metadata and each band at native size.

    Raises PermanentError that names what is missing.
    """
    bands: dict[str, str] = {}
    for key in sizes:
        match = _BAND_FILE.search(key)
        if match is None or match["folder"] != match["size"]:
            continue
        band = re.sub(r"^B0", "B", match["band"])
        if NATIVE_SIZE_M.get(band) == int(match["size"]):
            bands[band] = key
    metadata = f"{folder}/MTD_MSIL2A.xml"
    missing = [band for band in (*REFLECTANCE_BANDS, SCENE_CLASS) if band not in bands]
    if metadata not in sizes:
        missing.insert(0, "MTD_MSIL2A.xml")
    if missing:
        raise PermanentError(f"{product}: no {', '.join(missing)} in its folder")
    if sizes[metadata] > MAX_METADATA_BYTES:
        raise PermanentError(f"{product}: {sizes[metadata]} bytes of metadata")
    return ProductFiles(metadata, bands, {key: sizes[key] for key in (metadata, *bands.values())})


def open_eodata(settings: Settings) -> EOData:
    """The EO data store of the settings. Raises ConfigurationError when credentials are missing."""
    if settings.eo_access_key is None or settings.eo_secret_key is None:
        raise ConfigurationError(
            "no credentials for the EO data store: set EO_S3_ACCESS_KEY_ID and EO_S3_SECRET_ACCESS_KEY"
        )
    client = make_s3_client(
        settings.eo_endpoint,
        settings.eo_access_key,
        settings.eo_secret_key,
        connections=settings.eo_connections,
        retries=0,  # the governor has to know of every request
    )
    return EOData(client, settings.eo_endpoint, open_governor(settings))
