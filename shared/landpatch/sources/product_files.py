"""The files of a product: which of them are needed, and how large they may be."""

import re
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from threading import Lock
from typing import Protocol

from landpatch.errors import PermanentError, TransientError
from landpatch.messages import SceneRef
from landpatch.radiometry import REFLECTANCE_BANDS
from landpatch.sources.account import Traffic

SCENE_CLASS = "SCL"
METADATA, MANIFEST = "MTD_MSIL2A.xml", "manifest.safe"
MAX_METADATA_BYTES = 10_000_000
"""A parsed document takes many times its size; genuine ones have some 60 kB."""
MAX_MANIFEST_BYTES = 1_000_000
"""It is parsed while the bands are in memory; genuine ones have some 90 kB."""
MAX_FILES = 10_000
"""Of a product; a genuine one has some hundred."""

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
    manifest: str | None = None
    """Key of manifest.safe, which names the checksums of all files; None where there is none to read."""

    def key_of(self, path: str) -> str:
        """Of a file, by its path below the product's folder."""
        return self.metadata.removesuffix(METADATA) + path


@dataclass(frozen=True, slots=True)
class RemoteFiles:
    """Files of which any part can be asked for."""

    files: ProductFiles
    read: Callable[[str, int, int], bytes]
    """Key, offset, length -> exactly so many bytes, of the version of the file that was read first."""


@dataclass(frozen=True, slots=True)
class LoadedFiles:
    """Files that have come whole, and are in memory."""

    metadata: bytes
    bands: Mapping[str, bytes]
    """By band."""


class ProductSource(Protocol):
    """Where the files of products come from, within an account's quota. Its methods may be called from many
    threads."""

    @property
    def connections(self) -> int:
        """How many requests at a time are worth trying."""

    def open_product(self, scene: SceneRef, most_bytes: int) -> RemoteFiles | LoadedFiles:
        """Find the files of a product. most_bytes: of memory that files which come whole may take.

        Raises PermanentError that says what is wrong with it, TransientError.
        """

    def counting(self) -> AbstractContextManager[Traffic]:
        """Bytes and requests while the context lasts; complete when it ends."""

    def check(self) -> None:
        """Raise ConfigurationError or TransientError when the source cannot be used."""


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


def band_of(key: str) -> str | None:
    """The band that a file holds at its native pixel size; None for any other file."""
    match = _BAND_FILE.search(key)
    if match is None or match["folder"] != match["size"]:
        return None
    band = re.sub(r"^B0", "B", match["band"])
    return band if NATIVE_SIZE_M.get(band) == int(match["size"]) else None


def most_bytes_of(key: str, folder: str) -> int | None:
    """How large a file of a product may be; None for one that is not needed."""
    if key == f"{folder}/{METADATA}":
        return MAX_METADATA_BYTES
    band = band_of(key) if key.startswith(f"{folder}/") else None
    return MAX_FILE_BYTES[NATIVE_SIZE_M[band]] if band else None


def resolve_files(sizes: Mapping[str, int], folder: str, product: str) -> ProductFiles:
    """Pick, from the listing of a product's folder, its metadata, its manifest and each band at native size.

    Raises PermanentError that names what is missing, there twice or larger than can be.
    """
    bands: dict[str, str] = {}
    for key, size in sizes.items():
        band = band_of(key)
        if band is None:
            continue
        if band in bands:
            raise PermanentError(f"{product}: more than one {band} in its folder")
        size_m = NATIVE_SIZE_M[band]
        if size > MAX_FILE_BYTES[size_m]:
            raise PermanentError(f"{product}: {band} of {size} bytes is larger than a band of {size_m} m is")
        bands[band] = key
    metadata = f"{folder}/{METADATA}"
    missing = [band for band in (*REFLECTANCE_BANDS, SCENE_CLASS) if band not in bands]
    if metadata not in sizes:
        missing.insert(0, METADATA)
    if missing:
        raise PermanentError(f"{product}: no {', '.join(missing)} in its folder")
    if sizes[metadata] > MAX_METADATA_BYTES:
        raise PermanentError(
            f"{product}: MTD_MSIL2A.xml of {sizes[metadata]} bytes is larger than metadata is"
        )
    manifest = f"{folder}/{MANIFEST}"
    known = 0 < sizes.get(manifest, 0) <= MAX_MANIFEST_BYTES
    keys = (metadata, *bands.values(), *([manifest] if known else []))
    return ProductFiles(metadata, bands, {key: sizes[key] for key in keys}, manifest if known else None)
