"""Pixels of a product: ground, sky and sensor.

The land cover class of each 10 m pixel is looked up at four points in it, each transformed to EPSG:3035,
so an image lies on its label to a fraction of a pixel. Coarser pixels are box means of the 10 m
reflectance, taken before the sensor's noise, so all grids share their upper-left corner.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from services.sandbox.landscape import class_window, edition_of
from services.sandbox.materials import (
    BANDS,
    CLOUD,
    SHADOW,
    lay_materials,
    look_up_scene_classes,
    look_up_spectra,
)
from services.sandbox.noise import PIXEL_M, Window, smooth_noise
from services.sandbox.scenes import Scene, make_transformer

_KNOT_PX = 60
"""Distance of the points that are transformed exactly; between them the map bends by a centimetre."""
_HISS_PX = 240
"""Chunks begin at multiples of this."""
_SENSOR_NOISE = {10: 9.0, 20: 6.0, 60: 3.0}
"""Standard deviation by pixel size, DN."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """A rectangle of a product's 10 m grid, in pixels: all multiples of 6, the first two of 240."""

    row: int
    col: int
    height: int
    width: int


@dataclass(frozen=True, slots=True)
class _View:
    """What lies under and over a chunk, on its 10 m grid (y, x); materials on a grid of 5 m."""

    materials: NDArray[np.uint8]
    texture: NDArray[np.float32]
    cloud: NDArray[np.float32]
    brightness: NDArray[np.float32]
    shadow: NDArray[np.float32]


def render_chunk(
    scene: Scene, chunk: Chunk, files: list[tuple[str, int]]
) -> Iterator[tuple[str, int, NDArray[np.uint16] | NDArray[np.uint8]]]:
    """Pixels of a chunk: band, pixel size and (y, x) array for each of `files`, (band, pixel size) pairs.

    Bands are uint16 DN, 0 where nothing is observed; SCL is uint8.
    """
    view = _look(scene, chunk)
    masks = {pixel_m: _seen(scene, chunk, pixel_m) for pixel_m in (10, 20, 60)}
    for band in BANDS:
        sizes = [pixel_m for name, pixel_m in files if name == band]
        if sizes:
            reflectance = _reflect(view, band, scene.sky.day)
            for pixel_m in sizes:
                yield band, pixel_m, _sense(scene, chunk, band, pixel_m, reflectance, masks[pixel_m])
    for pixel_m in [pixel_m for name, pixel_m in files if name == "SCL"]:
        yield "SCL", pixel_m, _classify(view, scene.sky.day, pixel_m, masks[pixel_m])


def _look(scene: Scene, chunk: Chunk) -> _View:
    """Lay the ground and the sky under the chunk's grid."""
    fine = _map_to_europe(scene, chunk, 2)
    window = _around(fine)
    edition = edition_of(scene.sky.day.year)
    codes = class_window(window.col * PIXEL_M, window.row * PIXEL_M, window.width, window.height, edition)
    ground = lay_materials(codes, window)
    broad = 0.84 + 0.20 * smooth_noise(31, window, 75) + 0.12 * smooth_noise(32, window, 14)
    cloud, brightness = scene.sky.clouds(window)
    fine_x, fine_y = _to_array(fine, window)
    x, y = _to_array(_map_to_europe(scene, chunk, 1), window)

    def warp(field: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(cv2.remap(field, x, y, cv2.INTER_LINEAR), dtype="float32")

    return _View(
        materials=np.asarray(cv2.remap(ground, fine_x, fine_y, cv2.INTER_NEAREST), dtype="uint8"),
        texture=warp(broad.astype("float32")),
        cloud=warp(cloud),
        brightness=warp(brightness),
        shadow=warp(scene.sky.shade(window)),
    )


def _map_to_europe(scene: Scene, chunk: Chunk, parts: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """EPSG:3035 x and y of the centres of the pixels of a chunk, each cut in `parts` x `parts`."""
    cols = np.arange(0, chunk.width + _KNOT_PX, _KNOT_PX)
    rows = np.arange(0, chunk.height + _KNOT_PX, _KNOT_PX)
    knot_x, knot_y = np.meshgrid(
        scene.tile.ulx + (chunk.col + cols) * float(PIXEL_M),
        scene.tile.uly - (chunk.row + rows) * float(PIXEL_M),
    )
    east, north = make_transformer(scene.tile.epsg, 3035).transform(knot_x, knot_y)
    across = (np.arange(chunk.width * parts) + 0.5) / parts / _KNOT_PX
    down = (np.arange(chunk.height * parts) + 0.5) / parts / _KNOT_PX
    return _join(east, across, down), _join(north, across, down)


def _join(
    knots: NDArray[np.float64], across: NDArray[np.float64], down: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Bilinear values between knots, at positions counted in knots."""
    col, row = across.astype("int64"), down.astype("int64")
    strips = knots[:, col] + (knots[:, col + 1] - knots[:, col]) * (across - col)
    joined: NDArray[np.float64] = strips[row] + (strips[row + 1] - strips[row]) * (down - row)[:, None]
    return joined


def _around(place: tuple[NDArray[np.float64], NDArray[np.float64]]) -> Window:
    x, y = place
    col, row = int(x.min() // PIXEL_M) - 2, int(y.min() // PIXEL_M) - 2
    return Window(col, row, int(x.max() // PIXEL_M) - col + 3, int(y.max() // PIXEL_M) - row + 3)


def _to_array(
    place: tuple[NDArray[np.float64], NDArray[np.float64]], window: Window
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Array column and row, in a window, of EPSG:3035 places; the first pixel's centre is at 0."""
    x, y = place
    cols = x / PIXEL_M - (window.col + 0.5)
    rows = (window.row + window.height - 0.5) - y / PIXEL_M
    return cols.astype("float32"), rows.astype("float32")


def _reflect(view: _View, band: str, day: date) -> NDArray[np.float32]:
    """Reflectance of a band on a chunk's 10 m grid, (y, x) float32."""
    index = BANDS.index(band)
    height, width = view.texture.shape
    fine = cv2.LUT(view.materials, _spectra(day)[index])
    field = np.asarray(cv2.resize(fine, (width, height), interpolation=cv2.INTER_AREA), dtype="float32")
    field *= view.texture
    field *= 1 - np.float32(1 - SHADOW[index]) * view.shadow
    field += (np.float32(CLOUD[index]) * (0.62 + 0.48 * view.brightness) - field) * view.cloud
    return field


@cache
def _spectra(day: date) -> NDArray[np.float32]:
    return look_up_spectra(day)


def _sense(
    scene: Scene,
    chunk: Chunk,
    band: str,
    pixel_m: int,
    reflectance: NDArray[np.float32],
    seen: NDArray[np.bool_],
) -> NDArray[np.uint16]:
    """DN of a band at one of its pixel sizes; 0 where nothing is observed, otherwise at least 1."""
    seed = [scene.sky.day.toordinal(), int(scene.tile.id.encode().hex(), 16), BANDS.index(band), pixel_m]
    field = _coarsen(reflectance, pixel_m) * np.float32(10_000) + np.float32(scene.offset)
    field += _hiss(seed, chunk, pixel_m) * np.float32(_SENSOR_NOISE[pixel_m])
    numbers: NDArray[np.uint16] = np.clip(np.rint(field), 1, 32_767).astype("uint16")
    numbers[~seen] = 0
    return numbers


def _hiss(seed: list[int], chunk: Chunk, pixel_m: int) -> NDArray[np.float32]:
    """White noise that is the same however the product is cut in chunks; (y, x) float32."""
    factor = pixel_m // PIXEL_M
    parts = [
        np.random.default_rng([*seed, chunk.row, left]).standard_normal(
            (chunk.height // factor, min(_HISS_PX, chunk.col + chunk.width - left) // factor), "float32"
        )
        for left in range(chunk.col, chunk.col + chunk.width, _HISS_PX)
    ]
    return np.hstack(parts)


def _classify(view: _View, day: date, pixel_m: int, seen: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """The scene classification at a pixel size, (y, x) uint8."""
    step = pixel_m // 5
    clear = look_up_scene_classes(day)[view.materials[step // 2 :: step, step // 2 :: step]]
    cloud, shadow = _coarsen(view.cloud, pixel_m), _coarsen(view.shadow, pixel_m)
    clear[(shadow > 0.25) & (cloud < 0.5)] = 3
    clear[cloud > 0.06] = 8
    clear[cloud > 0.55] = 9
    clear[~seen] = 0
    return clear


def _coarsen(field: NDArray[np.float32], pixel_m: int) -> NDArray[np.float32]:
    factor = pixel_m // PIXEL_M
    if factor == 1:
        return field
    height, width = field.shape
    size = (width // factor, height // factor)
    return np.asarray(cv2.resize(field, size, interpolation=cv2.INTER_AREA), dtype="float32")


def _seen(scene: Scene, chunk: Chunk, pixel_m: int) -> NDArray[np.bool_]:
    """Which pixels of a chunk are observed, by their centres; (y, x)."""
    factor = pixel_m // PIXEL_M
    cols = np.arange(chunk.col // factor, (chunk.col + chunk.width) // factor)
    rows = np.arange(chunk.row // factor, (chunk.row + chunk.height) // factor)
    x = np.asarray(scene.tile.ulx + (cols + 0.5) * pixel_m, dtype="float64")
    y = np.asarray(scene.tile.uly - (rows + 0.5) * pixel_m, dtype="float64")
    return scene.sees(x[None, :], y[:, None])
