"""The bands of a product: checked by their first bytes, decoded one JP2 tile at a time."""

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from threading import Lock

import numpy as np
from numpy.typing import NDArray
from rasterio.errors import RasterioError
from rasterio.io import MemoryFile

from landpatch.errors import PermanentError
from landpatch.gdal import gdal_env
from landpatch.jp2 import Head, TileParts, describe_only, isolate_tile, parse_head
from landpatch.sources.product_files import NATIVE_SIZE_M, SCENE_CLASS
from landpatch.stages import stage
from landpatch.warp import NativeGrid, Window
from services.image_worker.loader import File

TILE_SIZE_M = 109_800
"""Side of a Sentinel-2 tile."""
Pixels = NDArray[np.generic]
"""(y, x) uint16, uint8 for the scene classification."""


@dataclass(frozen=True, slots=True)
class BandHead:
    """What a band's first bytes say."""

    name: str
    """`B1` … `B12`, `SCL`."""
    what: str
    """Product and band, for messages."""
    head: Head
    grid: NativeGrid

    def tiles_of(self, window: Window) -> list[int]:
        """Numbers of the JP2 tiles that a window touches."""
        return self.head.tiling.tiles_of(window.col, window.row, window.width, window.height)


def open_head(data: bytes, size: int, band: str, product: str) -> BandHead:
    """Read and check the first bytes of a band's file of `size` bytes.

    Raises PermanentError for anything that is not this band.
    """
    what = f"{product}: {band}"
    head = parse_head(data, size, what)
    size_m = NATIVE_SIZE_M[band]
    pixels = TILE_SIZE_M // size_m
    bits = range(1, 9) if band == SCENE_CLASS else range(9, 17)
    if (head.tiling.width, head.tiling.height) != (pixels, pixels) or head.bits not in bits:
        found = f"{head.tiling.width} x {head.tiling.height} pixels of {head.bits} bits"
        raise PermanentError(f"{what} is {found}, not {pixels} x {pixels} of {bits[0]} to {bits[-1]}")
    try:
        with (
            gdal_env(),
            MemoryFile(describe_only(head)) as memory,
            memory.open(driver="JP2OpenJPEG") as image,
        ):
            crs, transform = image.crs, image.transform
    except RasterioError as error:
        raise PermanentError(f"{what} cannot be opened: {error}") from error
    if (transform.a, transform.b, transform.d, transform.e) != (size_m, 0, 0, -size_m):
        raise PermanentError(f"{what} is not north up with {size_m} m pixels")
    epsg = crs.to_epsg() if crs else None
    if epsg is None or not (32601 <= epsg <= 32660 or 32701 <= epsg <= 32760):
        raise PermanentError(f"{what} is not in a UTM zone of WGS 84")
    grid = NativeGrid(f"EPSG:{epsg}", transform.c, transform.f, size_m, pixels, pixels)
    return BandHead(band, what, head, grid)


class Band:
    """A band whose needed tiles can be decoded."""

    def __init__(self, head: BandHead, file: File, needed: Iterable[int]) -> None:
        """file: its bytes. needed: numbers of the tiles that will be decoded, once each."""
        self.head = head
        self._file = file
        self._parts = TileParts(head.head, file.read, head.what)
        self._needed = set(needed)
        self._lock = Lock()

    def decode(self, tile: int) -> Pixels:
        """The pixels of a JP2 tile; what of the file is no longer needed is forgotten.

        Raises PermanentError for a tile that cannot be decoded.
        """
        codestream = isolate_tile(self.head.head, tile, self._parts.read(tile))
        self._forget(tile)
        _, _, width, height = self.head.head.tiling.box(tile)
        dtype = "uint8" if self.head.head.bits <= 8 else "uint16"
        try:
            with (
                stage("decode"),
                gdal_env(),
                MemoryFile(codestream) as memory,
                memory.open(driver="JP2OpenJPEG") as image,
            ):
                if (image.width, image.height, image.count, image.dtypes[0]) != (width, height, 1, dtype):
                    raise PermanentError(f"{self.head.what}: tile {tile} is another image than announced")
                pixels: Pixels = image.read(1)
        except RasterioError as error:
            raise PermanentError(f"{self.head.what} cannot be decoded: {error}") from error
        return pixels

    def _forget(self, tile: int) -> None:
        with self._lock:
            self._needed.discard(tile)
            first = [
                self._parts.locate(other)[0][0] if self._parts.found(other) else self._parts.walked_to
                for other in self._needed
            ]
            self._file.forget(min(first, default=sys.maxsize))
