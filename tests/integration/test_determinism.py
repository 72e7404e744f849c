"""The same inputs give the same bytes, with however many workers and in whatever order of messages."""

import io
import json
import urllib.request
from collections.abc import Iterator
from functools import partial

import numpy as np
import pandas as pd
import pytest
import rasterio
import redis

from landpatch.ledger import Ledger
from tests.integration.conftest import Built, Stack
from tests.integration.fleet import SERVICES, Fleet, fleet
from tests.waiting import LONG_S, wait_until

# Four builds of a region, on whatever machine.
pytestmark = pytest.mark.stack
REGION = "FR101/2021"


def given_bytes(stack: Stack) -> int:
    """What the EO data store has given so far, as its front door counts."""
    address = f"http://127.0.0.1:{stack.access['eo_port']}/sandbox/quota"
    with urllib.request.urlopen(address) as answer:
        return json.load(answer)["bytes"]


@pytest.fixture(scope="module")
def builds(stack: Stack, paris: Built) -> dict[str, list[tuple[dict, dict[str, bytes]]]]:
    """The best composite and then the median, by a single worker and by many in another order."""
    made: dict[str, list] = {"best": [], "median": []}
    for database, processes, threads in ((1, 1, 1), (2, 3, 2)):
        with fleet(stack, database, processes, threads, turned=database == 2) as workers:
            for composite, builds_of in made.items():
                builds_of.append(workers.build(composite))
    return made


@pytest.mark.parametrize("composite", ["best", "median"])
def test_one_worker_and_many_in_another_order_write_the_same_bytes(builds, composite):
    (one, alone), (other, many) = builds[composite]
    assert alone.keys() == many.keys()
    assert sum(name.endswith(".tif") for name in alone) == 28
    assert [name for name in alone if alone[name] != many[name]] == []
    assert len(one["products"]) >= 3
    assert one["products"] == other["products"]
    assert (one["complete"], one["partial"]) == (other["complete"], other["partial"])


def test_whole_products_as_zip_give_the_same_bytes(stack, builds):
    one, alone = builds["best"][0]
    with fleet(stack, 3, processes=2, threads=2, LANDPATCH_IMAGE_SOURCE="odata-zip") as workers:
        other, as_zip = workers.build("best")
    assert alone.keys() == as_zip.keys()
    assert [name for name in alone if alone[name] != as_zip[name]] == []
    assert one["products"] == other["products"]
    assert one["bytes_downloaded"] < other["bytes_downloaded"]


def test_the_median_is_another_image_of_the_same_patches(builds):
    (best, as_best), (median, as_median) = builds["best"][0], builds["median"][0]
    assert as_best.keys() == as_median.keys()
    images = [name for name in as_best if name.endswith(".tif")]
    assert sum(as_best[name] != as_median[name] for name in images) > 20
    assert best["patches"] == median["patches"] == 28
    with rasterio.MemoryFile(as_median[images[0]]) as memory, memory.open() as image:
        assert len(image.tags()["LANDPATCH_PRODUCTS"].split(",")) == 3
        assert "composite=median" in image.tags()["LANDPATCH_RECIPE"]


def begin(workers: Fleet, rounds: int) -> Ledger:
    """Do the labels and so many rounds of FR101 and no more; its ledger."""
    started = workers.run("region", "FR101", "--detach")
    assert started.returncode == 0, started.stderr
    ledger = Ledger(redis.Redis.from_url(workers.environment["LANDPATCH_REDIS_URL"], decode_responses=True))

    def is_planned(number: int) -> bool:
        facts = ledger.facts(REGION)
        return facts["round"] == str(number) and not ledger.pending(REGION, "control")

    def is_cut() -> bool:
        return not ledger.pending(REGION, "images") + ledger.pending(REGION, "labels")

    for number in range(1, rounds + 1):
        with workers.working("dispatcher"):
            wait_until(partial(is_planned, number), 3 * LONG_S, f"round {number} is planned")
        with workers.working("image_worker", "label_worker"):
            wait_until(is_cut, 3 * LONG_S, f"round {number} is cut")
    return ledger


def test_a_run_that_redis_forgets_is_the_same_and_fetches_nothing_of_what_is_stored(stack, builds):
    one, alone = builds["best"][0]
    with fleet(stack, 6, processes=1, threads=1, services=()) as workers:
        done = begin(workers, rounds=2).work(REGION).values()
        labels = {path: path.stat().st_mtime_ns for path in workers.folder.rglob("*.npy")}
        assert len(labels) == 28
        # Whose patches wait for their third product, and no index says anything of any.
        assert list(workers.folder.rglob("*.npz"))
        assert not list(workers.folder.rglob("*.parquet"))
        # All that these workers' Redis knows, and nothing of that of the other tests.
        redis.Redis.from_url(workers.environment["LANDPATCH_REDIS_URL"]).flushdb()
        before = given_bytes(stack)
        with workers.working(*SERVICES):
            _, files = workers.build()
        given = given_bytes(stack) - before
        assert {path: path.stat().st_mtime_ns for path in labels} == labels
    assert alone.keys() == files.keys()
    assert [name for name in alone if alone[name] != files[name]] == []
    # A request that is tried again moves some bytes twice; a product that is fetched again moves all of them.
    before_it = sum(work.bytes_downloaded for work in done)
    assert before_it > one["bytes_downloaded"] / 2
    assert given < one["bytes_downloaded"] - before_it / 2


def every_build(stack: Stack, builds) -> Iterator[tuple[dict[str, bytes], float, float]]:
    """Objects of each build by file name, with the shares from which on a patch counted as complete."""
    own = {
        name.removeprefix("landpatch/data/"): data
        for name, data in stack.files().items()
        if name.startswith("landpatch/data/") and "/FR101/" in name
    }
    yield own, 0.995, 0.95
    for runs in builds.values():
        for _, files in runs:
            yield files, 1, 1


def test_no_black_or_cloudy_patch_is_indexed_without_its_fractions_saying_so(stack, builds):
    checked = 0
    for files, valid_share, clear_share in every_build(stack, builds):
        index = pd.read_parquet(io.BytesIO(files["images/FR101/2021/filename2bbox.parquet"]))
        rows = pd.read_parquet(io.BytesIO(files["images/FR101/2021/patches.parquet"])).set_index("patch")
        for filename in index["filename"]:
            row = rows.loc[filename.removesuffix(".tif")]
            with (
                rasterio.MemoryFile(files[f"images/FR101/2021/{filename}"]) as memory,
                memory.open() as image,
            ):
                seen = (image.read(range(1, 13)) != 0).all(axis=0).mean()
            assert row["valid_fraction"] == pytest.approx(seen, abs=2e-6)
            full = row["valid_fraction"] >= valid_share and row["clear_fraction"] >= clear_share
            assert row["state"] == ("complete" if full else "partial")
            checked += 1
    assert checked == 5 * 28


def test_the_bands_of_partly_clouded_patches_come_from_the_products_they_name(builds):
    _, files = builds["best"][0]
    rows = pd.read_parquet(io.BytesIO(files["images/FR101/2021/patches.parquet"]))
    shares = rows["shares"].map(np.sum)
    assert np.allclose(shares, rows["valid_fraction"], atol=1e-5)
    assert (rows["shares"].map(len) == rows["products"].map(len)).all()
