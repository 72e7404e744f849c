"""A process that does one job and says what it took: `python -m benchmarks.worker JOB`, JSON in and out."""

import json
import os
import resource
import signal
import sys
import time
from datetime import UTC, date, datetime
from typing import Any

from benchmarks.products import METADATA, ROOT, patches_of, product_name, product_path
from benchmarks.stage import count_commands
from landpatch.codec import encode_image
from landpatch.composite import compose_best
from landpatch.connection import open_redis
from landpatch.ledger import open_ledger
from landpatch.messages import CutScene, PatchWork, RegionRequest, SceneRef
from landpatch.metadata import parse_radiometry
from landpatch.patch import Patch
from landpatch.settings import load_settings
from landpatch.storage import open_store
from services.image_worker.bands import Pixels
from services.image_worker.cut import cut_patches, locate_patches, needed_tiles
from services.image_worker.imagery import open_imagery
from services.image_worker.loader import Room
from services.image_worker.pipeline import ImageWorker
from services.image_worker.product import MemoryProduct
from services.image_worker.turn import Turn

YEAR = 2023


def cut(job: dict[str, Any]) -> dict[str, Any]:
    """Cut patches out of products with a whole image worker: fetch, decode, warp, encode, store, ledger."""
    settings = load_settings(None)
    ledger = open_ledger(settings)
    worker = ImageWorker(settings, open_store(settings), open_imagery(settings), ledger, Turn())
    patches = patches_of(job["patches"])
    client = open_redis(settings)
    took = {"patches": 0, "bytes": 0, "requests": 0, "commands": 0}
    begin, begin_cpu = time.monotonic(), time.process_time()
    for number in job["products"]:
        message = _message(f"XX{number:03d}", number, patches, job["tlm"])
        request = RegionRequest(nuts=message.nuts, year=YEAR, start=date(YEAR, 5, 1), end=date(YEAR, 9, 30))
        run, _ = ledger.start(request)
        message = message.model_copy(update={"run": run})
        ledger.open_round(message.region, run, 1, [message])
        asked = count_commands(client)
        worker.cut(message)
        took["commands"] += count_commands(client) - asked - 1
        states = [outcome.state for outcome in ledger.outcomes(message.region, "images").values()]
        took["patches"] += states.count("complete")
        for work in ledger.work(message.region).values():
            took["bytes"] += work.bytes_downloaded
            took["requests"] += work.requests
    return took | _spent(begin, begin_cpu)


def _message(nuts: str, number: int, patches: list[Patch], tlm: bool) -> CutScene:
    name = product_name(number, tlm)
    scene = SceneRef(
        id=f"00000000-0000-0000-0000-{number:012d}",
        name=name,
        s3_path=product_path(name),
        sensed=datetime(YEAR, 6, 1, tzinfo=UTC),
        baseline=(5, 12 if tlm else 10),
    )
    return CutScene(
        run="bench",
        nuts=nuts,
        year=YEAR,
        round=1,
        recipe="bench",
        composite="best",
        scene=scene,
        patches=tuple(PatchWork(name=patch.name) for patch in patches),
    )


def floor(job: dict[str, Any]) -> dict[str, Any]:
    """What cannot be saved: decode each needed tile once, deflate each patch once (a sample of them, one
    after every few tiles). Before what is measured it stops itself where the job says so, until it is told to
    go on."""
    folder = ROOT / job["folder"]
    files = {}
    for path in folder.rglob("*.jp2"):
        label = path.stem.split("_")[2]
        files[label.replace("B0", "B")] = path.read_bytes()
    metadata = (ROOT / "tests/data/sentinel2" / METADATA[0] / "MTD_MSIL2A.xml").read_bytes()
    memory = MemoryProduct("FLOOR", parse_radiometry(metadata, "FLOOR"), files)
    patches = patches_of(job["patches"])
    sites = locate_patches(memory.product, patches)
    sample = sites[:: max(1, len(sites) // job["sample"])]
    cut = cut_patches(
        memory.product,
        memory.open(needed_tiles(memory.product, sample)),
        sample,
        "scene",
        lambda patch, seen: (patch, compose_best([seen]).bands) if seen else None,
        1,
        Room(2**40),
    )
    images = [image for image in cut if image]
    needed = needed_tiles(memory.product, sites)
    bands = memory.open(needed)
    tiles = [(name, tile) for name in needed for tile in needed[name]]
    if job.get("stop"):
        os.kill(os.getpid(), signal.SIGSTOP)
    decode_s = decode_wall_s = encode_s = 0.0
    sizes: list[int] = []
    for number, (name, tile) in enumerate(tiles, 1):
        begin, begin_cpu = time.monotonic(), time.process_time()
        _: Pixels = bands[name].decode(tile)
        decode_s += time.process_time() - begin_cpu
        decode_wall_s += time.monotonic() - begin
        while len(sizes) < len(images) * number // len(tiles):
            patch, pixels = images[len(sizes)]
            begin_cpu = time.process_time()
            sizes.append(len(encode_image(pixels, patch, {})))
            encode_s += time.process_time() - begin_cpu
    return {
        "decode_cpu_s": decode_s,
        "decode_wall_s": decode_wall_s,
        "encode_cpu_s_patch": encode_s / len(sizes),
        "image_bytes": sum(sizes) / len(sizes),
        "tiles": len(tiles),
        "product_bytes": sum(map(len, files.values()))
        + sum((folder / name).stat().st_size for name in ("MTD_MSIL2A.xml", "manifest.safe")),
    }


def _spent(begin: float, begin_cpu: float) -> dict[str, float]:
    return {
        "wall_s": time.monotonic() - begin,
        "cpu_s": time.process_time() - begin_cpu,
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


JOBS = {"cut": cut, "floor": floor}

if __name__ == "__main__":
    asked = json.loads(sys.argv[1])
    print(json.dumps(JOBS[asked["job"]](asked)))
