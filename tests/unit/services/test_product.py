"""A product that is read from a store: no byte of it twice."""

from collections import Counter

import pytest
from structlog.testing import CapturingLogger

from landpatch.errors import PermanentError
from landpatch.patch import Patch
from landpatch.sources.product_files import ProductFiles, RemoteFiles
from landpatch.transfer import Rates
from services.image_worker.cut import cut_patches, locate_patches, needed_tiles
from services.image_worker.loader import Room
from services.image_worker.product import RemoteProduct
from tests.environment import ROOT
from tests.scenes import CITIES, OFFSET, TILES, position_fields, write_manifest, write_product

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


@pytest.fixture(scope="module")
def product(cache):
    """Files of a product by key, and a way to open it that counts requests by key."""
    name, xmin, ymin = CITIES["Paris"]
    patch = Patch(0, xmin, ymin, 0)
    bands = write_product(TILES[name], patch, position_fields(patch), cache)
    files = {f"X/{band}": data for band, data in bands.items()} | {"X/MTD_MSIL2A.xml": METADATA.read_bytes()}
    files["X/manifest.safe"] = write_manifest({key.removeprefix("X/"): data for key, data in files.items()})

    def open_remote(asked, broken=()):
        def read(key, start, length):
            asked[key] += 1
            data = files[key][:-1] + b"\0" if key in broken else files[key]
            return data[start : start + length]

        sizes = {key: len(data) for key, data in files.items()}
        keys = {band: f"X/{band}" for band in bands}
        remote = ProductFiles("X/MTD_MSIL2A.xml", keys, sizes, "X/manifest.safe")
        return RemoteProduct(RemoteFiles(remote, read), 3, "PRODUCT")

    return open_remote, patch


@pytest.mark.parametrize(("how", "asked_for"), [("whole", 1), ("walk", 0)])
def test_the_manifest_is_asked_for_once_and_only_where_files_come_whole(product, how, asked_for):
    open_remote, patch = product
    asked = Counter()
    remote = open_remote(asked)
    plan = remote.plan(needed_tiles(remote.product, locate_patches(remote.product, [patch])), PRICES[how])
    assert bool(plan.held_bytes) is bool(asked_for)
    with remote.fetch(plan, Room(2**31), hold=True):
        pass
    assert asked["X/manifest.safe"] == asked_for


def test_a_file_that_is_wrong_gives_no_band_of_any_of_them(product):
    open_remote, patch = product
    remote = open_remote(Counter(), broken={"X/B11"})
    plan = remote.plan(needed_tiles(remote.product, locate_patches(remote.product, [patch])), PRICES["whole"])
    with (
        pytest.raises(PermanentError, match="PRODUCT: B11 is not what its manifest says"),
        remote.fetch(plan, Room(2**31), hold=True),
    ):
        pytest.fail("there are bands")


def test_without_room_for_whole_files_nothing_is_waited_for_and_a_line_says_so(product, monkeypatch):
    log = CapturingLogger()
    monkeypatch.setattr("services.image_worker.whole.log", log)
    open_remote, patch = product
    asked = Counter()
    remote = open_remote(asked)
    sites, room = locate_patches(remote.product, [patch]), Room(10)
    plan = remote.plan(needed_tiles(remote.product, sites), PRICES["whole"])
    with remote.fetch(plan, room, hold=False) as opened:
        made = dict(cut_patches(remote.product, opened, sites, "scene", lambda *pair: pair, 2, room))
    assert made[patch] is not None
    assert asked["X/manifest.safe"] == 0
    (line,) = log.calls
    assert "LANDPATCH_MEMORY_BYTES" in line.kwargs["reason"]
