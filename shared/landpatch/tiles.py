"""A mosaic -> the picture tiles of a web map, one set a layer."""

from collections.abc import Iterator
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from landpatch.legend import NDVI_SCALE
from landpatch.mosaic import MAP_BANDS, UNIT, Mosaic
from landpatch.picture import (
    FALSE_COLOUR,
    TRUE_COLOUR,
    classes,
    color_scale,
    encode_webp,
    find_white,
    stretch,
)
from landpatch.radiometry import normalized_difference

QUALITY = 80
"""Of a photograph's tiles, percent; classes are kept as they are."""
MEDIA_TYPE = "image/webp"
_SAMPLE_PIXELS = 1_000_000
_SMALLEST = 2
"""Tiles across of the last zoom."""


@dataclass(frozen=True, slots=True)
class Tile:
    """A picture of one layer."""

    layer: str
    """`true`, `false`, `ndvi` or `label`."""
    zoom: int
    col: int
    row: int
    data: bytes
    """WebP."""


@dataclass(frozen=True, slots=True)
class Whites:
    """What is shown as white, the same on every tile; in a mosaic's numbers."""

    true: float
    false: float


def find_whites(mosaic: Mosaic) -> Whites:
    """The 98th percentiles of a mosaic's two composites."""
    step = max(1, int((mosaic.observed.size / _SAMPLE_PIXELS) ** 0.5))
    bands, observed = mosaic.reflectance[:, ::step, ::step], mosaic.observed[::step, ::step]
    true, false = (find_white(_pick(bands, names), observed) for names in (TRUE_COLOUR, FALSE_COLOUR))
    return Whites(true, false)


def zoom_out(mosaic: Mosaic) -> Iterator[Mosaic]:
    """A mosaic, and the same at each zoom further out, until it is a few tiles across."""
    yield mosaic
    while mosaic.frame.zoom > 0 and max(mosaic.frame.cols, mosaic.frame.rows) > _SMALLEST:
        mosaic = mosaic.halve()
        yield mosaic


def draw_tiles(mosaic: Mosaic, whites: Whites, pool: Executor) -> Iterator[Tile]:
    """The tiles of every layer at a mosaic's zoom that show something."""
    for drawn in pool.map(lambda tile: list(_draw(tile, whites)), list(mosaic.tiles())):
        yield from drawn


def _draw(tile: Mosaic, whites: Whites) -> Iterator[Tile]:
    frame, observed = tile.frame, tile.observed
    pictures = {
        "true": stretch(_pick(tile.reflectance, TRUE_COLOUR), observed, whites.true),
        "false": stretch(_pick(tile.reflectance, FALSE_COLOUR), observed, whites.false),
        "ndvi": color_scale(_ndvi(tile), observed, NDVI_SCALE),
        "label": classes(tile.label),
    }
    for layer, rgba in pictures.items():
        if rgba[..., 3].any():
            quality = None if layer == "label" else QUALITY
            yield Tile(layer, frame.zoom, frame.col, frame.row, encode_webp(rgba, quality))


def _pick(bands: NDArray[np.int16], names: tuple[str, ...]) -> NDArray[np.float32]:
    return bands[[MAP_BANDS.index(name) for name in names]].astype("float32")


def _ndvi(tile: Mosaic) -> NDArray[np.float64]:
    b8, b4 = (tile.reflectance[MAP_BANDS.index(name)] / UNIT for name in ("B8", "B4"))
    return normalized_difference(b8, b4)
