"""Native window -> patch grid: one true warp, straight from a band's UTM grid to EPSG:3035."""

from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray
from pyproj import Transformer

from landpatch.grid import CRS, PATCH_SIZE_M, PATCH_SIZE_PX

Scalar = TypeVar("Scalar", bound=np.generic)

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
def _transformer(crs: str) -> Transformer:
    return Transformer.from_crs(CRS, crs, always_xy=True)


@lru_cache(maxsize=1)
def _interpolation() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Chebyshev nodes on [-1, 1] and the (pixel, node) matrix from nodes to pixel centres."""
    nodes = np.cos(np.pi * (np.arange(_NODES) + 0.5) / _NODES)
    centres = (np.arange(PATCH_SIZE_PX) + 0.5) / PATCH_SIZE_PX * 2 - 1
    vander = np.polynomial.chebyshev.chebvander
    matrix = np.linalg.solve(vander(nodes, _NODES - 1).T, vander(centres, _NODES - 1).T).T
    return nodes, np.asarray(matrix, dtype="float64")


def project_patch(xmin: int, ymin: int, crs: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where the pixel centres of a patch lie in another CRS.

    xmin, ymin: lower-left corner, metres, EPSG:3035. Returns x, y in `crs`, each (250, 250) float64,
    row 0 in the north.
    """
    nodes, matrix = _interpolation()
    half = PATCH_SIZE_M / 2
    east, north = np.meshgrid(xmin + half + nodes * half, ymin + half - nodes * half)
    x, y = _transformer(crs).transform(east, north, errcheck=True)
    return _spread(x, matrix), _spread(y, matrix)


def _spread(nodes: NDArray[np.float64], matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values at the nodes -> values at the pixel centres."""
    spread: NDArray[np.float64] = matrix @ nodes @ matrix.T
    return spread


@dataclass(frozen=True, slots=True)
class PatchMap:
    """Where each pixel of a patch takes its value from, in pixels of a native grid."""

    col: NDArray[np.float64]
    """(250, 250); whole numbers are pixel centres, so -0.5 is the grid's outer left edge."""
    row: NDArray[np.float64]
    """(250, 250); whole numbers are pixel centres, so -0.5 is the grid's outer upper edge."""

    def nearest(self, grid: NativeGrid) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.bool_]]:
        """Row and column of the native pixel that holds each patch pixel's centre, and whether the
        grid has it; each (250, 250)."""
        col = np.floor(self.col + 0.5).astype(np.intp)
        row = np.floor(self.row + 0.5).astype(np.intp)
        inside = (col >= 0) & (col < grid.width) & (row >= 0) & (row < grid.height)
        return row, col, inside


def map_patch(x: NDArray[np.float64], y: NDArray[np.float64], grid: NativeGrid) -> PatchMap:
    """Coordinates of a patch's pixel centres in the grid's CRS, each (250, 250) -> a PatchMap."""
    return PatchMap(
        col=(x - grid.left) / grid.pixel_size_m - 0.5, row=(grid.top - y) / grid.pixel_size_m - 0.5
    )


def needed_window(patch_map: PatchMap, grid: NativeGrid) -> Window | None:
    """The part of the grid that a bilinear warp of the patch touches; None when it touches none."""
    col0 = max(int(np.floor(patch_map.col.min())), 0)
    row0 = max(int(np.floor(patch_map.row.min())), 0)
    col1 = min(int(np.floor(patch_map.col.max())) + 2, grid.width)
    row1 = min(int(np.floor(patch_map.row.max())) + 2, grid.height)
    if col0 >= col1 or row0 >= row1:
        return None
    return Window(col0, row0, col1 - col0, row1 - row0)


def join_windows(windows: list[Window]) -> Window:
    """The smallest window that holds all the windows given (at least one)."""
    col, row = min(w.col for w in windows), min(w.row for w in windows)
    right = max(w.col + w.width for w in windows)
    bottom = max(w.row + w.height for w in windows)
    return Window(col, row, right - col, bottom - row)


def warp_bilinear(
    values: NDArray[np.float32],
    observed: NDArray[np.bool_],
    window: Window,
    patch_map: PatchMap,
    grid: NativeGrid,
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Resample a band to a patch, bilinear, never mixing "no observation" into a value.

    values: (y, x) float32, 0 where not observed, and observed: (y, x), both of the part `window` of
    the grid. Weights renormalise over the observed neighbours; a patch pixel is observed where the
    native pixel that holds its centre is.

    Returns values (250, 250) float32, 0 where not observed, and observed (250, 250).
    """
    cols = (patch_map.col - window.col).astype("float32")
    rows = (patch_map.row - window.row).astype("float32")
    warped: NDArray[np.float32] = _remap(values, cols, rows)
    seen = take_nearest(observed, window, patch_map, grid, outside=False)
    inner = cols.min() >= 0 and rows.min() >= 0
    inner = inner and cols.max() <= window.width - 1 and rows.max() <= window.height - 1
    if not inner or not observed.all():
        weight = _remap(observed.astype("float32"), cols, rows)
        weight[weight <= 0] = 1
        np.divide(warped, weight, out=warped)
    warped[~seen] = 0
    return warped, seen


def take_nearest(
    values: NDArray[Scalar], window: Window, patch_map: PatchMap, grid: NativeGrid, outside: object
) -> NDArray[Scalar]:
    """Resample a categorical layer to a patch: each patch pixel takes the native pixel that holds its
    centre. values: (y, x) of the part `window` of the grid. Returns (250, 250) of the same dtype,
    `outside` where the window has no pixel.
    """
    row, col, inside = patch_map.nearest(grid)
    row, col = row - window.row, col - window.col
    inside &= (row >= 0) & (col >= 0) & (row < window.height) & (col < window.width)
    taken: NDArray[Scalar] = np.full(row.shape, outside, dtype=values.dtype)
    taken[inside] = values[row[inside], col[inside]]
    return taken


def _remap(
    values: NDArray[np.float32], cols: NDArray[np.float32], rows: NDArray[np.float32]
) -> NDArray[np.float32]:
    remapped = cv2.remap(values, cols, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=0)
    return np.asarray(remapped, dtype="float32")
