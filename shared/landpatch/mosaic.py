"""Patches -> one picture of a region on the grid of web maps, at every zoom."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from pyproj import Transformer

from landpatch import mercator
from landpatch.mercator import TILE_SIZE_PX, Bounds, Frame
from landpatch.patch import CRS as GRID_CRS
from landpatch.patch import PATCH_SIZE_M, PATCH_SIZE_PX, PIXEL_SIZE_M, Patch
from landpatch.picture import pick_bands
from landpatch.warp import NativeGrid, Scalar, Warp, project_pixels

MAP_BANDS = ("B2", "B3", "B4", "B8")
"""What a map needs: true colour, false colour and NDVI."""
UNIT = 10_000
"""A reflectance of 1, in a mosaic's numbers."""
_FACTORS = (50, 25, 10, 5, 2, 1)
"""By which a patch's pixels can be put together."""


@dataclass(frozen=True, slots=True)
class Mosaic:
    """Part of a web map, north up."""

    frame: Frame
    reflectance: NDArray[np.int16]
    """(band, y, x) of MAP_BANDS, in units of 1/10000."""
    observed: NDArray[np.bool_]
    """(y, x): there is a patch, and it was observed here."""
    label: NDArray[np.uint8]
    """(y, x): class of the label; 0 where there is none."""

    def lay(self, patch: Patch, image: NDArray[np.float64] | None, label: NDArray[np.uint8] | None) -> None:
        """Warp a patch to its place: reflectance bilinear, classes nearest.

        image: (14, 250, 250) as of `picture`, label: (250, 250) classes; None where there is none. A pixel
        of the map takes its values from the patch that holds its centre, and is observed where the patch's
        pixel that holds it is.
        """
        rows, cols = self.frame.part(patch_bounds(patch))
        target = self.frame.grid(rows, cols)
        x, y = project_pixels(target, GRID_CRS)
        if image is not None:
            bands = pick_bands(image, MAP_BANDS)
            ground = target.pixel_size_m * mercator.ground_scale(target.top)
            factor = next(f for f in _FACTORS if f * PIXEL_SIZE_M <= max(ground, PIXEL_SIZE_M))
            means, observed = _put_together(bands, (image != 0).any(axis=0), factor)
            warp = Warp(x, y, _grid_of(patch, factor))
            for number, band in enumerate(means):
                values, seen = warp.bilinear(_window(warp, band), _window(warp, observed))
                place = self.reflectance[number, rows, cols]
                place[seen] = np.rint(np.clip(values[seen] * UNIT, -32768, 32767))
            self.observed[rows, cols] |= seen
        if label is not None:
            warp = Warp(x, y, _grid_of(patch, 1))
            taken = warp.take_nearest(_window(warp, label), outside=0)
            np.copyto(self.label[rows, cols], taken, where=taken != 0)

    def halve(self) -> "Mosaic":
        """The same one zoom further out: the mean reflectance of what was observed of four pixels, and the
        class of one of them; nothing where three of the four had nothing."""
        half = make_mosaic(self.frame.parent)
        height, width = (size // 2 for size in self.frame.shape)
        row = (self.frame.row - 2 * half.frame.row) * TILE_SIZE_PX // 2
        col = (self.frame.col - 2 * half.frame.col) * TILE_SIZE_PX // 2
        rows, cols = slice(row, row + height), slice(col, col + width)
        count = _add_quarters(self.observed)
        for band, place in zip(self.reflectance, half.reflectance[:, rows, cols], strict=True):
            place[:] = _add_quarters(band) // np.maximum(count, 1)
        half.observed[rows, cols] = count >= 2
        half.reflectance[:, ~half.observed] = 0
        half.label[rows, cols] = _pick_quarters(self.label)
        return half

    def tiles(self) -> Iterator["Mosaic"]:
        """Its tiles that show something, row by row."""
        for row in range(self.frame.rows):
            for col in range(self.frame.cols):
                rows, cols = (slice(n * TILE_SIZE_PX, (n + 1) * TILE_SIZE_PX) for n in (row, col))
                observed, label = self.observed[rows, cols], self.label[rows, cols]
                if observed.any() or label.any():
                    frame = Frame(self.frame.zoom, self.frame.col + col, self.frame.row + row, 1, 1)
                    yield Mosaic(frame, self.reflectance[:, rows, cols], observed, label)


def make_mosaic(frame: Frame) -> Mosaic:
    """A mosaic that shows nothing yet."""
    # Memory that is never written to, around a region, is never taken.
    return Mosaic(
        frame,
        np.zeros((len(MAP_BANDS), *frame.shape), dtype="int16"),
        np.zeros(frame.shape, dtype="bool"),
        np.zeros(frame.shape, dtype="uint8"),
    )


@lru_cache(maxsize=1)
def _to_mercator() -> Transformer:
    return Transformer.from_crs(GRID_CRS, mercator.CRS, always_xy=True)


def patch_bounds(*patches: Patch) -> Bounds:
    """The rectangle of a web map that holds patches."""
    # The edges between the corners are straight to a few centimetres.
    corner = np.array([(patch.xmin, patch.ymin) for patch in patches], dtype="float64")
    east, north = (corner[:, axis, None] + np.array(reach) for axis, reach in ((0, _EAST), (1, _NORTH)))
    x, y = _to_mercator().transform(east, north, errcheck=True)
    return float(x.min()), float(y.min()), float(x.max()), float(y.max())


_EAST, _NORTH = (0, PATCH_SIZE_M, PATCH_SIZE_M, 0), (0, 0, PATCH_SIZE_M, PATCH_SIZE_M)


def _grid_of(patch: Patch, factor: int) -> NativeGrid:
    """A patch's pixels, `factor` x `factor` of them put together."""
    size = PATCH_SIZE_PX // factor
    return NativeGrid(GRID_CRS, patch.xmin, patch.ymin + PATCH_SIZE_M, PIXEL_SIZE_M * factor, size, size)


def _window(warp: Warp, values: NDArray) -> NDArray:  # type: ignore[type-arg]
    at = warp.window
    assert at is not None  # noqa: S101  # the part of the map was chosen to touch the patch
    return values[at.row : at.row + at.height, at.col : at.col + at.width]


def _put_together(
    bands: NDArray[np.floating], observed: NDArray[np.bool_], factor: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Means of `factor` x `factor` pixels over what was observed of them; observed where half of it was."""
    if factor == 1:
        return bands.astype("float32"), observed
    size = PATCH_SIZE_PX // factor
    shape = (size, factor, size, factor)
    count = observed.reshape(shape).sum(axis=(1, 3))
    means = bands.reshape(-1, *shape).sum(axis=(2, 4)) / np.maximum(count, 1)
    return means.astype("float32"), 2 * count >= factor**2


def _quarters(values: NDArray[Scalar]) -> list[NDArray[Scalar]]:
    """The four pixels that become one, each (y / 2, x / 2)."""
    return [values[row::2, col::2] for row in (0, 1) for col in (0, 1)]


def _add_quarters(values: NDArray[np.int16] | NDArray[np.bool_]) -> NDArray[np.int32]:
    total = np.zeros((values.shape[0] // 2, values.shape[1] // 2), dtype="int32")
    for quarter in _quarters(values):
        total += quarter
    return total


def _pick_quarters(label: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The first class of four; 0 where three of them are 0."""
    first, *others = _quarters(label)
    picked = first.copy()
    for other in others:
        np.copyto(picked, other, where=picked == 0)
    picked[_add_quarters(label != 0) < 2] = 0
    return picked
