"""What has to be in memory at once, counted beforehand: genuine products fit, others are refused."""

import numpy as np
import pytest

from landpatch.composite import Observation, compose_median
from landpatch.errors import PermanentError
from landpatch.jp2 import Head, Tiling
from landpatch.messages import MAX_EARLIER
from landpatch.patch import Patch
from landpatch.radiometry import CLEAR, REFLECTANCE_BANDS, Radiometry
from landpatch.settings import Settings
from landpatch.sources.eodata import NATIVE_SIZE_M
from landpatch.transfer import CHUNK_BYTES
from landpatch.warp import NativeGrid
from services.image_worker.bands import BandHead
from services.image_worker.cut import Site, locate_patches, most_in_work
from services.image_worker.memory import (
    FIXED_BYTES,
    RESULT_BYTES,
    THREAD_BYTES,
    fit_threads,
    making_bytes,
    needed_bytes,
    working_bytes,
)
from services.image_worker.product import Product
from tests.memory import measured

RADIOMETRY = Radiometry(10_000.0, dict.fromkeys(REFLECTANCE_BANDS, 0))
GENUINE_TILES = {10: 1024, 20: 640, 60: 192}
GENUINE_BYTES = {10: 123_000_000, 20: 33_000_000, 60: 3_200_000}
"""The largest that have been seen."""
OVER_ALL_OF_31UDQ = [
    Patch(0, 3_670_000 + 2500 * col, 2_860_000 + 2500 * row, 0) for col in range(52) for row in range(52)
]


def band(name: str, side: int, tile: int, size: int, bits: int = 15) -> BandHead:
    head = Head(b"", b"", Tiling(side, side, tile, tile), bits, 0, size, None)
    size_m = 109_800 // side
    return BandHead(name, name, head, NativeGrid("EPSG:32631", 399_960, 5_500_020, size_m, side, side))


def product(tile_of: dict[int, int]) -> Product:
    """As large as genuine ones are at most, cut into tiles of so many pixels."""
    bands = {
        name: band(
            name, 109_800 // size_m, tile_of[size_m], GENUINE_BYTES[size_m], 8 if name == "SCL" else 15
        )
        for name, size_m in NATIVE_SIZE_M.items()
    }
    return Product("X.SAFE", RADIOMETRY, bands)


def room(**settings: int) -> int:
    return Settings(_env_file=None, **settings).memory_bytes - FIXED_BYTES


LEAST_BYTES = next(iter(Settings.model_fields["memory_bytes"].metadata)).ge
"""That can be set."""


@pytest.mark.parametrize("threads", [1, 2, 4, 8])
def test_a_genuine_product_fits_into_what_is_set_by_default_on_several_threads(threads):
    genuine = product(GENUINE_TILES)
    sites = locate_patches(genuine, OVER_ALL_OF_31UDQ)
    assert sum(bool(site.tiles) for site in sites) > 1500
    assert fit_threads(genuine, sites, threads, room()) == threads


@pytest.mark.parametrize("bytes_set", [LEAST_BYTES, 1_610_612_736, 2 * 1_610_612_736])
def test_as_many_threads_cut_as_fit_into_what_is_set_and_no_more(bytes_set):
    genuine = product(GENUINE_TILES)
    sites = locate_patches(genuine, OVER_ALL_OF_31UDQ)
    limit = room(LANDPATCH_MEMORY_BYTES=bytes_set)
    threads = fit_threads(genuine, sites, 256, limit)
    assert 1 < threads < 64
    assert needed_bytes(genuine, sites, threads) <= limit < needed_bytes(genuine, sites, threads + 1)


def test_the_memory_that_is_needed_does_not_grow_with_the_number_of_patches():
    genuine = product(GENUINE_TILES)
    every = [site for site in locate_patches(genuine, OVER_ALL_OF_31UDQ) if site.tiles]
    thrice = [site for site in every for _ in range(3)]
    assert needed_bytes(genuine, thrice, 4) <= needed_bytes(genuine, every, 4)
    assert needed_bytes(genuine, every, 4) <= 1.05 * needed_bytes(genuine, every[: len(every) // 2], 4)


def test_what_threads_make_is_counted_beside_the_product_and_once():
    small, sites = one_band(20, 0), sites_of(*[(tile,) for tile in range(20)])
    assert making_bytes(8) == 8 * THREAD_BYTES + most_in_work(8) * RESULT_BYTES
    assert working_bytes(small, sites, 8) == making_bytes(8)
    # Tiles that take more to decode than a patch to be made, on three of the eight threads.
    large = one_band(20, 20 * THREAD_BYTES)
    few = sites_of(*[(tile,) for tile in range(3)])
    assert working_bytes(large, few, 8) == making_bytes(8) + 3 * (WORKING + THREAD_BYTES)


def test_a_median_of_the_most_observations_that_there_can_be_fits_into_the_least_that_can_be_set():
    rng = np.random.default_rng(0)
    seen = Observation("one", rng.random((12, 250, 250)), np.full((250, 250), CLEAR, "uint8"))
    own = seen.reflectance.nbytes + seen.clarity.nbytes
    with measured() as peak:
        compose_median([seen] * MAX_EARLIER)
    held = MAX_EARLIER * own + peak.taken
    assert held <= room(LANDPATCH_MEMORY_BYTES=LEAST_BYTES)


def test_a_genuine_product_that_has_come_whole_fits_into_what_is_set_by_default():
    genuine = product(GENUINE_TILES)
    sites = locate_patches(genuine, OVER_ALL_OF_31UDQ)
    whole = 520 * 10**6
    assert fit_threads(genuine, sites, 2, room(), held=whole) == 2
    assert needed_bytes(genuine, sites, 2, with_files=False) < needed_bytes(genuine, sites, 2)
    with pytest.raises(PermanentError, match=r"^X\.SAFE needs \d+ MB of memory at once"):
        fit_threads(genuine, sites, 2, room(), held=2 * whole)


def test_a_product_whose_bands_are_one_tile_each_is_refused_with_a_reason():
    whole = product({10: 10_980, 20: 5_490, 60: 1_830})
    sites = [site for site in locate_patches(whole, OVER_ALL_OF_31UDQ) if site.tiles][:1]
    with pytest.raises(PermanentError, match=r"^X\.SAFE needs \d{4} MB of memory at once, 1275 MB are left"):
        fit_threads(whole, sites, 2, room())


def one_band(tiles: int, size: int) -> Product:
    """A column of tiles of 100 x 100 pixels."""
    column = BandHead(
        "B2", "B2", Head(b"", b"", Tiling(100, 100 * tiles, 100, 100), 15, 0, size, None),
        NativeGrid("EPSG:32631", 0, 0, 10, 100, 100 * tiles),
    )  # fmt: skip
    return Product("X.SAFE", RADIOMETRY, {"B2": column})


def sites_of(*tiles: tuple[int, ...]) -> list[Site]:
    return [
        Site(Patch(number, 0, 0, 0), tuple(("B2", tile) for tile in own)) for number, own in enumerate(tiles)
    ]


DECODED, WORKING = 20_000, 60_000
"""Bytes of a tile of 100 x 100 pixels, and what decoding it takes."""


def test_a_tile_is_held_from_the_first_patch_that_needs_it_to_the_last():
    in_work, tiles = most_in_work(1), 20
    small = one_band(tiles, 0)
    in_turn = sites_of(*[(tile,) for tile in range(tiles)])
    assert needed_bytes(small, in_turn, 1) == in_work * DECODED + making_bytes(1)
    first_and_last = sites_of((0,), *[(tile,) for tile in range(1, tiles)], (0,))
    assert needed_bytes(small, first_and_last, 1) == (in_work + 1) * DECODED + making_bytes(1)
    assert needed_bytes(small, sites_of(tuple(range(tiles))), 1) == tiles * DECODED + making_bytes(1)


def test_of_a_file_whole_chunks_are_held_but_never_more_than_is_needed_of_it():
    in_work, tiles = most_in_work(1), 20
    length = 3 * CHUNK_BYTES
    large = one_band(tiles, tiles * length)
    in_turn = sites_of(*[(tile,) for tile in range(tiles)])
    decoding = making_bytes(1) + max(0, WORKING + 2 * length - THREAD_BYTES)
    assert needed_bytes(large, in_turn, 1) == in_work * (DECODED + length) + CHUNK_BYTES + decoding
    assert needed_bytes(large, sites_of((7,)), 1) == DECODED + length + decoding


def test_what_lies_between_a_tile_that_is_late_and_one_that_is_early_is_held():
    tiles, length = 20, 3 * CHUNK_BYTES
    large = one_band(tiles, tiles * length)
    # The tile that lies first is needed last: all the others wait for it in memory.
    backwards = sites_of(*[(tile,) for tile in reversed(range(tiles))])
    held = needed_bytes(large, backwards, 1)
    assert held >= (tiles - 1) * length


def test_threads_are_given_up_before_a_product_is():
    small = one_band(200, 0)
    sites = sites_of(*[(tile,) for tile in range(200)])
    assert fit_threads(small, sites, 32, needed_bytes(small, sites, 8)) == 8
    assert fit_threads(small, sites, 32, needed_bytes(small, sites, 1)) == 1
    with pytest.raises(PermanentError):
        fit_threads(small, sites, 32, needed_bytes(small, sites, 1) - 1)
