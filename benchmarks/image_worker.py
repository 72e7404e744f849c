"""The image worker: a dense product, a sparse one, and one worker against two."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from subprocess import Popen
from typing import Any

from benchmarks.products import make_product, patches_of_tile, product_name, product_path
from benchmarks.stage import Stage, open_stage, start_worker, take_answer, take_turns
from landpatch.settings import Settings

SAMPLE = 120
"""Patches whose deflating is measured for the floor."""


def _quota() -> dict[str, str]:
    """What the EO data store grants an account: what the settings are if nobody sets them."""
    usual = Settings.model_validate({})
    return {
        "LANDPATCH_EO_CONNECTION_BYTES_PER_S": str(usual.eo_connection_bytes_per_s),
        "LANDPATCH_EO_REQUESTS_PER_MINUTE": str(usual.eo_requests_per_minute),
    }


def _prepare(stage: Stage, products: list[int], tlm: bool) -> None:
    for number in products:
        make_product(product_name(number, tlm), stage.folder, tlm)


def _start_floor(stage: Stage, patches: int | str, *, tlm: bool, stop: bool = False) -> "Popen[str]":
    folder = stage.folder / "eodata" / product_path(product_name(0, tlm))
    job = {"job": "floor", "folder": str(folder), "patches": patches, "sample": SAMPLE, "stop": stop}
    return start_worker(stage, job)


def dense() -> dict[str, Any]:
    """All patches of a tile out of one product, on one thread, against decoding its tiles and deflating its
    patches once each. Both are done in turns of some seconds: a shared machine is faster at one time than at
    another."""
    patches = len(patches_of_tile(5000))
    with open_stage() as stage:
        _prepare(stage, [0], tlm=False)
        job = {"job": "cut", "products": [0], "patches": patches, "tlm": False}
        bare = _start_floor(stage, patches, tlm=False, stop=True)
        cutting = start_worker(stage, job, LANDPATCH_THREADS="1")
        # The floor takes about half as long.
        take_turns((cutting, 4), (bare, 2))
        cut, floor = take_answer(cutting), take_answer(bare)
    floor_cpu_s = floor["decode_cpu_s"] + floor["encode_cpu_s_patch"] * cut["patches"]
    return {
        "patches": cut["patches"],
        "cpu_s": cut["cpu_s"],
        "floor_cpu_s": floor_cpu_s,
        "cpu_over_floor": cut["cpu_s"] / floor_cpu_s,
        "cpu_s_a_patch": cut["cpu_s"] / cut["patches"],
        "cpu_s_a_patch_if_the_floor_were_0.09": cut["cpu_s"] / floor_cpu_s * 0.09,
        "floor_cpu_s_a_patch": floor_cpu_s / cut["patches"],
        "peak_gib": cut["peak_bytes"] / 2**30,
        "bytes_over_product": cut["bytes"] / floor["product_bytes"],
        "requests": cut["requests"],
        "redis_commands_a_patch": cut["commands"] / cut["patches"],
    }


def sparse() -> dict[str, Any]:
    """The 28 patches of FR101 out of one product, with and without TLM markers, under the quota of an
    account: what a request costs decides how the bytes are fetched."""
    figures: dict[str, Any] = {}
    for tlm in (True, False):
        with open_stage() as stage:
            _prepare(stage, [0], tlm)
            job = {"job": "cut", "products": [0], "patches": "FR101", "tlm": tlm}
            cut = take_answer(start_worker(stage, job, LANDPATCH_THREADS="1", **_quota()))
            floor = take_answer(_start_floor(stage, "FR101", tlm=tlm))
        floor_cpu_s = floor["decode_cpu_s"] + floor["encode_cpu_s_patch"] * cut["patches"]
        name = "with_tlm" if tlm else "without_tlm"
        figures |= {
            f"bytes_over_product_{name}": cut["bytes"] / floor["product_bytes"],
            f"requests_{name}": cut["requests"],
            f"redis_commands_a_patch_{name}": cut["commands"] / cut["patches"],
            f"cpu_over_floor_{name}": cut["cpu_s"] / floor_cpu_s,
            f"wall_s_{name}": cut["wall_s"],
        }
    return figures


@contextmanager
def _on_one_core() -> Iterator[None]:
    """Whatever is started in here has one core for all of it."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


def _cut_by(stage: Stage, *shares: list[int]) -> tuple[float, float]:
    """Cut products with as many workers, of one thread each, as there are shares; wall and CPU seconds."""
    job = {"job": "cut", "patches": 120, "tlm": True}
    workers = [start_worker(stage, job | {"products": share}, LANDPATCH_THREADS="1") for share in shares]
    answers = [take_answer(worker) for worker in workers]
    return max(answer["wall_s"] for answer in answers), sum(answer["cpu_s"] for answer in answers)


def _decode_by(stage: Stage, processes: int) -> float:
    """The wall seconds of processes that only decode the same product."""
    folder = stage.folder / "eodata" / product_path(product_name(0, True))
    job = {"job": "floor", "folder": str(folder), "patches": 120, "sample": 1}
    decoders = [start_worker(stage, job) for _ in range(processes)]
    return max(float(take_answer(decoder)["decode_wall_s"]) for decoder in decoders)


def scaling() -> dict[str, Any]:
    """Four products on one worker and one core, then two and two on two workers and two cores.

    The two S3 servers and Redis, which elsewhere have machines of their own, share the cores in both: they
    take a fifth of what a worker takes. `speedup_servers_free` is against one worker that leaves them the
    other core, which is more than two workers do. The floor: what this machine gives two processes that only
    decode.
    """
    with _on_one_core(), open_stage() as stage:
        _prepare(stage, [0, 1, 2, 3], tlm=True)
        alone_s, alone_cpu_s = _cut_by(stage, [0, 1, 2, 3])
        floor_alone_s = _decode_by(stage, 1)
    with open_stage() as stage:
        _prepare(stage, [0, 1, 2, 3, 4, 5, 6, 7], tlm=True)
        together_s, together_cpu_s = _cut_by(stage, [4, 5], [6, 7])
        servers_free_s, _ = _cut_by(stage, [0, 1, 2, 3])
        floor_together_s = _decode_by(stage, 2)
    return {
        "wall_s_one_worker": alone_s,
        "wall_s_two_workers": together_s,
        "cpu_s_one_worker": alone_cpu_s,
        "cpu_s_two_workers": together_cpu_s,
        "speedup": alone_s / together_s,
        "speedup_servers_free": servers_free_s / together_s,
        "floor_speedup": 2 * floor_alone_s / floor_together_s,
    }
