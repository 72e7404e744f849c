"""Classes of any raster -> patch grid: by the pixel that holds a centre, or by what covers most. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from landpatch.patch import CRS, PATCH_SIZE_PX, PIXEL_SIZE_M, Patch
from landpatch.warp import NativeGrid, Window, project_patch, project_pixels

Resampling = Literal["nearest", "majority"]
MOST_PARTS = 20
"""A patch pixel is looked at in at most 20 x 20 points."""
_STRIP_POINTS, _STRIP_PIXELS = 1_000_000, 4_000_000
"""So many points, and about so many pixels, are worked on at a time."""


@dataclass(frozen=True, slots=True)
class ClassGrid:
    """The pixel grid of a raster in any CRS."""

    crs: str
    """As WKT, or `EPSG:…`."""
    transform: tuple[float, float, float, float, float, float]
    """a, b, c, d, e, f: x = a col + b row + c, y = d col + e row + f, of a pixel's outer upper-left
    corner."""
    width: int
    height: int

    def locate(
        self, x: NDArray[np.float64], y: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Columns and rows of points in `crs`; whole numbers are outer edges of pixels."""
        a, b, c, d, e, f = self.transform
        area = a * e - b * d
        return (e * (x - c) - b * (y - f)) / area, (a * (y - f) - d * (x - c)) / area


@dataclass(frozen=True, slots=True)
class Sampling:
    """Which pixels of a grid the points of some rows of a patch fall on."""

    rows: slice
    """The patch's rows."""
    parts: int
    """Points an axis of each patch pixel, in the middles of as many parts."""
    window: Window | None
    """The part of the grid that they fall in; None when they all fall beside it."""
    position: NDArray[np.intp]
    """(rows k, 250 k): place in the flat window, 0 where a point falls beside the grid."""
    inside: NDArray[np.bool_]
    """(rows k, 250 k): whether it falls on the grid."""


def sample_grid(patch: Patch, grid: ClassGrid, resampling: Resampling) -> Iterator[Sampling]:
    """Find the pixels that the points of a patch fall on, some of its rows at a time.

    A point on the border of two pixels belongs to the one with the higher number.
    """
    places = grid.locate(*project_patch(patch.xmin, patch.ymin, grid.crs))
    step = max(float(np.abs(np.diff(place, axis=axis)).max()) for place in places for axis in (0, 1))
    parts = count_parts(step, resampling)
    rows = int(min(_STRIP_POINTS // (PATCH_SIZE_PX * parts**2), _STRIP_PIXELS // (PATCH_SIZE_PX * step**2)))
    for first in range(0, PATCH_SIZE_PX, max(1, rows)):
        yield _sample_rows(patch, grid, parts, slice(first, min(first + max(1, rows), PATCH_SIZE_PX)))


def count_parts(step: float, resampling: Resampling) -> int:
    """At how many points an axis a patch pixel has to be looked at: one for `nearest`; for `majority` twice
    as many as it has pixels of the raster, so that all count alike where the two grids agree.

    step: the length of a patch pixel in pixels of the raster.
    """
    return 1 if resampling == "nearest" else min(2 * max(1, int(np.ceil(round(step, 6)))), MOST_PARTS)


def _sample_rows(patch: Patch, grid: ClassGrid, parts: int, rows: slice) -> Sampling:
    top = patch.bounds[3] - rows.start * PIXEL_SIZE_M
    height, width = (rows.stop - rows.start) * parts, PATCH_SIZE_PX * parts
    points = NativeGrid(CRS, patch.xmin, top, PIXEL_SIZE_M / parts, width, height)
    col, row = grid.locate(*project_pixels(points, grid.crs))
    inside = (col >= 0) & (row >= 0) & (col < grid.width) & (row < grid.height)
    position = np.zeros(col.shape, dtype=np.intp)
    if not inside.any():
        return Sampling(rows, parts, None, position, inside)
    cols_in, rows_in = np.floor(col[inside]).astype(np.intp), np.floor(row[inside]).astype(np.intp)
    col0, row0 = int(cols_in.min()), int(rows_in.min())
    width, height = int(cols_in.max()) - col0 + 1, int(rows_in.max()) - row0 + 1
    position[inside] = (rows_in - row0) * width + (cols_in - col0)
    return Sampling(rows, parts, Window(col0, row0, width, height), position, inside)


def vote(points: NDArray[np.uint8], parts: int) -> NDArray[np.uint8]:
    """The class that most points of each patch pixel have, no label being one of them; of several the one
    south-east of the centre, then the lowest.

    points: (rows k, 250 k). parts: k. Returns (rows, 250).
    """
    if parts == 1:
        return points
    shape = (-1, parts, PATCH_SIZE_PX, parts)
    within = points.reshape(shape).transpose(0, 2, 1, 3).reshape(-1, PATCH_SIZE_PX, parts * parts)
    centre = within[..., (parts + 1) * (parts // 2)]
    best = np.full(centre.shape, -1, dtype="int16")
    chosen = np.zeros(centre.shape, dtype="uint8")
    for one in np.unique(points):
        votes = 2 * np.count_nonzero(within == one, axis=-1) + (centre == one)
        more = votes > best
        best[more] = votes[more]
        chosen[more] = one
    return chosen
