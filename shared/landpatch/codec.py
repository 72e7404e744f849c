"""Arrays <-> the bytes of GeoTIFF, npy and npz. Bytes from outside are checked, never trusted."""

import hashlib
import io
import math
import re
import struct
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

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
from landpatch.gdal import MAX_BLOCK_PIXELS, gdal_env
from landpatch.legend import NO_LABEL_CODES
from landpatch.patch import CRS as GRID_CRS
from landpatch.patch import PATCH_SIZE_M, PATCH_SIZE_PX, PIXEL_SIZE_M, Patch
from landpatch.radiometry import BANDS, CLEAR, REFLECTANCE_BANDS

LABEL_CLASSES = tuple(range(12))
"""0 no label, 1 to 11 as in CLC+ Backbone."""
_SHAPE = (PATCH_SIZE_PX, PATCH_SIZE_PX)
_TAG_PREFIX = "LANDPATCH_"
_PLACE_TOLERANCE_M = 0.01
_NPY_HEADER = re.compile(
    rb"\x93NUMPY\x01\x00(?P<length>[\x00-\xff]{2})"
    rb"(?P<header>\{'descr': '(?P<dtype>[|<][uif][1248])', 'fortran_order': False,"
    rb" 'shape': \((?P<shape>\d{1,9}(, \d{1,9}){0,3})\), \} *\n)",
    re.DOTALL,
)
"""Source: numpy.lib.format, version 1.0; as numpy writes it."""
TIFF_SIGNATURES = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")


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


@cache
def _grid_crs() -> CRS:
    return CRS.from_string(GRID_CRS)


def _profile(patch: Patch) -> dict[str, object]:
    return {
        "driver": "GTiff",
        "width": PATCH_SIZE_PX,
        "height": PATCH_SIZE_PX,
        "count": len(BANDS),
        "dtype": "float64",
        "crs": _grid_crs(),
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
        tags = _own_tags(image)
        bands: NDArray[np.float64] = image.read()
    if not np.isfinite(bands).all():
        raise PermanentError(f"{patch.name}.tif: holds values that are not finite")
    return Image(bands, tags)


def decode_published_image(data: bytes, name: str, bounds: tuple[float, float, float, float]) -> Image:
    """Read the GeoTIFF of a patch of any training set of this layout, such as the public one.

    bounds: xmin ymin xmax ymax, metres, EPSG:3035, as the index has them. Bands, size, CRS and place are
    those of the contract; how the file is stored is not looked at. A pixel with a value that is not finite
    in any band becomes 0, no observation, in all. Raises PermanentError that says what differs.
    """
    what = f"{name}.tif"
    if data[:4] not in TIFF_SIGNATURES:
        raise PermanentError(f"{what}: not a TIFF")
    try:
        with gdal_env(), MemoryFile(data) as memory, memory.open(driver="GTiff") as image:
            _check_published(image, what, bounds)
            tags = _own_tags(image)
            bands: NDArray[np.float64] = image.read(out_dtype="float64")
    except RasterioError as error:
        raise PermanentError(f"{what}: not a whole GeoTIFF: {error}") from error
    observed = np.isfinite(bands).all(axis=0)
    if not observed.all():
        bands[:, ~observed] = 0
    return Image(bands, tags)


def _check_published(image: DatasetReader, what: str, bounds: tuple[float, float, float, float]) -> None:
    shape = (image.count, image.height, image.width)
    if shape != (len(BANDS), *_SHAPE):
        raise PermanentError(f"{what}: {shape} bands, rows and columns, not {(len(BANDS), *_SHAPE)}")
    if not set(image.dtypes) <= {"float32", "float64"}:
        raise PermanentError(f"{what}: pixels are {image.dtypes[0]}, not float64")
    if image.crs != _grid_crs():
        raise PermanentError(f"{what}: lies in another CRS than {GRID_CRS}")
    turned = image.transform.b != 0 or image.transform.d != 0
    if turned or not np.allclose(image.bounds, bounds, rtol=0, atol=_PLACE_TOLERANCE_M):
        raise PermanentError(f"{what}: lies at {tuple(image.bounds)}, the index says {bounds}")
    rows, columns = image.block_shapes[0]
    if rows * columns > MAX_BLOCK_PIXELS // len(BANDS):
        raise PermanentError(f"{what}: blocks of {columns} x {rows} pixels")


def _own_tags(image: DatasetReader) -> dict[str, str]:
    return {
        name.removeprefix(_TAG_PREFIX): value
        for name, value in image.tags().items()
        if name.startswith(_TAG_PREFIX)
    }


@contextmanager
def _opened(data: bytes, patch: Patch) -> Iterator[DatasetReader]:
    if data[:4] not in TIFF_SIGNATURES:
        raise PermanentError(f"{patch.name}.tif: not a TIFF")
    try:
        with gdal_env(), MemoryFile(data) as memory, memory.open(driver="GTiff") as image:
            expected = _profile(patch)
            del expected["blockysize"]
            profile = image.profile
            for name, wanted in expected.items():
                found = profile.get(name)
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
    return _check_classes(_read_array(data, np.dtype("uint8"), _SHAPE, f"{name}.npy"), name)


def decode_published_label(data: bytes, name: str) -> NDArray[np.uint8]:
    """Read a label that others have published: CLC+ Backbone's own codes for no label may be in it, and
    become 0. Otherwise as `decode_label`."""
    codes = _read_array(data, np.dtype("uint8"), _SHAPE, f"{name}.npy")
    return _check_classes(np.where(np.isin(codes, NO_LABEL_CODES), 0, codes), name)


def _check_classes(classes: NDArray[Any], name: str) -> NDArray[np.uint8]:
    if classes.max() > LABEL_CLASSES[-1]:
        raise PermanentError(f"{name}.npy: class {classes.max()} is unknown")
    return classes.astype("uint8", copy=False)


def _read_array(data: bytes, dtype: np.dtype[Any], shape: tuple[int, ...], what: str) -> NDArray[Any]:
    """The array of an .npy file that has to be of one kind.

    numpy's own reader takes memory for whatever shape a file claims, and evaluates its header.
    """
    found = _NPY_HEADER.match(data)
    if found is None:
        raise PermanentError(f"{what}: not an array of numbers in C order")
    claimed = found["shape"].decode()
    if found["dtype"].decode() != dtype.str or claimed != ", ".join(map(str, shape)):
        raise PermanentError(f"{what}: {found['dtype'].decode()} ({claimed}) is not {dtype} {shape}")
    if int.from_bytes(found["length"], "little") != len(found["header"]):
        raise PermanentError(f"{what}: its header is not as long as it says")
    size = len(data) - found.end()
    if size != dtype.itemsize * math.prod(shape):
        raise PermanentError(f"{what}: {size} bytes are not those of {dtype} {shape}")
    return np.frombuffer(data, dtype, offset=found.end()).reshape(shape)


def encode_observation(observation: Observation) -> bytes:
    """An observation as .npz bytes, for the time until the patch's next product has been cut."""
    buffer = io.BytesIO()
    np.savez(buffer, reflectance=observation.reflectance, clarity=observation.clarity)
    return buffer.getvalue()


def decode_observation(data: bytes, scene_id: str) -> Observation:
    """Read an observation; raises PermanentError when it is not one."""
    what = f"observation of {scene_id}"
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as members:
            reflectance, clarity = (
                _read_member(members, f"{name}.npy", len(data), what) for name in ("reflectance", "clarity")
            )
    except (zipfile.BadZipFile, EOFError, OSError, KeyError, ValueError, RuntimeError, struct.error) as error:
        raise PermanentError(f"{what}: broken: {error}") from error
    observation = Observation(
        scene_id,
        _read_array(reflectance, np.dtype("float64"), (len(REFLECTANCE_BANDS), *_SHAPE), what),
        _read_array(clarity, np.dtype("uint8"), _SHAPE, what),
    )
    if not np.isfinite(observation.reflectance).all() or observation.clarity.max() > CLEAR:
        raise PermanentError(f"{what}: holds values that none has")
    return observation


def _read_member(members: zipfile.ZipFile, name: str, most: int, what: str) -> bytes:
    """A member as `encode_observation` writes it: not packed, so no larger than the whole."""
    member = members.getinfo(name)
    if member.compress_type != zipfile.ZIP_STORED or member.file_size > most:
        raise PermanentError(f"{what}: {name} is packed")
    return members.read(member)


def decode_class_raster(data: bytes, width: int, height: int, what: str) -> NDArray[np.uint8]:
    """The one band of a TIFF answer, (y, x) uint8, row 0 in the north; errors as of `decode_raster`."""
    classes: NDArray[np.uint8] = decode_raster(data, (1, height, width), "uint8", what)[0]
    return classes


def decode_raster(
    data: bytes, shape: tuple[int, int, int], dtype: Literal["uint8", "uint16"], what: str
) -> NDArray[Any]:
    """A TIFF answer, (band, y, x), row 0 in the north.

    Only the first bytes and the decoded shape are believed: an error may come as status 200 and
    `Content-Type: image/tiff`. Raises PermanentError with `what` and the beginning of the answer.
    """
    count, height, width = shape
    if data[:4] not in TIFF_SIGNATURES:
        raise PermanentError(f"{what}: not a TIFF but {data[:200]!r}")
    try:
        with gdal_env(), MemoryFile(data) as memory, memory.open(driver="GTiff") as raster:
            if (raster.count, raster.height, raster.width) != shape:
                raise PermanentError(
                    f"{what}: {raster.count} bands of {raster.width} x {raster.height} pixels,"
                    f" not {count} of {width} x {height}"
                )
            if set(raster.dtypes) != {dtype}:
                raise PermanentError(f"{what}: pixels are {raster.dtypes[0]}, not {dtype}")
            rows, columns = raster.block_shapes[0]
            if rows * columns * count > max(width * height * count, MAX_BLOCK_PIXELS):
                raise PermanentError(f"{what}: blocks of {columns} x {rows} pixels")
            pixels: NDArray[Any] = raster.read()
    except RasterioError as error:
        raise PermanentError(f"{what}: not a whole TIFF: {error}") from error
    return pixels
