"""Arrays <-> the bytes of GeoTIFF, npy and npz. Bytes from outside are checked, never trusted."""

import hashlib
import io
import math
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.enums import Compression
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader, MemoryFile
from rasterio.transform import from_origin

from landpatch import __version__
from landpatch.composite import Observation
from landpatch.errors import PermanentError
from landpatch.gdal import gdal_env
from landpatch.grid import CRS as GRID_CRS
from landpatch.grid import PATCH_SIZE_M, PATCH_SIZE_PX, PIXEL_SIZE_M, Patch
from landpatch.radiometry import BANDS, REFLECTANCE_BANDS

LABEL_CLASSES = tuple(range(12))
"""0 no label, 1 to 11 as in CLC+ Backbone."""
_SHAPE = (PATCH_SIZE_PX, PATCH_SIZE_PX)
_TAG_PREFIX = "LANDPATCH_"
_MOST_BLOCK_PX = 1 << 22
"""Of a raster from outside: a block is unpacked whole, however little of it is in the raster."""
_TIFF_SIGNATURES = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")


@dataclass(frozen=True, slots=True)
class Image:
    """A decoded image of a patch."""

    bands: NDArray[np.float64]
    """(14, 250, 250): 12 reflectances, NDVI, NDWI; 0 = no observation."""
    tags: Mapping[str, str]
    """The `LANDPATCH_…` tags, without the prefix."""


def sha256(data: bytes) -> str:
    """Checksum of an object's bytes, hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def encode_image(bands: NDArray[np.float64], patch: Patch, tags: Mapping[str, str]) -> bytes:
    """A patch's GeoTIFF.

    bands: (14, 250, 250) float64, in the order of `radiometry.BANDS`. tags are written with the prefix
    `LANDPATCH_`. The same arguments give the same bytes. Raises PermanentError for values that are not
    finite.
    """
    if not np.isfinite(bands).all():
        raise PermanentError(f"{patch.name}: holds values that are not finite")
    with gdal_env(), MemoryFile() as memory:
        with memory.open(**_profile(patch), compress="deflate", zlevel=1, predictor=2) as image:
            image.update_tags(
                **{f"{_TAG_PREFIX}{name}": value for name, value in sorted(tags.items())},
                TIFFTAG_SOFTWARE=f"landpatch {__version__}",
            )
            image.descriptions = BANDS
            image.write(bands)
        return bytes(memory.getbuffer())


def _profile(patch: Patch) -> dict[str, object]:
    return {
        "driver": "GTiff",
        "width": PATCH_SIZE_PX,
        "height": PATCH_SIZE_PX,
        "count": len(BANDS),
        "dtype": "float64",
        "crs": GRID_CRS,
        "transform": from_origin(patch.xmin, patch.ymin + PATCH_SIZE_M, PIXEL_SIZE_M, PIXEL_SIZE_M),
        "interleave": "pixel",
        "tiled": False,
        "blockysize": 1,
    }


def check_image(data: bytes, patch: Patch) -> None:
    """Check that bytes are a patch's GeoTIFF with the profile of the contract, without reading its pixels.

    Raises PermanentError that says what differs.
    """
    with _opened(data, patch):
        pass


def decode_image(data: bytes, patch: Patch) -> Image:
    """Read a patch's GeoTIFF and check that it is one: whole, with the profile of the contract.

    Raises PermanentError that says what differs.
    """
    with _opened(data, patch) as image:
        tags = {
            name.removeprefix(_TAG_PREFIX): value
            for name, value in image.tags().items()
            if name.startswith(_TAG_PREFIX)
        }
        bands: NDArray[np.float64] = image.read()
    if not np.isfinite(bands).all():
        raise PermanentError(f"{patch.name}.tif: holds values that are not finite")
    return Image(bands, tags)


@contextmanager
def _opened(data: bytes, patch: Patch) -> Iterator[DatasetReader]:
    if data[:4] not in _TIFF_SIGNATURES:
        raise PermanentError(f"{patch.name}.tif: not a TIFF")
    try:
        with gdal_env(), MemoryFile(data) as memory, memory.open(driver="GTiff") as image:
            expected = _profile(patch) | {"crs": CRS.from_string(GRID_CRS)}
            del expected["blockysize"]
            for name, wanted in expected.items():
                found = image.profile.get(name)
                if found != wanted:
                    raise PermanentError(f"{patch.name}.tif: {name} is {found}, not {wanted}")
            if image.descriptions != BANDS or set(image.block_shapes) != {(1, PATCH_SIZE_PX)}:
                raise PermanentError(f"{patch.name}.tif: other bands or blocks than a patch has")
            if image.nodata is not None or image.compression != Compression.deflate:
                raise PermanentError(f"{patch.name}.tif: has a nodata value or is not deflated")
            yield image
    except RasterioError as error:
        raise PermanentError(f"{patch.name}.tif: not a whole GeoTIFF: {error}") from error


def encode_label(classes: NDArray[np.uint8]) -> bytes:
    """A patch's label, (250, 250) uint8, as .npy bytes."""
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(classes), allow_pickle=False)
    return buffer.getvalue()


def decode_label(data: bytes, name: str) -> NDArray[np.uint8]:
    """Read a label and check it; raises PermanentError that says what differs."""
    if not data.startswith(b"\x93NUMPY"):
        raise PermanentError(f"{name}.npy: not an array")
    try:
        classes = np.load(io.BytesIO(data), allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise PermanentError(f"{name}.npy: not an array: {error}") from error
    if classes.shape != _SHAPE or classes.dtype != np.uint8 or not classes.flags.c_contiguous:
        raise PermanentError(f"{name}.npy: {classes.dtype} {classes.shape} is not uint8 {_SHAPE}")
    if classes.max() > LABEL_CLASSES[-1]:
        raise PermanentError(f"{name}.npy: class {classes.max()} is unknown")
    return np.asarray(classes, dtype=np.uint8)


def encode_observation(observation: Observation) -> bytes:
    """An observation as .npz bytes, for the time until the patch's next product has been cut."""
    buffer = io.BytesIO()
    np.savez(buffer, reflectance=observation.reflectance, clarity=observation.clarity)
    return buffer.getvalue()


def decode_observation(data: bytes, scene_id: str) -> Observation:
    """Read an observation; raises PermanentError when it is not one."""
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            observation = Observation(scene_id, arrays["reflectance"], arrays["clarity"])
    except (ValueError, EOFError, OSError, KeyError, zipfile.BadZipFile) as error:
        raise PermanentError(f"observation of {scene_id}: broken: {error}") from error
    if (
        observation.reflectance.shape != (len(REFLECTANCE_BANDS), *_SHAPE)
        or observation.clarity.shape != _SHAPE
    ):
        raise PermanentError(f"observation of {scene_id}: has another shape")
    return observation


def decode_class_raster(data: bytes, width: int, height: int, what: str) -> NDArray[np.uint8]:
    """The one band of a TIFF answer, (y, x) uint8, row 0 in the north.

    Only the first bytes and the decoded shape are believed: an error may come as status 200 and
    `Content-Type: image/tiff`. Raises PermanentError with `what` and the beginning of the answer.
    """
    if data[:4] not in _TIFF_SIGNATURES:
        raise PermanentError(f"{what}: not a TIFF but {data[:200]!r}")
    try:
        with gdal_env(), MemoryFile(data) as memory, memory.open(driver="GTiff") as raster:
            if (raster.width, raster.height, raster.count) != (width, height, 1):
                raise PermanentError(
                    f"{what}: {raster.count} bands of {raster.width} x {raster.height} pixels,"
                    f" not one of {width} x {height}"
                )
            if math.prod(raster.block_shapes[0]) > max(2 * width * height, _MOST_BLOCK_PX):
                raise PermanentError(f"{what}: blocks of {raster.block_shapes[0]} pixels")
            if raster.dtypes[0] != "uint8":
                raise PermanentError(f"{what}: pixels are {raster.dtypes[0]}, not uint8")
            classes: NDArray[np.uint8] = raster.read(1)
    except RasterioError as error:
        raise PermanentError(f"{what}: not a whole TIFF: {error}") from error
    return classes
