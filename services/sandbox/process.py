"""The Process API of Sentinel Hub: products warped onto the grid of a request by GDAL.

One evalscript is understood, the product's own; everything else of a request is done as it says. Source:
https://docs.sentinel-hub.com/api/latest/reference/ (Process API).
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.io import MemoryFile
from rasterio.transform import from_bounds
from rasterio.warp import reproject, transform_bounds
from rasterio.windows import Window

from landpatch.gdal import gdal_env
from landpatch.sources.sentinelhub import write_script
from services.sandbox.stac import RefusedError, read_time

MAX_SIDE = 2500
BANDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12")
_SIZES = dict.fromkeys(("B02", "B03", "B04", "B08"), 10) | dict.fromkeys(("B01", "B09"), 60)
_USUAL_SIZE = 20
_CRS = "http://www.opengis.net/def/crs/EPSG/0/3035"
_PRODUCT = re.compile(r'^var PRODUCT = "([A-Z0-9_]{1,80})";$', re.MULTILINE)
_KERNELS = {"NEAREST": Resampling.nearest, "BILINEAR": Resampling.bilinear, "BICUBIC": Resampling.cubic}
_MARGIN = 4
"""Native pixels around a window, for the kernel."""
_BASELINE = re.compile(r"_N(\d{4})_")
_OFFSET, _FIRST_WITH_OFFSET = 1000, "0400"


@dataclass(frozen=True, slots=True)
class Source:
    """One of the sources of a request."""

    begin: datetime
    end: datetime
    kernel: Resampling
    harmonize: bool


@dataclass(frozen=True, slots=True)
class Order:
    """A request, read."""

    bounds: tuple[float, float, float, float]
    """xmin ymin xmax ymax, EPSG:3035."""
    width: int
    height: int
    bands: Source
    classes: Source
    product: str
    """Name without `.SAFE`."""

    @property
    def units(self) -> float:
        """Processing units: of two sources, 13 bands in all, in 16 bits."""
        return max(0.005, self.width * self.height / 512**2 * (len(BANDS) + 1) / 3 * 2)


def read_order(body: Any) -> Order:
    """Read a request. Raises RefusedError."""
    try:
        bounds, output = body["input"]["bounds"], body["output"]
        if bounds["properties"]["crs"] != _CRS:
            raise RefusedError("The sandbox renders EPSG:3035 only")
        if output["responses"] != [{"identifier": "default", "format": {"type": "image/tiff"}}]:
            raise RefusedError("The sandbox answers with one TIFF only")
        west, south, east, north = (float(number) for number in bounds["bbox"])
        width, height = int(output["width"]), int(output["height"])
        sources = {entry["id"]: _read_source(entry) for entry in body["input"]["data"]}
        script, bands, classes = str(body["evalscript"]), sources["bands"], sources["classes"]
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, RefusedError):
            raise
        raise RefusedError(f"Invalid request: {error}") from error
    if not (west < east and south < north):
        raise RefusedError("Invalid bbox")
    if not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE):
        raise RefusedError(f"width and height must be between 1 and {MAX_SIDE}")
    return Order((west, south, east, north), width, height, bands, classes, _read_script(script))


def _read_source(entry: Mapping[str, Any]) -> Source:
    if entry["type"] != "sentinel-2-l2a":
        raise RefusedError("Illegal collection id")
    time, processing = entry["dataFilter"]["timeRange"], entry.get("processing", {})
    kernels = {processing.get(name, "NEAREST") for name in ("upsampling", "downsampling")}
    if len(kernels) > 1 or not kernels <= set(_KERNELS):
        raise RefusedError(f"The sandbox has one kernel of {', '.join(_KERNELS)} for a source")
    return Source(
        read_time(time["from"]),
        read_time(time["to"]),
        _KERNELS[kernels.pop()],
        bool(processing.get("harmonizeValues", True)),
    )


def _read_script(script: str) -> str:
    found = _PRODUCT.search(script)
    if found is None or script != write_script(found[1]):
        raise RefusedError("The sandbox understands one evalscript only", "RENDERER_EXCEPTION")
    return found[1]


def render(order: Order, products: Sequence[Mapping[str, Any]], root: Path) -> bytes:
    """A TIFF of 13 bands: the product of the request, or nothing where no product is of its time and place.

    products: of the catalogue, as OData has them. root: where they lie. Raises RefusedError when there are
    products, but not the one that is asked for.
    """
    folders = [_choose(order, source, products, root) for source in (order.bands, order.classes)]
    pixels = np.zeros((len(BANDS) + 1, order.height, order.width), dtype="uint16")
    if None not in folders:
        bands_of, classes_of = (folder for folder in folders if folder is not None)
        kernel, harmonize = order.bands.kernel, order.bands.harmonize
        bands = np.stack([_warp_band(bands_of, band, order, kernel, harmonize) for band in BANDS])
        seen = _warp_band(bands_of, "B02", order, Resampling.nearest) > 0
        pixels = evaluate(bands, seen, _warp_band(classes_of, "SCL", order, order.classes.kernel))
    return _encode(pixels, order)


def evaluate(
    bands: NDArray[np.uint16], seen: NDArray[np.bool_], classes: NDArray[np.uint16]
) -> NDArray[np.uint16]:
    """What the evalscript does at each pixel. bands: (12, y, x). Returns (13, y, x)."""
    pixels: NDArray[np.uint16] = np.where(seen, np.concatenate([bands, classes[None]]), np.uint16(0))
    return pixels


def _choose(order: Order, source: Source, products: Sequence[Mapping[str, Any]], root: Path) -> Path | None:
    """The folder of the product, as `preProcessScenes` finds it among those of time and place."""
    tiles = list(_find_tiles(order, source, products))
    found = [product for product in tiles if product["Name"] == f"{order.product}.SAFE"]
    if tiles and not found:
        tile = f'{{"productId":"{tiles[0]["Name"]}"}}'
        raise RefusedError(f"Error: there is no {order.product}, but {tile}", "RENDERER_EXCEPTION")
    return root / str(found[0]["S3Path"]).strip("/") if found else None


def _find_tiles(
    order: Order, source: Source, products: Sequence[Mapping[str, Any]]
) -> Iterator[Mapping[str, Any]]:
    west, south, east, north = transform_bounds("EPSG:3035", "EPSG:4326", *order.bounds, densify_pts=21)
    for product in products:
        if (
            not product["Online"]
            or not source.begin <= read_time(product["ContentDate"]["Start"]) <= source.end
        ):
            continue
        ring = np.array(_flatten(product["GeoFootprint"]["coordinates"]))
        (left, bottom), (right, top) = ring.min(axis=0), ring.max(axis=0)
        if left < east and right > west and bottom < north and top > south:
            yield product


def _flatten(coordinates: Any) -> list[list[float]]:
    if isinstance(coordinates[0], int | float):
        return [coordinates[:2]]
    return [point for part in coordinates for point in _flatten(part)]


def _warp_band(
    folder: Path, band: str, order: Order, kernel: Resampling, harmonize: bool = False
) -> NDArray[np.uint16]:
    """A band on the grid of the request, (y, x)."""
    size = _SIZES.get(band, _USUAL_SIZE)
    path = next((folder / "GRANULE").glob(f"*/IMG_DATA/R{size}m/*_{band}_{size}m.jp2"))
    target = np.zeros((order.height, order.width), dtype="uint16")
    with gdal_env(), rasterio.open(path) as native:
        window = _find_window(native, order.bounds)
        if window is None:
            return target
        numbers = native.read(1, window=window).astype("uint16")
        if harmonize and _has_offset(folder):
            numbers = np.where(numbers > _OFFSET, numbers, _OFFSET) - _OFFSET
        reproject(
            numbers,
            target,
            src_transform=native.window_transform(window),
            src_crs=native.crs,
            src_nodata=0,
            dst_transform=from_bounds(*order.bounds, order.width, order.height),
            dst_crs="EPSG:3035",
            dst_nodata=0,
            resampling=kernel,
            # Otherwise GDAL takes what is turned for something smaller, and smooths it.
            XSCALE=1,
            YSCALE=1,
        )
    return target


def _has_offset(folder: Path) -> bool:
    found = _BASELINE.search(folder.name)
    return found is not None and found[1] >= _FIRST_WITH_OFFSET


def _find_window(native: rasterio.DatasetReader, bounds: tuple[float, float, float, float]) -> Window | None:
    """The part of a band that is under the bounds, with a margin."""
    west, south, east, north = transform_bounds("EPSG:3035", native.crs, *bounds, densify_pts=21)
    left, top = ~native.transform @ (west, north)
    right, bottom = ~native.transform @ (east, south)
    col0, row0 = max(0, int(left) - _MARGIN), max(0, int(top) - _MARGIN)
    col1, row1 = min(native.width, int(right) + _MARGIN), min(native.height, int(bottom) + _MARGIN)
    return Window(col0, row0, col1 - col0, row1 - row0) if col0 < col1 and row0 < row1 else None


def _encode(pixels: NDArray[np.uint16], order: Order) -> bytes:
    with gdal_env(), MemoryFile() as memory:
        with memory.open(
            driver="GTiff",
            count=len(pixels),
            height=order.height,
            width=order.width,
            dtype="uint16",
            crs="EPSG:3035",
            transform=from_bounds(*order.bounds, order.width, order.height),
            compress="deflate",
            zlevel=1,
            predictor=2,
            interleave="pixel",
        ) as raster:
            raster.write(pixels)
        return bytes(memory.getbuffer())
