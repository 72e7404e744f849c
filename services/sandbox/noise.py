"""Random fields that depend on position and seed alone, so that any two windows agree where they overlap.

Every array is on the 10 m lattice of EPSG:3035: column = floor(x / 10), row = floor(y / 10), and as a
window (y, x) with row 0 in the north.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PIXEL_M = 10


@dataclass(frozen=True, slots=True)
class Window:
    """A rectangle of the 10 m lattice."""

    col: int
    """First column, the western one; x = 10 * col at its western edge."""
    row: int
    """First row, the *southern* one; y = 10 * row at its southern edge."""
    width: int
    height: int

    @property
    def columns(self) -> NDArray[np.int64]:
        """Lattice column of each array column."""
        return np.arange(self.col, self.col + self.width, dtype="int64")

    @property
    def rows(self) -> NDArray[np.int64]:
        """Lattice row of each array row, falling."""
        return np.arange(self.row + self.height - 1, self.row - 1, -1, dtype="int64")

    def shift(self, columns: int, rows: int) -> "Window":
        """The window moved to the east and to the north, in pixels."""
        return Window(self.col + columns, self.row + rows, self.width, self.height)


def mix(seed: int, first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.uint32]:
    """A hash of two integers and a seed, of the arrays' common shape; all 32 bits are random."""
    h = first.astype("uint32") * np.uint32(0x9E3779B1) ^ second.astype("uint32") * np.uint32(0x85EBCA77)
    h = h ^ np.uint32(seed * 0xC2B2AE3D & 0xFFFFFFFF)
    h = (h ^ (h >> np.uint32(15))) * np.uint32(0x2C1B3C6D)
    h = (h ^ (h >> np.uint32(12))) * np.uint32(0x297A2D39)
    return h ^ (h >> np.uint32(15))


def mix_one(seed: int, first: int, second: int) -> int:
    """`mix` of two single integers."""
    return int(mix(seed, np.array([first], dtype="int64"), np.array([second], dtype="int64"))[0])


def smooth_noise(seed: int, window: Window, knot_px: int) -> NDArray[np.float32]:
    """Value noise in [0, 1): random values every `knot_px` pixels, smoothly joined; (y, x) float32."""
    cols, col_weight = _knots(window.columns, knot_px)
    rows, row_weight = _knots(window.rows, knot_px)
    col_knots = np.arange(cols.min(), cols.max() + 2)
    row_knots = np.arange(rows.min(), rows.max() + 2)
    values = mix(seed, col_knots[None, :], row_knots[:, None]).astype("float32") / np.float32(2**32)
    left, right = values[:, cols - col_knots[0]], values[:, cols - col_knots[0] + 1]
    strips = left + (right - left) * col_weight
    below, above = strips[rows - row_knots[0]], strips[rows - row_knots[0] + 1]
    above -= below
    above *= row_weight[:, None]
    above += below
    field: NDArray[np.float32] = above
    return field


def _knots(axis: NDArray[np.int64], knot_px: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    index = axis // knot_px
    part = ((axis - index * knot_px) / knot_px).astype("float32")
    return index, part * part * (3 - 2 * part)
