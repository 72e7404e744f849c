"""Labels: classes out of rasters in any CRS, on this machine or over HTTP."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
import requests
from numpy.typing import NDArray
from pyproj import CRS
from pyproj.exceptions import CRSError, ProjError
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader
from rasterio.windows import Window as RasterWindow

from landpatch.class_table import UNKNOWN, ClassTable
from landpatch.class_warp import ClassGrid, Resampling, Sampling, sample_grid, vote
from landpatch.errors import (
    AbsentError,
    ConfigurationError,
    LandpatchError,
    PermanentError,
    RequestError,
    TransientError,
)
from landpatch.gdal import MAX_BLOCK_PIXELS, gdal_env
from landpatch.patch import PATCH_SIZE_PX, Patch
from landpatch.sources.labels import WindowLimits
from landpatch.sources.ranged import FileView, LocalFile, RangedFile
from landpatch.warp import Window

LIMITS = WindowLimits(2500, 2500)
MAX_WINDOW_PIXELS, MAX_PATCH_PIXELS = 2**24, 2**27
"""Of a raster, under a row of a patch or some; and under all rows together. At 0.25 m a patch has 2^27."""
MAX_NUMBER, MIN_AREA = 1e12, 1e-18
"""Of where a raster lies, and of one of its pixels."""
_NAME = "label.tif"
_NOTHING = 254
"""Stands for no code: beside a raster, or where it has none."""
_TYPES = {"uint8", "int8", "uint16", "int16", "uint32", "int32"}
_WHAT = "the label raster (LANDPATCH_LABEL_SOURCE)"
_FOREIGN = ("PARAMETERFILE", "EXTENSION", "GRIDS")
"""What in the definition of a CRS may name a file."""


@dataclass(frozen=True, slots=True)
class _Head:
    """What is known of a raster before its pixels are read."""

    grid: ClassGrid
    nodata: int | None


class _Raster:
    """A raster that is opened for each read; what was read of it last is kept."""

    def __init__(self, file: RangedFile | LocalFile, what: str, edition: int | None) -> None:
        self._file = file
        self.what = what
        self._edition = edition
        self._head: _Head | None = None

    @property
    def requests(self) -> int:
        """What has been asked of a server so far."""
        return self._file.requests

    def head(self) -> _Head:
        """Look at it once. Raises ConfigurationError for what is no raster of classes, RequestError for a
        year that has none."""
        if self._head is None:
            try:
                with self._opened([]) as raster:
                    self._head = _check(raster, self.what)
            except AbsentError as error:
                if self._edition is not None:
                    raise RequestError(f"{self.what}: there is none of {self._edition}") from error
                raise ConfigurationError(f"{self.what} is not there") from error
            except PermanentError as error:
                raise ConfigurationError(str(error)) from error
        return self._head

    @contextmanager
    def reading(self) -> Iterator[Callable[[Window], NDArray[np.integer]]]:
        """Gives a function that reads the codes of a window, (y, x)."""
        failures: list[LandpatchError] = []
        with self._opened(failures) as raster:
            if _check(raster, self.what) != self.head():
                self._head = None
                raise TransientError(f"{self.what} has been replaced while it was read")

            pixels = 0

            def read(window: Window) -> NDArray[np.integer]:
                nonlocal pixels
                size = window.width * window.height
                pixels += size
                if size > MAX_WINDOW_PIXELS or pixels > MAX_PATCH_PIXELS:
                    raise PermanentError(f"{self.what}: its pixels are too small to be read; make it coarser")
                place = RasterWindow(window.col, window.row, window.width, window.height)
                codes: NDArray[np.integer] = raster.read(1, window=place)
                return codes

            yield read

    @contextmanager
    def _opened(self, failures: list[LandpatchError]) -> Iterator[DatasetReader]:
        """failures: filled with what goes wrong underneath, which GDAL does not always tell."""

        def give(path: str, *_: object, **__: object) -> FileView:
            if path not in {_NAME, "test"}:  # the latter is rasterio's own trial
                raise FileNotFoundError(path)
            return FileView(self._file, failures)

        try:
            with gdal_env(), rasterio.open(_NAME, opener=give, driver="GTiff", sharing=False) as raster:
                if failures:
                    raise failures[0]
                yield raster
        except RasterioError as error:
            if failures:
                raise failures[0] from error
            raise ConfigurationError(f"{self.what} is no whole GeoTIFF: {str(error)[-150:]}") from error


def _check(raster: DatasetReader, what: str) -> _Head:
    """Raise ConfigurationError for what is no raster of classes in a known place."""
    if raster.dtypes[0] not in _TYPES:
        raise ConfigurationError(f"{what} has pixels of {raster.dtypes[0]}; classes are whole numbers")
    rows, cols = raster.block_shapes[0]
    if rows * cols > MAX_BLOCK_PIXELS:
        raise ConfigurationError(f"{what} has blocks of {cols} x {rows} pixels; write it with tiles of 512")
    if raster.crs is None:
        raise ConfigurationError(f"{what} does not say its CRS")
    a, b, c, d, e, f = tuple(raster.transform)[:6]
    numbers = (a, b, c, d, e, f)
    within = all(abs(number) <= MAX_NUMBER for number in numbers) and abs(a * e - b * d) >= MIN_AREA
    if not within or raster.transform == raster.transform.identity():
        raise ConfigurationError(f"{what} does not say where its pixels lie")
    nodata = None if raster.nodata is None or not float(raster.nodata).is_integer() else int(raster.nodata)
    grid = ClassGrid(_name_crs(raster.crs.to_wkt(), what), numbers, raster.width, raster.height)
    return _Head(grid, nodata)


def _name_crs(wkt: str, what: str) -> str:
    """A CRS that PROJ can be given: one that names no file."""
    try:
        crs = CRS.from_wkt(wkt)
    except CRSError as error:
        raise ConfigurationError(f"{what} has a CRS that is not understood") from error
    if (epsg := crs.to_epsg()) is not None:
        return f"EPSG:{epsg}"
    if any(word in wkt.upper() for word in _FOREIGN):
        raise ConfigurationError(f"{what} has a CRS that names a file; write it in one of EPSG's")
    return wkt


@dataclass(frozen=True, slots=True)
class RasterLabels:
    """Rasters, and the table that makes their codes classes: a source of labels."""

    files: tuple[str, ...]
    """Paths or addresses, the first choice first; `{year}` in them stands for the edition."""
    table: ClassTable
    resampling: Resampling
    session: requests.Session
    _rasters: dict[str, _Raster]

    @property
    def recipe(self) -> str:
        """Changes when other labels would come out, as far as names and table tell."""
        names = ",".join(_shorten(file) for file in self.files)
        return f"raster={names};classes={self.table.digest};{self.resampling}"

    @property
    def names(self) -> Mapping[int, str]:
        """Of one's own classes."""
        return self.table.names

    @property
    def usual_limits(self) -> WindowLimits:
        """As many patches as make a task of some seconds."""
        return LIMITS

    @property
    def editions(self) -> None:
        """Any year may be asked for."""
        return None

    def check(self, edition: int) -> None:
        """Open every raster. Raises RequestError for a year that has none, ConfigurationError for what is no
        raster of classes, TransientError when a server does not answer."""
        for raster in self._open(edition):
            raster.head()

    def limits(self, edition: int) -> WindowLimits:
        """As usual; nothing is asked for."""
        return LIMITS

    def fetch(self, edition: int, patches: Sequence[Patch]) -> "_Labels":
        """Nothing is read before a patch is cut."""
        return _Labels(self._open(edition), self.table, self.resampling)

    def _open(self, edition: int) -> tuple[_Raster, ...]:
        named = [file.replace("{year}", str(edition)) for file in self.files]
        for file, name in zip(self.files, named, strict=True):
            if name not in self._rasters:
                self._rasters[name] = _open_raster(name, self.session, edition if file != name else None)
        return tuple(self._rasters[name] for name in named)


class _Labels:
    """Labels of patches, cut out of rasters as they are asked for."""

    def __init__(self, rasters: Sequence[_Raster], table: ClassTable, resampling: Resampling) -> None:
        self._rasters = rasters
        self._table = table
        self._resampling = resampling
        self._begin = sum(raster.requests for raster in rasters)

    @property
    def requests(self) -> int:
        """What it has taken so far."""
        return sum(raster.requests for raster in self._rasters) - self._begin

    def cut(self, patch: Patch) -> NDArray[np.uint8]:
        """As of `LabelWindow`. Where several rasters overlap, the first that has a code there counts; what
        none has is 0."""
        classes = np.zeros((PATCH_SIZE_PX, PATCH_SIZE_PX), dtype="uint8")
        seen = np.zeros(classes.shape, dtype=np.bool_)
        for raster in self._rasters:
            found, there = self._cut_one(raster, patch)
            new = there & ~seen
            classes[new] = found[new]
            seen |= there
            if seen.all():
                break
        return classes

    def _cut_one(self, raster: _Raster, patch: Patch) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """What one raster says of a patch, and where it says something; each (250, 250)."""
        classes = np.zeros((PATCH_SIZE_PX, PATCH_SIZE_PX), dtype="uint8")
        there = np.zeros(classes.shape, dtype=np.bool_)
        try:
            with raster.reading() as read:
                for sampling in sample_grid(patch, raster.head().grid, self._resampling):
                    if sampling.window is not None:
                        points = self._look(raster, read(sampling.window), sampling, patch)
                        chosen = vote(points, sampling.parts)
                        there[sampling.rows] = chosen != _NOTHING
                        classes[sampling.rows] = np.where(chosen == _NOTHING, 0, chosen)
        except ProjError:
            pass  # so far away that the raster's CRS does not reach there
        return classes, there

    def _look(
        self, raster: _Raster, codes: NDArray[np.integer], sampling: Sampling, patch: Patch
    ) -> NDArray[np.uint8]:
        """The classes at the points; _NOTHING where the raster has none. codes: of the window."""
        found = codes.ravel()[sampling.position]
        nothing = ~sampling.inside
        if (nodata := raster.head().nodata) is not None:
            nothing |= found == nodata
        classes = self._table.apply(found)
        classes[nothing] = _NOTHING
        unknown = classes == UNKNOWN
        if unknown.any():
            named = ", ".join(map(str, np.unique(found[unknown])[:10]))
            where = ",".join(map(str, patch.bounds))
            raise PermanentError(
                f"{raster.what}, window {where}: codes {named} are not in the table (LANDPATCH_LABEL_CLASSES)"
            )
        return classes


def _shorten(name: str) -> str:
    """The last part of a path or address; what follows a `?` may be a signature."""
    return name.partition("?")[0].rsplit("/", 1)[-1]


def _open_raster(name: str, session: requests.Session, edition: int | None) -> _Raster:
    """A raster by its path or address; edition: the year, where that is part of the name."""
    what = f"{_WHAT} {_shorten(name)}"
    if name.startswith(("http://", "https://")):
        return _Raster(RangedFile(session, name, what), what, edition)
    return _Raster(LocalFile(Path(name), what), what, edition)


def open_raster_labels(
    files: Sequence[str], table: ClassTable, resampling: Resampling, session: requests.Session
) -> RasterLabels:
    """A source of labels; nothing is opened yet. files: paths or addresses, perhaps with `{year}`."""
    return RasterLabels(tuple(files), table, resampling, session, {})
