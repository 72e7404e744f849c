"""The fast cut against a slow and simple one: the same images, byte for byte."""

import numpy as np
import pytest
import rasterio
from pyproj import Transformer

from landpatch.codec import encode_image
from landpatch.composite import Observation, compose_best
from landpatch.errors import PermanentError
from landpatch.patch import Patch
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
from landpatch.sources.eodata import NATIVE_SIZE_M
from landpatch.warp import NativeGrid, Warp, project_patch
from services.image_worker.cut import cut_patches, locate_patches, needed_tiles
from services.image_worker.loader import Room
from services.image_worker.product import MemoryProduct
from services.sandbox.jp2 import GRIDS, write_jp2

UPPER_LEFT, EPSG = (399960, 5500020), 32631
RADIOMETRY = Radiometry(
    10000.0, {name: -1000 if number % 2 else 0 for number, name in enumerate(REFLECTANCE_BANDS)}
)


def noisy_band(size_m, seed, cache):
    """The upper left 22 km or more of a band: noise with holes, every tile another."""
    grid = GRIDS[size_m]
    rng = np.random.default_rng(seed)
    bits = 8 if seed < 0 else 15
    pieces = {}
    reach = -(-21_000 // (size_m * grid.tile))
    for row in range(reach):
        for col in range(reach):
            pixels = rng.integers(1, 12 if bits == 8 else 5000, (grid.tile, grid.tile))
            if bits == 15 and (row + col) % 2:
                pixels[rng.random(pixels.shape) < 0.02] = 0
            pieces[row, col] = pixels.astype("uint8" if bits == 8 else "uint16")
    return write_jp2(grid, pieces, EPSG, UPPER_LEFT, cache, bits=bits, with_tlm=bool(seed % 2))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    cache = tmp_path_factory.mktemp("jp2")
    made = {size_m: [noisy_band(size_m, seed, cache) for seed in (1, 2)] for size_m in (10, 20, 60)}
    bands = {name: made[NATIVE_SIZE_M[name]][number % 2] for number, name in enumerate(REFLECTANCE_BANDS)}
    rng = np.random.default_rng(9)
    grid = GRIDS[20]
    classes = {
        (row, col): rng.integers(0, 12, (640, 640)).astype("uint8") for row in range(2) for col in range(2)
    }
    return bands | {"SCL": write_jp2(grid, classes, EPSG, UPPER_LEFT, cache, bits=8)}


@pytest.fixture(scope="module")
def patches():
    """Thirty-five patches, some over the product's upper edge, a row beyond it, and one far away."""
    x, y = Transformer.from_crs(f"EPSG:{EPSG}", "EPSG:3035", always_xy=True).transform(
        UPPER_LEFT[0] + 6000, UPPER_LEFT[1] + 1000
    )
    west, north = int(x // 2500 * 2500), int(y // 2500 * 2500)
    grid = [(west + 2500 * col, north - 2500 * row) for row in range(8) for col in range(5)]
    return [Patch(number, *corner, 0) for number, corner in enumerate([*grid, (2500000, 1500000)])]


@pytest.fixture(scope="module")
def judged(files, patches):
    """Images made the slow way: every band read whole, every patch for itself."""
    whole = {}
    grids = {}
    for name, data in files.items():
        with rasterio.MemoryFile(data) as memory, memory.open() as band:
            whole[name] = band.read(1)
            grids[name] = NativeGrid(
                str(band.crs), band.bounds.left, band.bounds.top, band.res[0], band.width, band.height
            )
    images = {}
    for patch in patches:
        x, y = project_patch(patch.xmin, patch.ymin, f"EPSG:{EPSG}")
        layers, valid, clear = [], np.ones((250, 250), bool), np.ones((250, 250), bool)
        for name in (*REFLECTANCE_BANDS, "SCL"):
            warp = Warp(x, y, grids[name])
            if (window := warp.window) is None:
                break
            part = whole[name][
                window.row : window.row + window.height, window.col : window.col + window.width
            ]
            if name == "SCL":
                clear &= is_clear_class(warp.take_nearest(part, outside=0))
                continue
            scaled, observed, saturated = remove_offset(part, RADIOMETRY.offsets[name])
            values, seen = warp.bilinear(scaled, observed)
            layers.append(to_reflectance(values, RADIOMETRY.quantification))
            valid &= seen
            clear &= ~warp.take_nearest(saturated, outside=False)
        if len(layers) < 12 or not valid.any():
            images[patch] = None
            continue
        reflectance = np.where(valid, np.stack(layers), 0)
        clarity = np.where(valid, np.where(clear, CLEAR, OBSCURED), UNSEEN).astype("uint8")
        images[patch] = encode(patch, Observation("scene", reflectance, clarity))
    return images


def encode(patch, observation):
    return encode_image(compose_best([observation]).bands, patch, {})


@pytest.mark.parametrize("threads", [1, 3])
def test_the_fast_cut_gives_the_images_of_the_slow_one_byte_for_byte(files, patches, judged, threads):
    memory = MemoryProduct("PRODUCT", RADIOMETRY, files)
    sites = locate_patches(memory.product, patches[::-1])
    assert [site.patch for site in sites] == [site.patch for site in locate_patches(memory.product, patches)]
    bands = memory.open(needed_tiles(memory.product, sites))
    made = dict(
        cut_patches(
            memory.product,
            bands,
            sites,
            "scene",
            lambda patch, seen: (patch, seen and encode(patch, seen)),
            threads,
            Room(2**31),
        )
    )
    assert made == judged
    assert sum(image is not None for image in made.values()) == 35


def test_each_needed_tile_is_decoded_once_no_other_is_and_none_stays(files, patches):
    memory = MemoryProduct("PRODUCT", RADIOMETRY, files)
    sites = locate_patches(memory.product, patches)
    needed = needed_tiles(memory.product, sites)
    bands = memory.open(needed)
    decoded = {name: [] for name in bands}
    for name, band in bands.items():
        band.decode = lambda tile, real=band.decode, log=decoded[name]: (log.append(tile), real(tile))[1]

    class Watched(Room):
        held = 0
        peak = 0

        def hold(self, size):
            self.held += size
            self.peak = max(self.peak, self.held)

        def free(self, size):
            self.held -= size

    room = Watched(2**31)
    list(cut_patches(memory.product, bands, sites, "scene", lambda *_: None, 2, room))
    assert {name: sorted(tiles) for name, tiles in decoded.items()} == needed
    # The patches reach over three rows of tiles of 10 m; all of them at once would be twice as much.
    assert room.held == 0
    every = sum(len(tiles) * (640**2 if name == "SCL" else 0) for name, tiles in needed.items())
    every += sum(2 * len(needed[name]) * GRIDS[NATIVE_SIZE_M[name]].tile ** 2 for name in REFLECTANCE_BANDS)
    assert room.peak < 0.8 * every


def test_a_fault_in_a_tile_ends_the_cut_with_that_fault(files, patches):
    data = files["B5"]
    part = data.index(b"\xff\x90\x00\x0a\x00\x01")
    broken = data[: part + 4] + b"\x00\x02" + data[part + 6 :]
    memory = MemoryProduct("PRODUCT", RADIOMETRY, files | {"B5": broken})
    sites = locate_patches(memory.product, patches)
    bands = memory.open(needed_tiles(memory.product, sites))
    assert 1 in needed_tiles(memory.product, sites)["B5"]
    with pytest.raises(PermanentError, match=r"B5(: another| has no) tile-part"):
        list(cut_patches(memory.product, bands, sites, "scene", lambda *_: None, 2, Room(2**31)))
