"""Native window -> patch grid: one true warp, straight from a band's UTM grid to EPSG:3035."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray
from pyproj import Transformer

from landpatch.patch import CRS, PATCH_SIZE_M, PATCH_SIZE_PX, PIXEL_SIZE_M, Patch

Scalar = TypeVar("Scalar", bound=np.generic)
Place = TypeVar("Place", float, NDArray[np.float64])

_NODES = 12
"""Chebyshev nodes an axis. Over 2.5 km the projections differ from the interpolating polynomial by
less than a micrometre (tests/unit/test_warp.py), at 1/400 of the cost of every pixel by itself."""


@dataclass(frozen=True, slots=True)
class NativeGrid:
    """The pixel grid of a band file: north up, square pixels."""

    crs: str
    """Such as `EPSG:32631`."""
    left: float
    """Outer left edge, metres in `crs`."""
    top: float
    """Outer upper edge, metres in `crs`."""
    pixel_size_m: float
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Window:
    """A part of a native grid, in pixels."""

    col: int
    row: int
    width: int
    height: int


@lru_cache(maxsize=16)
def _transformer(source: str, target: str) -> Transformer:
    return Transformer.from_crs(source, target, always_xy=True)


@lru_cache(maxsize=16)
def _interpolation(size_px: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Chebyshev nodes on [-1, 1] and the (pixel, node) matrix from nodes to pixel centres."""
    nodes = np.cos(np.pi * (np.arange(_NODES) + 0.5) / _NODES)
    centres = (np.arange(size_px) + 0.5) / size_px * 2 - 1
    vander = np.polynomial.chebyshev.chebvander
    matrix = np.linalg.solve(vander(nodes, _NODES - 1).T, vander(centres, _NODES - 1).T).T
    return nodes, np.asarray(matrix, dtype="float64")


def project_patch(xmin: int, ymin: int, crs: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where the pixel centres of a patch lie in another CRS.

    xmin, ymin: lower-left corner, metres, EPSG:3035. Returns x, y in `crs`, each (250, 250) float64,
    row 0 in the north.
    """
    grid = NativeGrid(CRS, xmin, ymin + PATCH_SIZE_M, PIXEL_SIZE_M, PATCH_SIZE_PX, PATCH_SIZE_PX)
    return project_pixels(grid, crs)


def project_pixels(grid: NativeGrid, crs: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where the pixel centres of a grid of a few kilometres lie in another CRS: x, y, each (y, x) float64."""
    col_nodes, to_cols = _interpolation(grid.width)
    row_nodes, to_rows = _interpolation(grid.height)
    half_width, half_height = grid.width * grid.pixel_size_m / 2, grid.height * grid.pixel_size_m / 2
    east, north = np.meshgrid(
        grid.left + half_width + col_nodes * half_width, grid.top - half_height - row_nodes * half_height
    )
    x, y = _transformer(grid.crs, crs).transform(east, north, errcheck=True)
    return to_rows @ x @ to_cols.T, to_rows @ y @ to_cols.T


def project_corners(patches: Sequence[Patch], crs: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where the centres of the four corner pixels of patches lie in another CRS: x, y, each (patch, 4)."""
    reach = np.array([PIXEL_SIZE_M / 2, PATCH_SIZE_M - PIXEL_SIZE_M / 2])
    corner = np.array([(patch.xmin, patch.ymin) for patch in patches], dtype="float64").reshape(-1, 2)
    east = corner[:, 0, None] + np.repeat(reach, 2)
    north = corner[:, 1, None] + np.tile(reach, 2)
    x, y = _transformer(CRS, crs).transform(east, north, errcheck=True)
    return np.asarray(x), np.asarray(y)


def needed_window(
    x: NDArray[np.float64], y: NDArray[np.float64], grid: NativeGrid, margin: int = 0
) -> Window | None:
    """The part of a grid that a bilinear warp to points touches; None when it touches none.

    x, y: points in the grid's CRS, any shape. margin: native pixels to add on every side.
    """
    return _window(*_reach(x, y, grid), grid, margin)


def _window(
    col: tuple[float, float], row: tuple[float, float], grid: NativeGrid, margin: int
) -> Window | None:
    col0 = max(math.floor(col[0]) - margin, 0)
    row0 = max(math.floor(row[0]) - margin, 0)
    col1 = min(math.floor(col[1]) + 2 + margin, grid.width)
    row1 = min(math.floor(row[1]) + 2 + margin, grid.height)
    if col0 >= col1 or row0 >= row1:
        return None
    return Window(col0, row0, col1 - col0, row1 - row0)


def _reach(
    x: NDArray[np.float64], y: NDArray[np.float64], grid: NativeGrid
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Least and greatest column, least and greatest row of points, see `_to_col` and `_to_row`.

    Both only rise or only fall, rounding included, so the extremes of the points are those of their pixels.
    """
    return (
        (_to_col(float(x.min()), grid), _to_col(float(x.max()), grid)),
        (_to_row(float(y.max()), grid), _to_row(float(y.min()), grid)),
    )


def _to_col(x: Place, grid: NativeGrid) -> Place:
    """Columns of points; whole numbers are pixel centres, so -0.5 is the grid's outer left edge."""
    return (x - grid.left) / grid.pixel_size_m - 0.5


def _to_row(y: Place, grid: NativeGrid) -> Place:
    """Rows of points; whole numbers are pixel centres, so -0.5 is the grid's outer upper edge."""
    return (grid.top - y) / grid.pixel_size_m - 0.5


class Warp:
    """From one native grid to one patch, or another grid: made once, used for every band of that grid."""

    def __init__(self, x: NDArray[np.float64], y: NDArray[np.float64], grid: NativeGrid) -> None:
        """x, y: the patch's pixel centres in the grid's CRS, each (250, 250), see `project_patch`; or those
        of another grid, see `project_pixels`."""
        self.grid = grid
        reach = _reach(x, y, grid)
        self.window = _window(*reach, grid, margin=0)
        """The part of the grid whose pixels the warp takes; None when the grid has none of the patch."""
        if self.window is None:
            return
        self._x, self._y = x, y
        (left, right), (upper, lower) = reach
        self._inner = (
            left >= self.window.col
            and upper >= self.window.row
            and right - self.window.col <= self.window.width - 1
            and lower - self.window.row <= self.window.height - 1
        )
        """Every patch pixel has four native neighbours in the window."""
        self._cols = (_to_col(x, grid) - self.window.col).astype("float32")
        self._rows = (_to_row(y, grid) - self.window.row).astype("float32")

    @cached_property
    def _nearest(self) -> tuple[NDArray[np.intp], NDArray[np.bool_] | None]:
        """Position in the flat window of the native pixel that holds each patch pixel's centre, 0 where
        the window has none, and where it has none; each (250, 250), None where it has all."""
        assert self.window is not None  # noqa: S101  # there is nothing to take from otherwise
        col = np.floor(_to_col(self._x, self.grid) + 0.5).astype(np.intp) - self.window.col
        row = np.floor(_to_row(self._y, self.grid) + 0.5).astype(np.intp) - self.window.row
        position = row * self.window.width + col
        if self._inner:
            return position, None
        outside = (col < 0) | (col >= self.window.width) | (row < 0) | (row >= self.window.height)
        position[outside] = 0
        return position, outside

    def take_nearest(self, values: NDArray[Scalar], outside: int) -> NDArray[Scalar]:
        """Resample a categorical layer: each patch pixel takes the native pixel that holds its centre.

        values: (y, x) of the warp's window. Returns (250, 250) of the same dtype, `outside` where the
        grid has no pixel.
        """
        position, none = self._nearest
        taken: NDArray[Scalar] = values.ravel()[position]
        if none is not None:
            taken[none] = outside
        return taken

    def bilinear(
        self, values: NDArray[np.float32], observed: NDArray[np.bool_]
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Resample a band, bilinear, never mixing "no observation" into a value.

        values: (y, x) float32, 0 where not observed, and observed: (y, x), both of the warp's window.
        Weights renormalise over the observed neighbours; a patch pixel is observed where the native pixel
        that holds its centre is.

        Returns values (250, 250) float32, 0 where not observed, and observed (250, 250).
        """
        warped = self._remap(values)
        if self._inner and observed.all():
            return warped, np.ones(warped.shape, dtype=np.bool_)
        seen = self.take_nearest(observed, outside=False)
        weight = self._remap(observed.astype("float32"))
        weight[weight <= 0] = 1
        np.divide(warped, weight, out=warped)
        warped[~seen] = 0
        return warped, seen

    def _remap(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        remapped = cv2.remap(
            values, self._cols, self._rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=0
        )
        return np.asarray(remapped, dtype="float32")
