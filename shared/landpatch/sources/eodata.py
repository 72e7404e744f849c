"""Bands of a product: the EO data store of the Copernicus Data Space Ecosystem, over S3."""

import random
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, TypeVar

from botocore.exceptions import BotoCoreError, ClientError
from urllib3.exceptions import HTTPError

from landpatch.counters import Count
from landpatch.errors import ConfigurationError, PermanentError, TransientError
from landpatch.quota import Governor, open_governor
from landpatch.radiometry import REFLECTANCE_BANDS
from landpatch.settings import Settings
from landpatch.stages import stage
from landpatch.storage import check_listing, make_s3_client, translate

if TYPE_CHECKING:
    from botocore.response import StreamingBody
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import ListObjectsV2OutputTypeDef

T = TypeVar("T")
BUCKET = "eodata"
SCENE_CLASS = "SCL"
MAX_METADATA_BYTES = 10_000_000
"""A parsed document takes many times its size; genuine ones have some 60 kB."""
MAX_PAGES = 20
MAX_FILES = 10_000
"""Of a product's listing; a product has some hundred."""
TRIES = 5
_PIECE_BYTES = 262_144
_REFUSALS = {429, 498, 503}
_REQUESTS = Count("landpatch_eodata_requests", "Requests to the EO data store.")
_BYTES = Count("landpatch_eodata_bytes", "Bytes asked of the EO data store.")
_LONGEST_WAIT_S = 600

NATIVE_SIZE_M = {
    "B1": 60, "B2": 10, "B3": 10, "B4": 10, "B5": 20, "B6": 20, "B7": 20,
    "B8": 10, "B8A": 20, "B9": 60, "B11": 20, "B12": 20, SCENE_CLASS: 20,
}  # fmt: skip
"""Native pixel size of each band and of the scene classification, metres."""
MAX_FILE_BYTES = {size_m: 4 * (109_800 // size_m) ** 2 for size_m in (10, 20, 60)}
"""Of a band, by pixel size: twice what its pixels take when they are not compressed."""
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


class Versions:
    """Which version of each file was read first: parts of a file that has been replaced are not mixed."""

    def __init__(self, sizes: Mapping[str, int]) -> None:
        """sizes: bytes of each file, as the listing says."""
        self._sizes = sizes
        self._etags: dict[str, str] = {}
        self._lock = Lock()

    def check(self, key: str, etag: str, size: str) -> None:
        """Raise TransientError when an answer is of another version. etag, size: what it says, if it does."""
        with self._lock:
            first = self._etags.setdefault(key, etag) if etag else ""
        if etag != first or size not in {"", "*", str(self._sizes[key])}:
            raise TransientError(f"{key.rsplit('/', 1)[-1]} has been replaced while it was read")


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
            page = self._ask(0, partial(self._list, f"{folder}/", token), self._what)
            sizes |= {entry["Key"]: entry["Size"] for entry in page.get("Contents", [])}
            if len(sizes) > MAX_FILES:
                raise PermanentError(f"{product}: its folder has more than {MAX_FILES} files")
            token = page.get("NextContinuationToken", "")
            if not token:
                return resolve_files(sizes, folder, product)
        raise PermanentError(f"{product}: its folder has no end after {MAX_PAGES} pages")

    def _list(self, prefix: str, token: str, _: float) -> "ListObjectsV2OutputTypeDef":
        if token:
            page = self._client.list_objects_v2(Bucket=BUCKET, Prefix=prefix, ContinuationToken=token)
        else:
            page = self._client.list_objects_v2(Bucket=BUCKET, Prefix=prefix)
        check_listing(page, prefix, self._what, TransientError)
        return page

    def read(self, key: str, size: int) -> bytes:
        """A file's bytes, whole. Raises TransientError when fewer arrive than the listing said."""
        return self.read_range(key, 0, size)

    def read_range(self, key: str, start: int, length: int, versions: Versions | None = None) -> bytes:
        """So many bytes of a file from an offset on, of the version that was read of it first.

        Raises PermanentError for a file that is not there or larger than a band is, TransientError when
        the store cannot give them now.
        """
        name = key.rsplit("/", 1)[-1]
        if start + length > max(MAX_FILE_BYTES.values()):
            raise PermanentError(f"{name}: {start + length} bytes are more than a band has")

        def read(bytes_per_s: float) -> bytes:
            asked = f"bytes={start}-{start + length - 1}"
            answer = self._client.get_object(Bucket=BUCKET, Key=key, Range=asked)
            with closing(answer["Body"]) as body:
                given = answer.get("ContentRange", "")
                if not given.startswith(f"bytes {start}-{start + length - 1}/"):
                    raise TransientError(f"{name}: asked for {asked}, was given {given or 'the whole file'}")
                if versions is not None:
                    versions.check(key, answer.get("ETag", ""), given.rpartition("/")[2])
                data = _read_paced(body, length, bytes_per_s)
            if len(data) != length:
                raise TransientError(f"{name}: {len(data)} of {length} bytes arrived")
            return data

        return self._ask(length, read, f"{self._what}, asked for {name},")

    def check(self) -> None:
        """Raise ConfigurationError or TransientError when the store cannot be used."""
        self._ask(0, partial(self._list, "Sentinel-2/MSI/L2A/2015/07/", ""), self._what, tries=1)

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

    def _ask(self, size: int, request: Callable[[float], T], what: str, tries: int = TRIES) -> T:
        """Do a request, over one of the account's connections; a few times when it fails in passing.

        size: bytes that are expected. request: is given the bytes a second that it may take. what: names
        store and file for a person.
        """
        for attempt in range(1, tries + 1):
            try:
                return self._try(size, request, what)
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

    def _try(self, size: int, request: Callable[[float], T], what: str) -> T:
        with ExitStack() as connection:
            with stage("quota"):
                bytes_per_s = connection.enter_context(self._governor.request(size))
            with self._lock:
                self._traffic.requests += 1
                self._traffic.bytes += size
            _REQUESTS.add()
            _BYTES.add(amount=size)
            try:
                with stage("download"):
                    return request(bytes_per_s)
            except ClientError as error:
                answer = error.response["ResponseMetadata"]
                if answer["HTTPStatusCode"] in _REFUSALS:
                    wait = answer["HTTPHeaders"].get("retry-after", "")
                    wait_s = min(float(wait), _LONGEST_WAIT_S) if wait.isdecimal() else None
                    message = f"{what} asks to wait ({answer['HTTPStatusCode']})"
                    raise _RefusedError(message, wait_s) from error
                raise translate(error, what) from error
            except BotoCoreError as error:
                raise translate(error, what) from error
            except (HTTPError, OSError) as error:
                raise TransientError(f"{what} broke off: {type(error).__name__}") from error


def _read_paced(body: "StreamingBody", length: int, bytes_per_s: float) -> bytes:
    """Read a body no faster than allowed."""
    pieces: list[bytes] = []
    begin, size = time.monotonic(), 0
    while size < length and (piece := body.read(min(_PIECE_BYTES, length - size))):
        pieces.append(piece)
        size += len(piece)
        if (early_s := size / bytes_per_s - (time.monotonic() - begin)) > 0.001:
            time.sleep(early_s)
    return b"".join(pieces)


def resolve_files(sizes: Mapping[str, int], folder: str, product: str) -> ProductFiles:
    """Pick, from the listing of a product's folder, its metadata and each band at native size.

    Raises PermanentError that names what is missing, there twice or larger than can be.
    """
    bands: dict[str, str] = {}
    for key, size in sizes.items():
        match = _BAND_FILE.search(key)
        if match is None or match["folder"] != match["size"]:
            continue
        band = re.sub(r"^B0", "B", match["band"])
        size_m = int(match["size"])
        if NATIVE_SIZE_M.get(band) != size_m:
            continue
        if band in bands:
            raise PermanentError(f"{product}: more than one {band} in its folder")
        if size > MAX_FILE_BYTES[size_m]:
            raise PermanentError(f"{product}: {band} of {size} bytes is larger than a band of {size_m} m is")
        bands[band] = key
    metadata = f"{folder}/MTD_MSIL2A.xml"
    missing = [band for band in (*REFLECTANCE_BANDS, SCENE_CLASS) if band not in bands]
    if metadata not in sizes:
        missing.insert(0, "MTD_MSIL2A.xml")
    if missing:
        raise PermanentError(f"{product}: no {', '.join(missing)} in its folder")
    if sizes[metadata] > MAX_METADATA_BYTES:
        raise PermanentError(
            f"{product}: MTD_MSIL2A.xml of {sizes[metadata]} bytes is larger than metadata is"
        )
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
