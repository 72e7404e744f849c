"""Bands -> observations: each JP2 tile decoded once, each patch warped as soon as its tiles are there."""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from landpatch.composite import Observation
from landpatch.patch import PATCH_SIZE_PX, Patch
from landpatch.radiometry import (
    CLEAR,
    OBSCURED,
    REFLECTANCE_BANDS,
    UNSEEN,
    Radiometry,
    is_clear_class,
    remove_offset,
    to_reflectance,
)
from landpatch.sources.product_files import SCENE_CLASS
from landpatch.stages import carry_context, making, stage
from landpatch.warp import Warp, Window, needed_window, project_corners, project_patch
from services.image_worker.bands import Band, Pixels
from services.image_worker.loader import Room
from services.image_worker.product import Needed, Product

S = TypeVar("S")
T = TypeVar("T")
TileKey = tuple[str, int]
"""Band and number of a JP2 tile."""


@dataclass(frozen=True, slots=True)
class Site:
    """A patch on a product: which JP2 tiles it needs."""

    patch: Patch
    tiles: tuple[TileKey, ...]
    """Empty where the product has no pixel of the patch."""


def locate_patches(product: Product, patches: Sequence[Patch]) -> list[Site]:
    """Find the tiles that each patch needs, and an order in which few tiles are needed at a time: along
    the rows of the 10 m bands' tiles, from north to south, from west to east."""
    grid = product.bands["B2"].grid
    grids = product.grids
    ranked: list[tuple[tuple[int, int, Patch], Site]] = []
    corners = project_corners(patches, grid.crs)
    for patch, x, y in zip(patches, *corners, strict=True):
        # A pixel more on every side: between its corners a patch's edge is not quite straight.
        windows = {size_m: needed_window(x, y, own, margin=1) for size_m, own in grids.items()}
        first = windows[grid.pixel_size_m]
        if first is None or None in windows.values():
            ranked.append(((-1, 0, patch), Site(patch, ())))
            continue
        tiles = tuple(
            (name, tile)
            for name, band in product.bands.items()
            if (window := windows[band.grid.pixel_size_m]) is not None
            for tile in band.tiles_of(window)
        )
        strip = first.row // product.bands["B2"].head.tiling.tile_height
        ranked.append(((strip, first.col, patch), Site(patch, tiles)))
    return [site for _, site in sorted(ranked, key=lambda entry: entry[0])]


def most_in_work(threads: int) -> int:
    """How many patches are taken up, and their tiles asked for, before the first of them is done."""
    return 2 * threads + 3


def take_in_turn(begin: Callable[[S], Future[T]], items: Iterable[S], most: int) -> Iterator[T]:
    """What comes of items, in their order; at most so many are begun, and not taken, at a time."""
    running: deque[Future[T]] = deque()
    for item in items:
        running.append(begin(item))
        while len(running) >= most:
            yield running.popleft().result()
    while running:
        yield running.popleft().result()


def needed_tiles(product: Product, sites: Sequence[Site]) -> Needed:
    """By band: the numbers of the tiles that any patch needs, ascending."""
    every = {key for site in sites for key in site.tiles}
    return {name: sorted(tile for band, tile in every if band == name) for name in product.bands}


class _Tiles:
    """Decoded tiles, each from the first patch that needs it to the last."""

    def __init__(self, bands: Mapping[str, Band], sites: Sequence[Site], room: Room) -> None:
        self._bands = bands
        self._left = Counter(key for site in sites for key in site.tiles)
        self._decoding: dict[TileKey, Future[Pixels]] = {}
        self._room = room
        self._lock = Lock()

    def begin(self, site: Site, pool: ThreadPoolExecutor) -> None:
        """Have those of a patch's tiles decoded that no patch before needed."""
        for name, tile in site.tiles:
            if (name, tile) not in self._decoding:
                self._decoding[name, tile] = pool.submit(self._decode, name, tile)

    def _decode(self, name: str, tile: int) -> Pixels:
        pixels = self._bands[name].decode(tile)
        self._room.hold(pixels.nbytes)
        return pixels

    def wait(self, site: Site) -> None:
        """Until the tiles of a patch are decoded."""
        for key in site.tiles:
            self._decoding[key].result()

    def read(self, name: str, window: Window) -> Pixels:
        """The pixels of a window, once the tiles it touches are decoded."""
        head = self._bands[name].head
        pieces = [
            (head.head.tiling.box(tile), self._decoding[name, tile].result())
            for tile in head.tiles_of(window)
        ]
        if len(pieces) == 1:
            (left, top, _, _), pixels = pieces[0]
            row, col = window.row - top, window.col - left
            return pixels[row : row + window.height, col : col + window.width]
        joined = np.empty((window.height, window.width), pieces[0][1].dtype)
        for (left, top, width, height), pixels in pieces:
            row0, row1 = max(top, window.row), min(top + height, window.row + window.height)
            col0, col1 = max(left, window.col), min(left + width, window.col + window.width)
            joined[row0 - window.row : row1 - window.row, col0 - window.col : col1 - window.col] = pixels[
                row0 - top : row1 - top, col0 - left : col1 - left
            ]
        return joined

    def release(self, site: Site) -> None:
        """A patch is done with its tiles; those that no other needs are forgotten."""
        with self._lock:
            self._left.subtract(site.tiles)
            over = [self._decoding.pop(key).result().nbytes for key in site.tiles if not self._left[key]]
        self._room.free(sum(over))


def cut_patches(
    product: Product,
    bands: Mapping[str, Band],
    sites: Sequence[Site],
    scene_id: str,
    then: Callable[[Patch, Observation | None], T],
    threads: int,
    room: Room,
) -> Iterator[T]:
    """Cut the patches, and do with each what comes next.

    sites: as `locate_patches` gives them. then: called with a patch and its observation, None where the
    product has no pixel of it, on one of `threads` threads. room: counts the bytes that are held.

    Yields what `then` returns, in the order of the sites. Raises PermanentError, TransientError and what
    `then` raises.
    """
    cv2.setNumThreads(1)  # each patch has a thread already
    tiles = _Tiles(bands, sites, room)

    def work(site: Site) -> T:
        with making(site.patch.name):
            tiles.wait(site)
            with stage("warp"):
                observation = _observe(product, tiles, site, scene_id) if site.tiles else None
            tiles.release(site)
            return then(site.patch, observation)

    pool = ThreadPoolExecutor(threads, thread_name_prefix="cut", initializer=carry_context())

    def begin(site: Site) -> Future[T]:
        # First in, first out: a patch that waits for a tile never waits for one behind it.
        tiles.begin(site, pool)
        return pool.submit(work, site)

    try:
        yield from take_in_turn(begin, sites, most_in_work(threads))
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _observe(product: Product, tiles: _Tiles, site: Site, scene_id: str) -> Observation | None:
    """Warp the bands to a patch; a pixel is valid where every reflectance band has observed it."""
    x, y = project_patch(site.patch.xmin, site.patch.ymin, product.bands["B2"].grid.crs)
    warp_of = {size_m: Warp(x, y, grid) for size_m, grid in product.grids.items()}
    reflectance = np.empty((len(REFLECTANCE_BANDS), PATCH_SIZE_PX, PATCH_SIZE_PX))
    valid = np.ones((PATCH_SIZE_PX, PATCH_SIZE_PX), dtype=np.bool_)
    clear = valid.copy()
    for number, name in enumerate(REFLECTANCE_BANDS):
        warp = warp_of[product.bands[name].grid.pixel_size_m]
        if warp.window is None:
            return None
        dn = tiles.read(name, warp.window).astype("uint16", copy=False)
        observed, unsaturated = _warp_band(dn, product.radiometry, name, warp, reflectance[number])
        valid &= observed
        clear &= unsaturated
    warp = warp_of[product.bands[SCENE_CLASS].grid.pixel_size_m]
    if warp.window is None or not valid.any():
        return None
    classes = warp.take_nearest(tiles.read(SCENE_CLASS, warp.window).astype("uint8", copy=False), outside=0)
    clear &= is_clear_class(classes)
    if not valid.all():
        reflectance[:, ~valid] = 0
    clarity = np.where(valid, np.where(clear, CLEAR, OBSCURED), UNSEEN).astype("uint8")
    return Observation(scene_id, reflectance, clarity)


def _warp_band(
    dn: NDArray[np.uint16],
    radiometry: Radiometry,
    name: str,
    warp: Warp,
    reflectance: NDArray[np.float64],
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Write a band's reflectance (250, 250); say where it is observed, and where not saturated."""
    scaled, observed, saturated = remove_offset(dn, radiometry.offsets[name])
    warped, seen = warp.bilinear(scaled, observed)
    to_reflectance(warped, radiometry.quantification, out=reflectance)
    return seen, ~warp.take_nearest(saturated, outside=False) if saturated.any() else seen
