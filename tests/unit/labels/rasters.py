"""Rasters of classes, and what they are to become on the patch grid, found another way."""

import numpy as np
from numpy.typing import NDArray
from pyproj import Transformer
from rasterio.io import MemoryFile
from rasterio.transform import Affine

from landpatch.class_table import parse_table
from landpatch.patch import Patch
from landpatch.sources.raster import open_raster_labels
from tests.http_server import quick_session

PATCH = Patch(0, 3_757_500, 2_887_500, 0)
"""In Paris."""
CODES = parse_table("{" + ", ".join(f"{code}: {code}" for code in range(12)) + "}", "the table")
LAEA_PARIS = "+proj=laea +lat_0=48.8 +lon_0=2.3 +x_0=100 +y_0=-200 +ellps=GRS80 +units=m +type=crs"
"""A CRS that has no number."""


def write_raster(codes: NDArray[np.generic], transform: Affine, crs: str | None, **profile: object) -> bytes:
    """A GeoTIFF of codes, (y, x)."""
    given = {"driver": "GTiff", "count": 1, "dtype": codes.dtype, "crs": crs, "transform": transform}
    with MemoryFile() as memory:
        with memory.open(height=codes.shape[0], width=codes.shape[1], **(given | profile)) as raster:
            raster.write(codes, 1)
        return bytes(memory.getbuffer())


def centres(patch: Patch, crs: str, parts: int = 1) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """x and y in a CRS of points that lie evenly in a patch, each projected by itself; parts: an axis of each
    pixel. Each (250 parts, 250 parts), row 0 in the north."""
    at = (np.arange(250 * parts) + 0.5) * 10 / parts
    east, north = np.meshgrid(patch.xmin + at, patch.ymin + 2500 - at)
    return Transformer.from_crs("EPSG:3035", crs, always_xy=True).transform(east, north)


def lay_raster(crs: str, size: float, angle: float = 0.0) -> tuple[Affine, int, int]:
    """A pixel grid over PATCH with a margin, its width and height; size: of a pixel, in units of the CRS."""
    x, y = centres(PATCH, crs)
    turned = Affine.rotation(angle) @ Affine.scale(size, -size)
    columns, rows = ~turned @ (x, y)
    corner = Affine.translation(np.floor(columns.min()) - 3.4, np.floor(rows.min()) - 2.7)
    width, height = int(np.ptp(columns)) + 9, int(np.ptp(rows)) + 9
    return turned @ corner, width, height


def place_codes(width: int, height: int) -> NDArray[np.uint8]:
    """Codes from 1 to 11, of which no two neighbours are the same."""
    columns, rows = np.meshgrid(np.arange(width), np.arange(height))
    return ((7 * columns + 3 * rows) % 11 + 1).astype("uint8")


def look_up(codes: NDArray[np.uint8], transform: Affine, x: NDArray, y: NDArray) -> NDArray[np.uint8]:
    """The code of the pixel that each point lies in."""
    columns, rows = ~transform @ (x, y)
    return codes[np.floor(rows).astype(int), np.floor(columns).astype(int)]


def open_labels(*files: object, table=CODES, resampling="nearest"):
    """The source of labels over files."""
    return open_raster_labels([str(file) for file in files], table, resampling, quick_session())
