"""Bands of a product: the EO data store of the Copernicus Data Space Ecosystem, over S3."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from landpatch.errors import ConfigurationError, PermanentError, TransientError
from landpatch.radiometry import REFLECTANCE_BANDS
from landpatch.settings import Settings
from landpatch.storage import make_s3_client, translate

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

BUCKET = "eodata"
CONNECTIONS = 4
"""What an account may open at a time, over all its workers."""
SCENE_CLASS = "SCL"
MAX_FILE_BYTES = 400_000_000

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


class EOData:
    """The EO data store."""

    def __init__(self, client: "S3Client", endpoint: str) -> None:
        """client: made for the EO data store alone. endpoint: its URL, for messages."""
        self._client = client
        self.connections = CONNECTIONS
        self.bytes_read = 0
        self.requests = 0
        self._lock = Lock()
        self._what = f"the EO data store (LANDPATCH_EO_S3_ENDPOINT={endpoint})"

    def find_files(self, s3_path: str, product: str) -> ProductFiles:
        """Find the files of a product by listing its folder, not by guessing names.

        Raises PermanentError that names what is missing.
        """
        sizes: dict[str, int] = {}
        try:
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=BUCKET, Prefix=f"{s3_path.strip('/')}/"
            )
            for page in pages:
                sizes |= {entry["Key"]: entry["Size"] for entry in page.get("Contents", [])}
        except (BotoCoreError, ClientError) as error:
            raise translate(error, self._what) from error
        return resolve_files(sizes, s3_path.strip("/"), product)

    def read(self, key: str, size: int) -> bytes:
        """A file's bytes, whole. Raises TransientError when fewer arrive than the listing said."""
        if size > MAX_FILE_BYTES:
            raise PermanentError(f"{key.rsplit('/', 1)[-1]}: {size} bytes are more than a band has")
        return self.read_range(key, 0, size)

    def read_range(self, key: str, start: int, length: int) -> bytes:
        """So many bytes of a file from an offset. Raises TransientError when fewer arrive."""
        try:
            answer = self._client.get_object(
                Bucket=BUCKET, Key=key, Range=f"bytes={start}-{start + length - 1}"
            )
            data = answer["Body"].read()
        except (BotoCoreError, ClientError) as error:
            raise translate(error, self._what) from error
        if len(data) != length:
            raise TransientError(f"{key.rsplit('/', 1)[-1]}: {len(data)} of {length} bytes arrived")
        with self._lock:
            self.bytes_read += length
            self.requests += 1
        return data

    @contextmanager
    def counting(self) -> Iterator["Traffic"]:
        """Bytes and requests while the context lasts; complete when it ends."""
        traffic = Traffic()
        begin = self.bytes_read, self.requests
        try:
            yield traffic
        finally:
            traffic.bytes, traffic.requests = self.bytes_read - begin[0], self.requests - begin[1]

    def check(self) -> None:
        """Raise ConfigurationError or InfrastructureError when the store cannot be used."""
        try:
            self._client.list_objects_v2(Bucket=BUCKET, MaxKeys=1, Prefix="Sentinel-2/")
        except (BotoCoreError, ClientError) as error:
            raise translate(error, self._what) from error


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
    return ProductFiles(metadata, bands, {key: sizes[key] for key in (metadata, *bands.values())})


def open_eodata(settings: Settings) -> EOData:
    """The EO data store of the settings. Raises ConfigurationError when credentials are missing."""
    if settings.eo_access_key is None or settings.eo_secret_key is None:
        raise ConfigurationError(
            "no credentials for the EO data store: set EO_S3_ACCESS_KEY_ID and EO_S3_SECRET_ACCESS_KEY"
        )
    client = make_s3_client(
        settings.eo_endpoint, settings.eo_access_key, settings.eo_secret_key, connections=CONNECTIONS
    )
    return EOData(client, settings.eo_endpoint)
