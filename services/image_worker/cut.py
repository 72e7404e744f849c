"""Product files -> observations: decode, radiometry, warp, for one group of patches after another."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import numpy as np
from numpy.typing import NDArray

from landpatch.composite import Observation
from landpatch.errors import PermanentError
from landpatch.grid import Patch
from landpatch.radiometry import (
    CLEAR,
    NO_OBSERVATION,
    OBSCURED,
    REFLECTANCE_BANDS,
    UNSEEN,
    is_clear_class,
    remove_offset,
    to_reflectance,
)
from landpatch.sources.eodata import SCENE_CLASS
from landpatch.warp import (
    PatchMap,
    Window,
    join_windows,
    map_patch,
    needed_window,
    project_patch,
    take_nearest,
    warp_bilinear,
)
from services.image_worker.bands import OpenBand, ProductBytes

Bands = dict[str, OpenBand]


def cut_patches(
    files: ProductBytes, scene_id: str, patches: Sequence[Patch], window_pixels: int
) -> Iterator[tuple[Patch, Observation | None]]:
    """Cut patches out of a product, in the order of the product's rows.

    window_pixels: how many 10 m pixels of a band to decode at a time. Yields each patch with its
    observation, None where the product has no pixel of it. Raises PermanentError.
    """
    with ExitStack() as stack:
        bands = {
            name: stack.enter_context(OpenBand(data, name, files.product))
            for name, data in files.bands.items()
        }
        corners = {(band.grid.crs, band.grid.left, band.grid.top) for band in bands.values()}
        if len(corners) != 1:
            raise PermanentError(f"{files.product}: its bands do not share one zone and corner")
        pool = stack.enter_context(ThreadPoolExecutor(os.cpu_count()))
        for group in _group(patches, bands, window_pixels):
            yield from _cut_group(files, scene_id, group, bands, pool)


Located = tuple[Patch, NDArray[np.float64], NDArray[np.float64]]


def _group(patches: Sequence[Patch], bands: Bands, window_pixels: int) -> Iterator[list[Located]]:
    """Patches with their pixel centres in the product's CRS, in groups whose joint window is bounded."""
    grid = bands["B2"].grid
    located = [(patch, *project_patch(patch.xmin, patch.ymin, grid.crs)) for patch in patches]
    located.sort(key=lambda entry: (-round(entry[2].max() / 10_240), entry[1].min(), entry[0]))
    group: list[Located] = []
    windows: list[Window] = []
    for entry in located:
        window = needed_window(map_patch(entry[1], entry[2], grid), grid)
        if window is not None:
            joint = join_windows([*windows, window])
            if windows and joint.width * joint.height > window_pixels:
                yield group
                group, windows = [], []
            windows.append(window)
        group.append(entry)
    if group:
        yield group


def _cut_group(
    files: ProductBytes, scene_id: str, group: Sequence[Located], bands: Bands, pool: ThreadPoolExecutor
) -> Iterator[tuple[Patch, Observation | None]]:
    maps = {
        size_m: [map_patch(x, y, grid) for _, x, y in group]
        for size_m, grid in {band.grid.pixel_size_m: band.grid for band in bands.values()}.items()
    }
    layers = list(
        pool.map(lambda name: _warp_band(files, name, bands[name], maps), (*REFLECTANCE_BANDS, SCENE_CLASS))
    )
    for number, (patch, _, _) in enumerate(group):
        yield patch, _observe(scene_id, [layer[number] for layer in layers])


Layer = tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_]]
"""Values (250, 250), where observed, where clear."""


def _warp_band(
    files: ProductBytes, name: str, band: OpenBand, maps: dict[float, list[PatchMap]]
) -> list[Layer | None]:
    """Decode a band once for the group and warp it to each patch."""
    grid = band.grid
    windows = [needed_window(patch_map, grid) for patch_map in maps[grid.pixel_size_m]]
    touched = [window for window in windows if window is not None]
    if not touched:
        return [None] * len(windows)
    joint = join_windows(touched)
    pixels = band.read(joint)
    layers: list[Layer | None] = []
    for window, patch_map in zip(windows, maps[grid.pixel_size_m], strict=True):
        if window is None:
            layers.append(None)
            continue
        row, col = window.row - joint.row, window.col - joint.col
        part = pixels[row : row + window.height, col : col + window.width]
        if name == SCENE_CLASS:
            classes = take_nearest(part.astype("uint8"), window, patch_map, grid, outside=0)
            layers.append((np.empty(0), classes != NO_OBSERVATION, is_clear_class(classes)))
            continue
        scaled, observed, saturated = remove_offset(part.astype("uint16"), files.radiometry.offsets[name])
        warped, seen = warp_bilinear(scaled, observed, window, patch_map, grid)
        clear = seen
        if saturated.any():
            clear = seen & ~take_nearest(saturated, window, patch_map, grid, outside=False)
        layers.append((to_reflectance(warped, files.radiometry.quantification), seen, clear))
    return layers


def _observe(scene_id: str, layers: Sequence[Layer | None]) -> Observation | None:
    """Join the layers of a patch; a pixel is valid where every reflectance band has observed it."""
    found = [layer for layer in layers if layer is not None]
    if len(found) != len(layers):
        return None
    reflectances = found[:-1]
    valid = np.logical_and.reduce([observed for _, observed, _ in reflectances])
    clear = np.logical_and.reduce([clear for _, _, clear in found])
    if not valid.any():
        return None
    reflectance = np.stack([values for values, _, _ in reflectances])
    reflectance[:, ~valid] = 0
    clarity = np.where(valid, np.where(clear, CLEAR, OBSCURED), UNSEEN).astype("uint8")
    return Observation(scene_id, reflectance, clarity)
