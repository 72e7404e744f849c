"""A product that is read from a store: no byte of it twice."""

from collections import Counter

import pytest

from landpatch.patch import Patch
from landpatch.sources.product_files import ProductFiles, RemoteFiles
from landpatch.transfer import Rates
from services.image_worker.cut import cut_patches, locate_patches, needed_tiles
from services.image_worker.loader import Room
from services.image_worker.product import RemoteProduct
from tests.environment import ROOT
from tests.scenes import CITIES, OFFSET, TILES, position_fields, write_product

METADATA = next((ROOT / "tests/data/sentinel2").glob("*N0509*157.SAFE/MTD_MSIL2A.xml"))
PRICES = {"whole": Rates(1e9, 0.1), "walk": Rates(1e4, 1e6)}
"""Of bytes and requests, under which files without a list of their tiles are fetched so."""


@pytest.mark.parametrize("how", PRICES)
def test_no_byte_of_a_band_is_fetched_twice_and_the_pixels_are_those_of_the_files(how, cut, cache):
    name, xmin, ymin = CITIES["Paris"]
    patch = Patch(0, xmin, ymin, 0)
    files = write_product(TILES[name], patch, position_fields(patch), cache) | {"MTD": METADATA.read_bytes()}
    fetched: dict[str, Counter] = {band: Counter() for band in files}

    asked = 0

    def read(key, start, length):
        nonlocal asked
        asked += 1
        fetched[key].update(range(start, start + length))
        return files[key][start : start + length]

    sizes = {key: len(data) for key, data in files.items()}
    bands = {band: band for band in files if band != "MTD"}
    remote = RemoteProduct(RemoteFiles(ProductFiles("MTD", bands, sizes), read), 3, "PRODUCT")
    sites, room = locate_patches(remote.product, [patch]), Room(2**31)
    plan = remote.plan(needed_tiles(remote.product, sites), PRICES[how])
    with remote.fetch(plan, room, hold=True) as opened:
        made = dict(cut_patches(remote.product, opened, sites, "scene", lambda *pair: pair, 2, room))
    bands_read = {band: counts for band, counts in fetched.items() if band != "MTD"}
    # On a walk the heads of tile-parts are read to learn where the next one is.
    again = 0 if how == "whole" else 12 * 121
    assert all(counts.total() - len(counts) <= again for counts in bands_read.values())
    assert asked < (3 * 13 if how == "whole" else 13 * 40)
    missed = {band: sizes[band] - len(counts) for band, counts in bands_read.items()}
    assert max(missed.values()) == 0 if how == "whole" else missed["SCL"] > 0.1 * sizes["SCL"]
    expected = cut({key: data for key, data in files.items() if key != "MTD"}, OFFSET, [patch])[patch.name]
    assert made[patch].reflectance.tobytes() == expected.reflectance.tobytes()
