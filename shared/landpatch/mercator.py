"""Web Mercator: the tiles that web maps are made of.

Source: OGC Two Dimensional Tile Matrix Set 2.0, "WebMercatorQuad"; tile (0, 0) is in the north-west.
"""

import math
from dataclasses import dataclass

from landpatch.warp import NativeGrid

CRS = "EPSG:3857"
TILE_SIZE_PX = 256
MAX_ZOOM = 22
_HALF_M = math.pi * 6_378_137
"""From the middle of the map to its edges."""

Bounds = tuple[float, float, float, float]
"""xmin, ymin, xmax, ymax, metres, EPSG:3857."""


def pixel_size_m(zoom: int) -> float:
    """Of a tile's pixel, in the map's metres, which are longer than metres on the ground off the equator."""
    return 2 * _HALF_M / (TILE_SIZE_PX << zoom)


def ground_scale(y: float) -> float:
    """Metres on the ground per metre of the map, at a northing of the map."""
    return 1 / math.cosh(y / 6_378_137)


@dataclass(frozen=True, slots=True)
class Frame:
    """A rectangle of whole tiles of one zoom."""

    zoom: int
    col: int
    """Of the first tile, from the west."""
    row: int
    """Of the first tile, from the north."""
    cols: int
    rows: int

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width, pixels."""
        return self.rows * TILE_SIZE_PX, self.cols * TILE_SIZE_PX

    @property
    def parent(self) -> "Frame":
        """The frame one zoom further out that holds this one."""
        col, row = self.col // 2, self.row // 2
        last_col, last_row = (self.col + self.cols - 1) // 2, (self.row + self.rows - 1) // 2
        return Frame(self.zoom - 1, col, row, last_col - col + 1, last_row - row + 1)

    def grid(self, rows: slice, cols: slice) -> NativeGrid:
        """The pixel grid of a part of the frame, given in its pixels."""
        size = pixel_size_m(self.zoom)
        return NativeGrid(
            CRS,
            left=self.col * TILE_SIZE_PX * size - _HALF_M + cols.start * size,
            top=_HALF_M - self.row * TILE_SIZE_PX * size - rows.start * size,
            pixel_size_m=size,
            width=cols.stop - cols.start,
            height=rows.stop - rows.start,
        )

    def part(self, bounds: Bounds) -> tuple[slice, slice]:
        """Rows and columns of the frame's pixels that touch a rectangle, which lies within the frame."""
        size, (height, width) = pixel_size_m(self.zoom), self.shape
        left, top = self.col * TILE_SIZE_PX * size - _HALF_M, _HALF_M - self.row * TILE_SIZE_PX * size
        xmin, ymin, xmax, ymax = bounds
        rows = slice(max(0, math.floor((top - ymax) / size)), min(height, math.ceil((top - ymin) / size)))
        cols = slice(max(0, math.floor((xmin - left) / size)), min(width, math.ceil((xmax - left) / size)))
        return rows, cols


def cover(bounds: Bounds, zoom: int) -> Frame:
    """The smallest frame that holds a rectangle."""
    size = pixel_size_m(zoom) * TILE_SIZE_PX
    xmin, ymin, xmax, ymax = bounds
    col, row = math.floor((xmin + _HALF_M) / size), math.floor((_HALF_M - ymax) / size)
    last_col, last_row = math.floor((xmax + _HALF_M) / size), math.floor((_HALF_M - ymin) / size)
    return Frame(zoom, col, row, last_col - col + 1, last_row - row + 1)


def choose_zoom(bounds: Bounds, resolution_m: float, most_pixels: int) -> int:
    """The zoom that shows what has a resolution on the ground, in full if that takes no more pixels than
    `most_pixels`."""
    scale = ground_scale((bounds[1] + bounds[3]) / 2)
    zoom = next((z for z in range(MAX_ZOOM) if pixel_size_m(z) * scale <= resolution_m), MAX_ZOOM)
    while zoom > 0 and math.prod(cover(bounds, zoom).shape) > most_pixels:
        zoom -= 1
    return zoom
