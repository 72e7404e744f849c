"""The land cover of the sandbox: CLC+ codes at every 10 m of Europe, EPSG:3035.

Genuine CLC+ samples are laid over Europe, one to a macro-cell of about 6 km whose borders wander;
within a macro-cell the sample is mirrored at its edges. Outside the regions of the boundary file it is
sea. A function of position and edition alone.
"""

import gzip
import json
from functools import cache
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio.features import rasterize
from rasterio.transform import from_origin
from shapely.geometry.base import BaseGeometry

from services.sandbox.noise import PIXEL_M, Window, mix, mix_one, smooth_noise

DATA = Path(__file__).parent / "data"
NUTS_FILE = DATA / "NUTS_RG_01M_2021_3035_LEVL_3.geojson.gz"
EDITIONS = (2018, 2021)
COASTAL_SEA, OUTSIDE = 253, 254

_CELL_PX = 450
_WANDER_PX = 160
_SHORE_M = 250
"""The boundary file is generalised: so far out it still is land."""
_COASTAL_M = 5000
_CHUNK_PX = 2048
_SAMPLES = (
    ("swietokrzyski", 3), ("wielkopolski", 4), ("ojcowski", 3), ("gory", 1), ("bory", 1), ("bialowieski", 1)
)  # fmt: skip
"""Each sample and its weight: those with fields and villages more often than those of forest."""


def edition_of(year: int) -> int:
    """The edition that shows a year's land cover."""
    return EDITIONS[0] if year < 2020 else EDITIONS[1]


def class_window(xmin: int, ymin: int, width: int, height: int, edition: int = 2021) -> NDArray[np.uint8]:
    """Land cover of a window, CLC+ codes, (y, x) uint8, row 0 in the north.

    xmin, ymin: lower-left corner, metres, EPSG:3035, multiples of 10. width, height: pixels of 10 m.
    """
    if xmin % PIXEL_M or ymin % PIXEL_M:
        raise ValueError("the window's corner must be a multiple of 10 m")
    codes = np.empty((height, width), dtype="uint8")
    for bottom in range(0, height, _CHUNK_PX):
        for left in range(0, width, _CHUNK_PX):
            part = Window(
                xmin // PIXEL_M + left,
                ymin // PIXEL_M + bottom,
                min(_CHUNK_PX, width - left),
                min(_CHUNK_PX, height - bottom),
            )
            top = height - bottom - part.height
            codes[top : top + part.height, left : left + part.width] = _cover(part, edition)
    return codes


def class_at(x: NDArray[np.float64], y: NDArray[np.float64], edition: int = 2021) -> NDArray[np.uint8]:
    """Land cover at points, CLC+ codes, uint8 of the arrays' shape; x, y: metres, EPSG:3035.

    Meant for points that lie near each other: the window around them all is made.
    """
    cols, rows = np.floor(x / PIXEL_M).astype("int64"), np.floor(y / PIXEL_M).astype("int64")
    col, row = int(cols.min()), int(rows.min())
    width, height = int(cols.max()) - col + 1, int(rows.max()) - row + 1
    codes = class_window(col * PIXEL_M, row * PIXEL_M, width, height, edition)
    found: NDArray[np.uint8] = codes[height - 1 - (rows - row), cols - col]
    return found


def _cover(window: Window, edition: int) -> NDArray[np.uint8]:
    sea = _sea(window)
    if sea is not None and bool(sea.all()):
        return sea
    codes = _lay_samples(window)
    if edition == EDITIONS[0]:
        _turn_back(codes, window)
    if sea is not None:
        np.copyto(codes, sea, where=sea > 0)
    return codes


def _lay_samples(window: Window) -> NDArray[np.uint8]:
    columns, rows = window.columns, window.rows
    east = (smooth_noise(11, window, 180) - 0.5) * _WANDER_PX
    north = (smooth_noise(12, window, 180) - 0.5) * _WANDER_PX
    cell_col = np.floor((columns[None, :] + east) / _CELL_PX).astype("int32")
    cell_row = np.floor((rows[:, None] + north) / _CELL_PX).astype("int32")
    codes = np.empty((window.height, window.width), dtype="uint8")
    for row in range(int(cell_row.min()), int(cell_row.max()) + 1):
        for col in range(int(cell_col.min()), int(cell_col.max()) + 1):
            here = (cell_col == col) & (cell_row == row)
            if here.any():
                np.copyto(codes, _mirror(col, row, columns, rows), where=here)
    return codes


def _mirror(col: int, row: int, columns: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.uint8]:
    """The sample of a macro-cell, at lattice columns and rows."""
    names = [name for name, weight in _SAMPLES for _ in range(weight)]
    sample = _load_samples()[names[mix_one(13, col, row) % len(names)]]
    if mix_one(14, col, row) % 2:
        sample = sample.T
    height, width = sample.shape
    down = _fold(_start(15, col, row, height) + (row + 1) * _CELL_PX - rows, height)
    across = _fold(_start(16, col, row, width) + columns - col * _CELL_PX, width)
    mirrored: NDArray[np.uint8] = sample[down[:, None], across[None, :]]
    return mirrored


def _start(seed: int, col: int, row: int, length: int) -> int:
    """Where in a sample a macro-cell begins: so that it needs no mirror, if the sample is long enough."""
    spare = max(1, length - _CELL_PX - _WANDER_PX)
    return _WANDER_PX // 2 + mix_one(seed, col, row) % spare


def _fold(index: NDArray[np.int64], length: int) -> NDArray[np.int64]:
    folded = index % (2 * length)
    return np.minimum(folded, 2 * length - 1 - folded)


@cache
def _load_samples() -> dict[str, NDArray[np.uint8]]:
    with np.load(DATA / "clcplus_samples.npz") as samples:
        return {name: samples[name] for name in samples.files}


def _turn_back(codes: NDArray[np.uint8], window: Window) -> None:
    """The earlier edition, in place: here a meadow not yet ploughed, there a plot not yet built on."""
    block = mix(17, window.columns[None, :] // 8, window.rows[:, None] // 8) % np.uint32(100)
    codes[(codes == 7) & (block < 4)] = 6
    codes[(codes == 1) & (block < 3)] = 9


def _sea(window: Window) -> NDArray[np.uint8] | None:
    """Codes of the sea, 0 on land; None where all is land."""
    box = _bounds(window)
    around = box.buffer(_COASTAL_M + 2 * _SHORE_M, join_style="mitre")
    regions = _regions()
    near = [regions[index] for index in _region_tree().query(around)]
    if any(shapely.contains_properly(region, box) for region in near):
        return None
    clipped = [shapely.clip_by_rect(region, *around.bounds) for region in near]
    land = shapely.union_all([shapely.make_valid(part) for part in clipped]).buffer(_SHORE_M)
    if land.covers(box):
        return None
    coastal = land.simplify(100).buffer(_COASTAL_M - _SHORE_M, quad_segs=4)
    shapes = [(shape, code) for shape, code in ((coastal, COASTAL_SEA), (land, 0)) if not shape.is_empty]
    if not shapes:
        return np.full((window.height, window.width), OUTSIDE, dtype="uint8")
    upper_left = from_origin(window.col * PIXEL_M, (window.row + window.height) * PIXEL_M, PIXEL_M, PIXEL_M)
    sea: NDArray[np.uint8] = rasterize(
        shapes, (window.height, window.width), fill=OUTSIDE, transform=upper_left, dtype="uint8"
    )
    return sea


def _bounds(window: Window) -> BaseGeometry:
    return shapely.box(
        window.col * PIXEL_M,
        window.row * PIXEL_M,
        (window.col + window.width) * PIXEL_M,
        (window.row + window.height) * PIXEL_M,
    )


@cache
def load_regions() -> dict[str, BaseGeometry]:
    """The NUTS 3 regions, EPSG:3035, by code."""
    features = json.loads(gzip.decompress(NUTS_FILE.read_bytes()))["features"]
    return {
        feature["properties"]["NUTS_ID"]: shapely.make_valid(shapely.geometry.shape(feature["geometry"]))
        for feature in features
    }


@cache
def _regions() -> list[BaseGeometry]:
    regions = list(load_regions().values())
    shapely.prepare(regions)
    return regions


@cache
def _region_tree() -> shapely.STRtree:
    return shapely.STRtree(_regions())
