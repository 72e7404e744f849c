"""The same inputs give the same bytes, with however many workers and in whatever order of messages."""

import io
import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
import rasterio
import redis

from landpatch.broker import queue_keys
from tests.environment import clean_environment
from tests.integration.conftest import ROOT, Built, Stack

# Four builds of a region, on whatever machine.
pytestmark = [pytest.mark.stack, pytest.mark.timeout(1200)]

SERVICES = {"dispatcher": "dispatch", "image_worker": "images", "label_worker": "labels", "indexer": "index"}
# No patch is ever complete: each uses three products, so a round has several messages.
RULES = {"LANDPATCH_VALID_SHARE": "1", "LANDPATCH_CLEAR_SHARE": "1", "LANDPATCH_MAX_PRODUCTS": "3"}


@dataclass(frozen=True)
class Fleet:
    """Workers of their own, on a Redis database and under a prefix of their own."""

    stack: Stack
    environment: dict[str, str]
    prefix: str

    def build(self, composite: str) -> tuple[dict, dict[str, bytes]]:
        """Build FR101; the summary and every object."""
        command = [
            sys.executable,
            "-m",
            "landpatch.cli",
            "region",
            "FR101",
            "--json",
            "--composite",
            composite,
        ]
        run = subprocess.run(
            command, cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=200, check=False
        )
        assert run.returncode == 0, run.stderr
        begin = f"landpatch/{self.prefix}/"
        files = {
            name.removeprefix(begin): data
            for name, data in self.stack.files().items()
            if name.startswith(begin)
        }
        return json.loads(run.stdout.splitlines()[-1]), files


@contextmanager
def fleet(
    stack: Stack, database: int, processes: int, threads: int, turned: bool = False, **given: str
) -> Iterator[Fleet]:
    """Start workers; the image workers get their messages in another order when `turned`. given: settings."""
    prefix = f"fleet{database}"
    settings = stack.settings() | RULES | given
    settings |= {"LANDPATCH_PREFIX": prefix, "LANDPATCH_THREADS": str(threads)}
    settings["LANDPATCH_REDIS_URL"] = settings["LANDPATCH_REDIS_URL"].removesuffix("/0") + f"/{database}"
    environment = clean_environment(**settings, LANDPATCH_STATE_DIR=str(stack.state))
    workers = []

    def start(service: str) -> None:
        command = [sys.executable, "-m", "celery", "-A", f"services.{service}", "worker"]
        command += ["--queues", SERVICES[service], "--hostname", f"{service}@{prefix}"]
        command += ["--concurrency", str(processes if service == "image_worker" else 1)]
        command += ["--without-gossip", "--without-mingle", "--loglevel", "WARNING"]
        quiet = subprocess.DEVNULL
        workers.append(subprocess.Popen(command, cwd=ROOT, env=environment, stdout=quiet, stderr=quiet))

    try:
        for service in SERVICES:
            start(service)
        with turning_queue(stack, database) if turned else nullcontext():
            yield Fleet(stack, environment, prefix)
    finally:
        for worker in workers:
            worker.terminate()
        for worker in workers:
            try:
                worker.wait(40)
            except subprocess.TimeoutExpired:
                worker.kill()
        shutil.rmtree(stack.state / "store" / "landpatch" / prefix, ignore_errors=True)


@contextmanager
def turning_queue(stack: Stack, database: int) -> Iterator[None]:
    """Keep turning the queue of image messages: what waits longest goes to the end of the line, and from one
    priority to another."""
    # Evaluated by Redis itself, so that no message is ever off the queue.
    script = """
    for i, key in ipairs(KEYS) do
      for _ = 1, redis.call('LLEN', key) - 1 do redis.call('RPOPLPUSH', key, key) end
      redis.call('RPOPLPUSH', key, KEYS[i % #KEYS + 1])
    end
    """
    keys = queue_keys("images")
    client = redis.Redis(
        port=stack.access["redis_port"], password=stack.access["redis_password"], db=database
    )

    over = threading.Event()

    def turn() -> None:
        with client:
            while not over.wait(0.05):
                client.eval(script, len(keys), *keys)

    thread = threading.Thread(target=turn)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


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
