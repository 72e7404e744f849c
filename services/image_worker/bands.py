"""The bands of a product, downloaded once into memory and decoded window by window."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader, MemoryFile
from rasterio.windows import Window as RasterWindow

from landpatch.errors import PermanentError
from landpatch.gdal import gdal_env
from landpatch.metadata import parse_radiometry
from landpatch.radiometry import Radiometry
from landpatch.sources.eodata import CONNECTIONS, NATIVE_SIZE_M, SCENE_CLASS, EOData
from landpatch.warp import NativeGrid, Window

TILE_SIZE_M = 109_800
"""Side of a Sentinel-2 tile."""
_JP2_SIGNATURE = b"\x00\x00\x00\x0cjP  \r\n\x87\n"


@dataclass(frozen=True, slots=True)
class ProductBytes:
    """A product in memory: its files as they are stored."""

    product: str
    radiometry: Radiometry
    bands: Mapping[str, bytes]
    """JP2 bytes of each band and of the scene classification."""
    bytes_downloaded: int
    requests: int


def download(eodata: EOData, s3_path: str, product: str) -> ProductBytes:
    """Download each band once, over as many connections as an account may have.

    Raises PermanentError or TransientError.
    """
    files = eodata.find_files(s3_path, product)
    radiometry = parse_radiometry(eodata.read(files.metadata, files.sizes[files.metadata]), product)
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        data = pool.map(lambda key: eodata.read(key, files.sizes[key]), files.bands.values())
        bands = dict(zip(files.bands, data, strict=True))
    return ProductBytes(product, radiometry, bands, sum(files.sizes.values()), len(files.sizes) + 1)


class OpenBand:
    """A band that is open for decoding; use it with `with`."""

    def __init__(self, data: bytes, band: str, product: str) -> None:
        """Open and check JP2 bytes; raises PermanentError for anything that is not this band."""
        self._what = f"{product}: {band}"
        if not data.startswith(_JP2_SIGNATURE):
            raise PermanentError(f"{self._what} is not a JP2 file")
        try:
            with gdal_env():
                self._memory = MemoryFile(data)
                self._dataset: DatasetReader = self._memory.open(driver="JP2OpenJPEG")
        except RasterioError as error:
            raise PermanentError(f"{self._what} cannot be opened: {error}") from error
        self.grid = _checked_grid(self._dataset, band, self._what)

    def read(self, window: Window) -> NDArray[np.generic]:
        """Decode a window; (y, x) uint16, uint8 for the scene classification."""
        part = RasterWindow(window.col, window.row, window.width, window.height)
        try:
            with gdal_env():
                pixels: NDArray[np.generic] = self._dataset.read(1, window=part)
        except RasterioError as error:
            raise PermanentError(f"{self._what} cannot be decoded: {error}") from error
        return pixels

    def __enter__(self) -> "OpenBand":
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the band and free its memory."""
        self._dataset.close()
        self._memory.close()


def _checked_grid(dataset: DatasetReader, band: str, what: str) -> NativeGrid:
    size_m = NATIVE_SIZE_M[band]
    pixels = TILE_SIZE_M // size_m
    dtype = "uint8" if band == SCENE_CLASS else "uint16"
    found = (dataset.width, dataset.height, dataset.count, dataset.dtypes[0])
    if found != (pixels, pixels, 1, dtype):
        raise PermanentError(f"{what} is {found}, not one band of {pixels} x {pixels} {dtype}")
    transform = dataset.transform
    if (transform.a, transform.b, transform.d, transform.e) != (size_m, 0, 0, -size_m):
        raise PermanentError(f"{what} is not north up with {size_m} m pixels")
    epsg = dataset.crs.to_epsg() if dataset.crs else None
    if epsg is None or not (32601 <= epsg <= 32660 or 32701 <= epsg <= 32760):
        raise PermanentError(f"{what} is not in a UTM zone of WGS 84")
    return NativeGrid(f"EPSG:{epsg}", transform.c, transform.f, size_m, pixels, pixels)
