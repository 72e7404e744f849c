"""Make the products of a region and a year, if they are not there yet."""

import fcntl
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import cv2
import shapely

from landpatch.grid import lay_grid, patch_boxes
from services.sandbox.catalogue import Blocks
from services.sandbox.landscape import load_regions
from services.sandbox.products import find_blocks, is_made, make_product
from services.sandbox.scenes import FIRST_YEAR, LAST_YEAR, Scene, find_tiles, plan_scenes

MARGIN_M = 1000
"""So far around a region's patches there are pixels."""
LARGE_REGION_PATCHES = 100

State = Literal["absent", "running", "done", "failed"]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a region's products are."""

    state: State
    done: int = 0
    total: int = 0
    message: str = ""
    pid: int = 0


def prepare(region_code: str, year: int, root: Path, tell: Callable[[str], None] = print) -> int:
    """Make the products of a region and a year; how many there are.

    Products that are there already with the pixels needed are left alone. One run at a time works on a
    root. `tell` is called with a line for each product. Raises ValueError for an unknown region or a
    year outside the satellites' time.
    """
    work = plan_work(region_code, year)
    waiting = Progress("running", 0, len(work), "waiting for another run to end", os.getpid())
    _note(root, region_code, year, waiting)
    with _lock(root):
        _sweep(root)
        _note(root, region_code, year, Progress("running", 0, len(work), pid=os.getpid()))
        try:
            for done, name in enumerate(_make_all(work, root), start=1):
                _note(root, region_code, year, Progress("running", done, len(work), name, os.getpid()))
                tell(f"product {done}/{len(work)} {name}")
        except BaseException as error:
            failed = Progress("failed", 0, len(work), f"{type(error).__name__}: {error}")
            _note(root, region_code, year, failed)
            raise
        _note(root, region_code, year, Progress("done", len(work), len(work)))
    return len(work)


def plan_work(region_code: str, year: int) -> list[tuple[Scene, Blocks]]:
    """The products of a region and a year that show any of it, each with the blocks needed."""
    check_request(region_code, year)
    patches = lay_grid(load_regions()[region_code])  # type: ignore[arg-type]
    area = shapely.union_all(patch_boxes(patches)).buffer(MARGIN_M, join_style="mitre")
    large = len(patches) > LARGE_REGION_PATCHES
    plans = [
        (scene, find_blocks(scene, area))
        for tile in find_tiles(area)
        for scene in plan_scenes(tile, year, large=large)
    ]
    return [(scene, blocks) for scene, blocks in plans if blocks]


def check_request(region_code: str, year: int) -> None:
    """Raise ValueError for an unknown region, or a year outside the satellites' time."""
    if region_code not in load_regions():
        raise ValueError(f"unknown region {region_code}")
    if not FIRST_YEAR <= year <= LAST_YEAR:
        raise ValueError(f"year {year} is not in {FIRST_YEAR}-{LAST_YEAR}")


def _make_all(work: list[tuple[Scene, Blocks]], root: Path) -> Iterator[str]:
    """Make what is not there yet; the name of each product once it is there."""
    missing = []
    for scene, blocks in work:
        if is_made(scene, blocks, root):
            yield scene.name
        else:
            missing.append((scene, blocks))
    if not missing:
        return
    missing.sort(key=lambda item: -len(item[1]) * item[0].online)
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(os.cpu_count() or 1, len(missing)), spawn, _start_worker) as pool:
        names = {pool.submit(make_product, scene, blocks, root): scene.name for scene, blocks in missing}
        for future in as_completed(names):
            future.result()
            yield names[future]


def _start_worker() -> None:
    cv2.setNumThreads(1)
    os.environ["GDAL_NUM_THREADS"] = "1"


@contextmanager
def _lock(root: Path) -> Iterator[None]:
    root.mkdir(parents=True, exist_ok=True)
    with (root / ".prepare.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _sweep(root: Path) -> None:
    """Remove what a run that was killed has left half written."""
    for leftover in root.glob("eodata/Sentinel-2/MSI/L2A/*/*/*/.S2*"):
        shutil.rmtree(leftover, ignore_errors=True)


def _note_path(root: Path, region_code: str, year: int) -> Path:
    return root / "prepare" / f"{region_code}_{year}.json"


def _note(root: Path, region_code: str, year: int, progress: Progress) -> None:
    path = _note_path(root, region_code, year)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}")
    part.write_text(json.dumps(asdict(progress)))
    part.replace(path)


def read_progress(region_code: str, year: int, root: Path) -> Progress:
    """How far a region's products are; `failed` when the run that made them is gone."""
    path = _note_path(root, region_code, year)
    if not path.exists():
        return Progress("absent")
    progress = Progress(**json.loads(path.read_text()))
    if progress.state == "running" and not _is_alive(progress.pid):
        return Progress("failed", progress.done, progress.total, "the run has ended before its end")
    return progress


def _is_alive(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    try:
        return stat.read_text().rsplit(")", 1)[-1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def start_preparing(region_code: str, year: int, root: Path) -> None:
    """Start `prepare` in a process of its own, unless one is at work on it."""
    check_request(region_code, year)
    if read_progress(region_code, year, root).state == "running":
        return
    command = [sys.executable, "-m", "services.sandbox", "prepare", region_code, "--year", str(year)]
    log = _note_path(root, region_code, year).with_suffix(".log")
    starting = Progress("running", 0, 0, "starting", os.getpid())
    _note(root, region_code, year, starting)
    with log.open("wb") as output:
        child = subprocess.Popen(
            [*command, "--root", str(root)],
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=Path(__file__).parents[2],
            start_new_session=True,
        )

    def watch() -> None:
        code = child.wait()
        if read_progress(region_code, year, root) == starting:
            _note(root, region_code, year, Progress("failed", message=f"exit code {code}, see {log}"))

    threading.Thread(target=watch, daemon=True).start()
