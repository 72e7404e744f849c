"""The CLC+ ImageServer: description and `exportImage`, with the errors of the real one.

Errors come with status 200, `Content-Type: image/tiff` and a JSON body, as recorded from real services.
"""

import json
from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from rasterio.io import MemoryFile
from rasterio.transform import from_bounds

from services.sandbox.landscape import EDITIONS, class_window
from services.sandbox.noise import PIXEL_M

MAX_WIDTH, MAX_HEIGHT = 15_000, 4_100
EXTENT = (900_000, 900_000, 7_400_000, 5_500_000)
_NEAREST = "RSP_NearestNeighbor"
_SPATIAL_REFERENCE = {"wkid": 3035, "latestWkid": 3035}


class ExportError(ValueError):
    """A request that the service refuses; the body of its answer."""

    def __init__(self, *details: str) -> None:
        super().__init__(*details)
        self.body = describe_error(400, "Invalid or missing input parameters.", list(details), -2147024809)


def describe_error(code: int, message: str, details: list[str], extended: int | None = None) -> bytes:
    """An error as the service words it."""
    error: dict[str, Any] = {"code": code}
    if extended is not None:
        error["extendedCode"] = extended
    return json.dumps(
        {"error": error | {"message": message, "details": details}}, separators=(",", ":")
    ).encode()


def find_edition(service: str) -> int | None:
    """The edition that a service `CLMS_CLCplus_RASTER_{year}_010m_eu` serves, or None."""
    return next((year for year in EDITIONS if service == f"CLMS_CLCplus_RASTER_{year}_010m_eu"), None)


def describe_service(edition: int) -> dict[str, Any]:
    """The service's own description (`?f=json`)."""
    extent = dict(zip(("xmin", "ymin", "xmax", "ymax"), EXTENT, strict=True))
    return {
        "currentVersion": 10.81,
        "serviceDescription": f"CLC+ Backbone {edition}, 10 m",
        "name": f"CLC_plus/CLMS_CLCplus_RASTER_{edition}_010m_eu",
        "description": f"CLC+ Backbone {edition}: synthetic land cover of the landpatch sandbox",
        "extent": extent | {"spatialReference": _SPATIAL_REFERENCE},
        "pixelSizeX": PIXEL_M,
        "pixelSizeY": PIXEL_M,
        "bandCount": 1,
        "pixelType": "U8",
        "minPixelSize": 0,
        "maxPixelSize": 0,
        "copyrightText": "Copernicus Land Monitoring Service",
        "serviceDataType": "esriImageServiceDataTypeThematic",
        "minValues": [1],
        "maxValues": [255],
        "capabilities": "Image,Metadata,Catalog,Mensuration",
        "defaultResamplingMethod": "Bilinear",
        "maxImageHeight": MAX_HEIGHT,
        "maxImageWidth": MAX_WIDTH,
        "maxRecordCount": 1000,
        "spatialReference": _SPATIAL_REFERENCE,
    }


def export_image(edition: int, parameters: Mapping[str, str]) -> bytes:
    """A GeoTIFF of the box asked for, uint8, EPSG:3035, row 0 in the north.

    Raises ExportError for parameters that the service refuses.
    """
    bounds = _read_bounds(parameters.get("bbox", ""))
    width, height = _read_size(parameters.get("size", "400,400"))
    for name in ("bboxSR", "imageSR"):
        if parameters.get(name, "3035") != "3035":
            raise ExportError(f"'{name}' parameter is invalid.")
    if parameters.get("pixelType", "U8") not in {"U8", "UNKNOWN"}:
        raise ExportError("'pixelType' parameter is invalid.")
    if parameters.get("format", "tiff") != "tiff":
        raise ExportError("'format' parameter is invalid.")
    nearest = parameters.get("interpolation", "") == _NEAREST
    return _to_tiff(_sample(edition, bounds, width, height, nearest=nearest), bounds)


def _read_bounds(text: str) -> tuple[float, float, float, float]:
    try:
        xmin, ymin, xmax, ymax = (float(part) for part in text.split(","))
    except ValueError:
        raise ExportError("'bbox' parameter is invalid.") from None
    if not (xmin < xmax and ymin < ymax and all(np.isfinite((xmin, ymin, xmax, ymax)))):
        raise ExportError("'bbox' parameter is invalid.")
    return xmin, ymin, xmax, ymax


def _read_size(text: str) -> tuple[int, int]:
    try:
        width, height = (int(part) for part in text.split(","))
    except ValueError:
        raise ExportError("'size' parameter is invalid.") from None
    if width < 1 or height < 1:
        raise ExportError("'size' parameter is invalid.")
    if width > MAX_WIDTH or height > MAX_HEIGHT:
        raise ExportError("The requested image exceeds the size limit.")
    return width, height


def _sample(
    edition: int, bounds: tuple[float, float, float, float], width: int, height: int, *, nearest: bool
) -> NDArray[np.uint8]:
    """Codes at the centres of the pixels asked for; mixed between neighbours unless `nearest`."""
    xmin, ymin, xmax, ymax = bounds
    col, row = int(xmin // PIXEL_M) - 1, int(ymin // PIXEL_M) - 1
    cols, rows = int(-(-xmax // PIXEL_M)) - col + 1, int(-(-ymax // PIXEL_M)) - row + 1
    if cols > 2 * MAX_WIDTH or rows > 2 * MAX_WIDTH:
        raise ExportError("The requested image exceeds the size limit.")
    codes = class_window(col * PIXEL_M, row * PIXEL_M, cols, rows, edition)
    x = (xmin + (np.arange(width) + 0.5) * (xmax - xmin) / width) / PIXEL_M - col
    y = rows - ((ymax - (np.arange(height) + 0.5) * (ymax - ymin) / height) / PIXEL_M - row)
    if nearest:
        rows_at, cols_at = np.floor(y).astype("int64"), np.floor(x).astype("int64")
        picked: NDArray[np.uint8] = codes[rows_at[:, None], cols_at[None, :]]
        return picked
    map_x = np.broadcast_to(x.astype("float32") - 0.5, (height, width))
    map_y = np.broadcast_to(y.astype("float32")[:, None] - 0.5, (height, width))
    mixed = cv2.remap(codes, np.ascontiguousarray(map_x), np.ascontiguousarray(map_y), cv2.INTER_LINEAR)
    return np.asarray(mixed, dtype="uint8")


def _to_tiff(codes: NDArray[np.uint8], bounds: tuple[float, float, float, float]) -> bytes:
    height, width = codes.shape
    with MemoryFile() as memory:
        with memory.open(
            driver="GTiff",
            width=width,
            height=height,
            count=1,
            dtype="uint8",
            crs="EPSG:3035",
            transform=from_bounds(*bounds, width, height),
        ) as dataset:
            dataset.write(codes, 1)
        return bytes(memory.getbuffer())
