"""A bad machine: a disk that is full, a clock that jumps."""

import errno
import os
import shutil
import struct
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.stage import Stage, check_indexes
from tests.waiting import wait_until

pytestmark = [pytest.mark.stack, pytest.mark.chaos, pytest.mark.timeout(1800)]

DISK_BYTES = 300 * 2**20
SPARE_BYTES = 20 * 2**20
"""Room for a part of the region's images."""
ALONE = ("unshare", "--user", "--map-root-user", "--mount")
"""A command with mounts of its own; needs no root, but a kernel that allows it."""
JUMPS_S = (600, -780, 420, -60, 780, -780)
"""Less than a quarter of an hour from the true time: the S3 server, which keeps it, would refuse more."""


def skip_or_fail(reason: str) -> None:
    """What a machine lacks skips here and fails in CI."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture
def small_disk(make_stage) -> Iterator[Stage]:
    """A stack whose store and whose Redis have each a small disk of its own."""
    if shutil.which("unshare") is None or subprocess.run([*ALONE, "true"], check=False).returncode:
        skip_or_fail("this machine does not let a user mount a disk of his own")
    # Pauses a fifth as long as on the other stages: a region waits in vain, and that would take ten minutes.
    stage = make_stage("small_disk", LANDPATCH_RETRY_S="0.4")
    script = 'exec "$@"'
    for name in ("store", "redis"):
        (stage.state / name).mkdir()
        script = f"mount -t tmpfs -o size={DISK_BYTES} chaos '{stage.state / name}' && {script}"
    stage.up(*ALONE, "sh", "-c", script, "sh")
    manager = (stage.state / "run" / "supervisord.pid").read_text().strip()
    stage.root = Path(f"/proc/{manager}/root")
    yield stage
    stage.down()


def _take_room(ballast: int, spare_bytes: int) -> bool:
    """Let a file have what its disk has left but for so many bytes; False when somebody else was faster."""
    left = os.fstatvfs(ballast)
    size = os.fstat(ballast).st_size + left.f_bavail * left.f_frsize - spare_bytes
    if size <= 0:
        return True
    try:
        os.posix_fallocate(ballast, 0, size)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        return False
    return True


def fill(stage: Stage, name: str, spare_bytes: int) -> Path:
    """Fill the disk of the store or of Redis but for so many bytes; the file that does it."""
    ballast = stage.root / str(stage.state / name).lstrip("/") / "ballast"
    with ballast.open("wb") as file:
        wait_until(lambda: _take_room(file.fileno(), spare_bytes), 10, f"the disk of {name} is full")
    stage.tally.faults[f"disk of {name} full"] += 1
    return ballast


def test_a_region_on_a_full_disk_ends_says_why_and_is_the_same_once_there_is_room(small_disk, paris):
    ballast = fill(small_disk, "store", SPARE_BYTES)
    ended = small_disk.region("FR101").wait(900)
    assert ended.code in {1, 3}, ended.stderr
    objects = small_disk.objects()
    if ended.code == 3:
        assert ended.result["missing"]
        assert all(entry["reason"] for entry in ended.result["missing"])
        check_indexes(small_disk.store, objects, labels=False)
    # What is there is whole.
    pairs = [name for name in objects if name.endswith((".tif", ".npy"))]
    assert [name for name in pairs if objects[name] != paris.objects[name]] == []
    ballast.unlink()
    begin = time.monotonic()
    again = small_disk.region("FR101").wait()
    assert again.code == 0, again.stderr
    small_disk.tally.recovered(again.at - begin, "disk of store full")
    small_disk.check(paris, "FR101")


@pytest.mark.parametrize("name", ["store", "redis"])
def test_a_region_is_the_same_when_a_disk_is_full_for_a_while(small_disk, paris, chance, name):
    run = small_disk.region("FR101")
    run.await_begun()
    for _ in range(2):
        time.sleep(chance.uniform(0, paris.seconds / 3))
        ballast = fill(small_disk, name, 0)
        time.sleep(6)
        ballast.unlink()
    begin = time.monotonic()
    ended = run.wait()
    assert ended.code == 0, ended.stderr
    small_disk.tally.recovered(ended.at - begin, f"disk of {name} full")
    small_disk.check(paris, "FR101")


@pytest.fixture
def clock(tmp_path) -> Path:
    """The file that says by how many seconds the clock of a stack is off."""
    path = tmp_path / "clock"
    path.write_bytes(struct.pack("@l", 0))
    return path


@pytest.fixture
def off_clock(tmp_path, make_stage, clock) -> Iterator[Stage]:
    """A stack whose clock can be set: that of Redis and of everything in Python."""
    compiler, library = shutil.which("cc"), tmp_path / "clock.so"
    if compiler is None:
        skip_or_fail("no C compiler: the clock of a process cannot be set")
    source = Path(__file__).with_name("clock.c")
    subprocess.run(
        [str(compiler), "-shared", "-fPIC", "-O2", "-o", str(library), str(source), "-ldl"], check=True
    )
    stage = make_stage("off_clock", LD_PRELOAD=str(library), CHAOS_CLOCK=str(clock))
    stage.make_ready()
    yield stage
    stage.down()


def test_a_region_is_the_same_when_the_clock_jumps(off_clock, clock, paris, chance):
    run = off_clock.region("FR101")
    run.await_begun()
    for jump in JUMPS_S:
        time.sleep(chance.uniform(0, paris.seconds / len(JUMPS_S)))
        with clock.open("r+b") as file:
            file.write(struct.pack("@l", jump))
        off_clock.tally.faults["clock jump"] += 1
    begin = time.monotonic()
    ended = run.wait()
    assert ended.code == 0, ended.stderr
    off_clock.tally.recovered(ended.at - begin, "clock jump")
    off_clock.check(paris, "FR101")
