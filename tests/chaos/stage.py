"""An embedded stack to be disturbed, and the regions that are built on it while it is."""

import io
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
import psutil
import pytest
import redis
from supervisor.xmlrpc import SupervisorTransport

from services.stack.state import MARKER, Folders
from tests.chaos import insides
from tests.chaos.tally import Tally
from tests.environment import ROOT, clean_environment
from tests.integration.conftest import Stack
from tests.waiting import wait_until

LEASE_S, RECONCILE_S = 12, 3
"""Short, so that a test does not wait long for what a dead worker had in hand."""
PATIENCE_S = 400.0
"""So long after the last fault a region may take: three minutes until the connections of a killed worker come
back to the account, several leases, and a region made from its beginning on a slow machine."""
UP_TIMEOUT_S = 700.0
SEEN_AFTER_S = 1.3
"""The store sees after a second what others have changed in its folder."""
T = TypeVar("T")
Written = Mapping[Path, int]
"""When an object was written, nanoseconds, by its path."""
Objects = Mapping[str, str]
"""SHA-256 of each object, by its path below the store."""


@dataclass(frozen=True)
class Undisturbed:
    """What regions give when nothing happens to them."""

    objects: Objects
    seconds: float
    """From the moment when the first was asked for until the last was done."""


@dataclass(frozen=True)
class Ended:
    """A `landpatch region` that has ended by itself."""

    code: int
    result: dict[str, Any]
    """What `--json` has printed; empty when it has not."""
    stderr: str
    at: float
    """When it was seen to be over, on the monotonic clock."""


class Run:
    """A `landpatch region` in the background."""

    def __init__(self, stage: "Stage", region: str, command: list[str], environment: dict[str, str]) -> None:
        """region: such as `FR101/2021`."""
        self.region = region
        self._stage = stage
        folder = stage.state / "runs"
        folder.mkdir(exist_ok=True)
        name = f"{next(stage.numbers):03d}_{region.replace('/', '_')}"
        self._out, self._err = folder / f"{name}.out", folder / f"{name}.err"
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self._process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=out, stderr=err)
        self._end: float | None = None

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        if self._end is None and self._process.poll() is not None:
            self._end = time.monotonic()
        return self._end is not None

    def kill(self) -> None:
        """As if its terminal had been closed."""
        self._process.kill()
        self._process.wait()

    def await_begun(self) -> None:
        """Wait until the ledger knows the run: what comes before is checks, and bounded by itself."""
        states = {"", *insides.OVER}
        wait_until(
            lambda: self.is_over or self._stage.ask(insides.state, self.region) not in states,
            UP_TIMEOUT_S,
            f"{self.region} begins: {self._err.read_text()[-2000:]}",
        )

    def await_images(self, count: int) -> None:
        """Wait until so many images are stored: how far it is, however fast the machine."""
        wait_until(
            lambda: self.is_over or len(self._stage.images(self.region)) >= count,
            PATIENCE_S,
            f"{count} images of {self.region} are stored",
        )

    def wait(self, timeout_s: float = PATIENCE_S) -> Ended:
        """Wait for its end; fail the test, with what there is to be seen, when it does not come."""
        deadline = time.monotonic() + timeout_s
        while not self.is_over:
            if time.monotonic() > deadline:
                seen = self._stage.describe(self.region)
                self.kill()
                said = self._err.read_text()[-2000:]
                pytest.fail(f"{self.region} has not ended in {timeout_s:.0f} s\n{said}\n{seen}")
            time.sleep(0.05)
        assert self._end is not None
        lines = self._out.read_text().splitlines()
        result = json.loads(lines[-1]) if lines else {}
        return Ended(self._process.returncode, result, self._err.read_text(), self._end)


class Stage:
    """An embedded stack in a state folder of its own."""

    def __init__(self, state: Path, tally: Tally, **settings: str) -> None:
        """settings: environment variables for all that runs."""
        self.state = state
        self.tally = tally
        self.numbers = itertools.count(1)
        self.spoilt = True
        """Whether the next test has to begin with an empty stack."""
        waits = {
            "LANDPATCH_LEASE_S": str(LEASE_S),
            "LANDPATCH_RECONCILE_S": str(RECONCILE_S),
            "LANDPATCH_RETRY_S": "2",
        }
        self.environment = clean_environment(LANDPATCH_STATE_DIR=str(state), **waits | settings)
        self._seen_starts = 0
        self.root = Path("/")
        """What the stack sees as the root of the file system."""
        self.state.mkdir(parents=True, exist_ok=True)

    # the stack

    def up(self, *before: str) -> None:
        """`python -m services.stack up`; before: words in front of the command."""
        command = [*before, sys.executable, "-m", "services.stack", "up"]
        done = self.obey(command)
        assert done.returncode == 0, done.stderr

    def down(self) -> None:
        """`python -m services.stack down`, if it has ever been up; fails when anything stays."""
        if not (self.state / "run" / "access.json").exists():
            return
        ports = [int(port) for name, port in Stack(self.state).access.items() if name.endswith("_port")]
        self._count_restarts()
        done = self.obey([sys.executable, "-m", "services.stack", "down"])
        assert done.returncode == 0, done.stderr
        assert self.processes() == []
        assert _find_listeners(ports, self.state) == []

    def obey(self, command: list[str], timeout_s: float = UP_TIMEOUT_S) -> subprocess.CompletedProcess[str]:
        """Run a command in the stage's environment, to its end."""
        return subprocess.run(
            command,
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def make_ready(self) -> None:
        """Have an empty stack that runs; a new one when the last test has left it otherwise."""
        if self.spoilt:
            self.down()
            for folder in ("redis", "store"):
                shutil.rmtree(self.state / folder, ignore_errors=True)
            if (self.state / "logs").exists():
                # For whoever looks why a test has failed.
                (self.state / "logs").rename(self.state / f"logs_before_{next(self.numbers):03d}")
            self.up()
            self._seen_starts = self._starts()
        else:
            self.clear()
        self.spoilt = True

    def clear(self) -> None:
        """Forget every region that has been built."""
        for folder in self._buckets():
            for child in folder.iterdir():
                shutil.rmtree(child)
        for region in self.redis.smembers("landpatch:regions"):
            insides.forget(self.redis, region)
        time.sleep(SEEN_AFTER_S)

    def _buckets(self) -> list[Path]:
        return [path for path in self.store.iterdir() if path.is_dir()]

    # what can be seen

    @property
    def redis(self) -> redis.Redis:
        """A client of the stack's Redis."""
        access = Stack(self.state).access
        return _connect(int(access["redis_port"]), str(access["redis_password"]))

    def ask(self, question: Callable[..., T], *arguments: str) -> T | None:
        """The answer that Redis gives; None while it does not answer."""
        try:
            return question(self.redis, *arguments)
        except redis.RedisError:
            return None

    @property
    def store(self) -> Path:
        """The folder of the destination store."""
        return self.root / str(self.state / "store").lstrip("/")

    def objects(self) -> Objects:
        """Every object of the store, whatever it is."""
        store = self.store
        return {
            str(path.relative_to(store)): sha256(path.read_bytes()).hexdigest()
            for path in sorted(store.rglob("*"))
            if path.is_file()
        }

    def made(self) -> Written:
        """Images and labels that are stored, and when each was written."""
        return {
            path: path.stat().st_mtime_ns
            for kind in ("tif", "npy")
            for path in self.store.rglob(f"[!.]*.{kind}")
        }

    def images(self, region: str) -> list[Path]:
        """The images of a region that are stored; region: such as `FR101/2021`."""
        return list(self.store.glob(f"*/data/images/{region}/*.tif"))

    def processes(self) -> list[psutil.Process]:
        """Every process of the stack; Redis writes its title over the mark, and is known by its folder."""
        found = []
        for process in psutil.process_iter():
            try:
                marked = process.environ().get(MARKER) == str(self.state)
                if marked or process.cwd() == str(self.state / "redis"):
                    found.append(process)
            except (psutil.Error, OSError):
                continue
        return [process for process in found if process.status() != psutil.STATUS_ZOMBIE]

    def orphans(self) -> list[psutil.Process]:
        """Processes of the stack that supervisord does not know of: nobody would ever end them."""
        manager = int((self.state / "run" / "supervisord.pid").read_text())
        return [one for one in self.processes() if one.pid != manager and not _descends(one, manager)]

    def family(self, part: str) -> list[psutil.Process]:
        """A part's own process and then its children; empty while it does not run."""
        try:
            own = psutil.Process(self._info(part)["pid"])
            return [own, *own.children()] if own.pid else []
        except (psutil.Error, OSError, xmlrpc.client.Error):
            return []

    def _info(self, part: str) -> dict[str, Any]:
        return next(info for info in self.manager().getAllProcessInfo() if info["name"] == part)

    def manager(self) -> Any:
        """supervisord, to be asked."""
        transport: Any = SupervisorTransport(None, None, serverurl=f"unix://{Folders(self.state).socket}")
        proxy: Any = xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport)
        return proxy.supervisor

    def describe(self, region: str) -> str:
        """What a person wants to see of a region that hangs."""
        lines = [str(self.ask(insides.describe, region))]
        try:
            parts = self.manager().getAllProcessInfo()
            lines.append(", ".join(f"{info['name']} {info['statename']}" for info in parts))
        except (OSError, xmlrpc.client.Error):
            lines.append("supervisord does not answer")
        for log in sorted((self.state / "logs").glob("*.log")):
            loud = [
                line
                for line in log.read_text(errors="replace").splitlines()
                if "ERROR" in line or "error" in line
            ]
            lines += [f"{log.name}: {line[:300]}" for line in loud[-4:]]
        return "\n".join(lines)

    def _starts(self) -> int:
        return (self.state / "logs" / "supervisord.log").read_text().count(" INFO spawned: ")

    def _count_restarts(self) -> None:
        if (self.state / "logs" / "supervisord.log").exists():
            now = self._starts()
            self.tally.restarts += max(now - self._seen_starts, 0)
            self._seen_starts = now

    # regions

    def region(self, nuts: str, *options: str, **extra: str) -> Run:
        """Start `landpatch region` as a user would."""
        command = [*self.command("region"), nuts, "--json", *options]
        return Run(self, f"{nuts}/2021", command, self.environment | extra)

    def command(self, name: str) -> list[str]:
        """A command of the command line."""
        return [str(Path(sys.executable).parent / "landpatch"), name]

    def make(self, *words: str) -> subprocess.CompletedProcess[str]:
        """`make` as a user would."""
        return self.obey(["make", *words], UP_TIMEOUT_S + PATIENCE_S)

    def build(self, *regions: str, **extra: str) -> Undisturbed:
        """Build regions one after the other, undisturbed, and take them away again; what came out."""
        seconds = 0.0
        for nuts in regions:
            ended = self.region(nuts, **extra).wait(600)
            assert ended.code == 0, ended.stderr
            seconds += ended.result["seconds"]
        self.check_quiet(*regions)
        objects = self.objects()
        check_indexes(self.store, objects)
        self.clear()
        return Undisturbed(objects, seconds)

    def check(self, undisturbed: Undisturbed, *regions: str) -> None:
        """Fail unless all is as after an undisturbed run: objects, indexes, queues, ledger, processes."""
        self.check_quiet(*regions)
        objects, expected = self.objects(), undisturbed.objects
        assert sorted(objects.keys() ^ expected.keys()) == [], "in one run and not in the other"
        assert [name for name in objects if objects[name] != expected[name]] == [], "other bytes"
        check_indexes(self.store, objects)
        self.tally.regions += len(regions)
        self.tally.objects += len(objects)

    def check_quiet(self, *regions: str) -> None:
        """Fail unless nothing of the regions is left: no message, no task in the ledger, no orphan."""

        def is_quiet() -> bool:
            client = self.redis
            open_ = any(insides.left_open(client, f"{nuts}/2021") for nuts in regions)
            return not (
                insides.waiting(client).total() or insides.handed_out(client) or open_ or self.orphans()
            )

        deadline = time.monotonic() + 4 * (LEASE_S + RECONCILE_S)
        while not is_quiet():
            if time.monotonic() > deadline:
                orphans = [f"{one.pid} {' '.join(one.cmdline())[:200]}" for one in self.orphans()]
                seen = "\n".join(self.describe(f"{nuts}/2021") for nuts in regions)
                pytest.fail(f"something is left behind; orphans {orphans}\n{seen}")
            time.sleep(0.3)

    # faults

    def kill(self, process: psutil.Process, what: str) -> None:
        """SIGKILL; counted only if it was still there."""
        try:
            process.kill()
        except psutil.NoSuchProcess:
            return
        self.tally.kills[what] += 1

    def kill_part(self, part: str) -> None:
        """SIGKILL a part's own process, once it runs."""
        wait_until(lambda: self.family(part), UP_TIMEOUT_S, f"{part} runs")
        self.kill(self.family(part)[0], part)

    def kill_everything(self) -> None:
        """SIGKILL every process of the stack, supervisord first, until none is left."""
        self._count_restarts()
        self.tally.faults["everything killed"] += 1
        os.kill(int((self.state / "run" / "supervisord.pid").read_text()), signal.SIGKILL)
        while left := self.processes():
            for process in left:
                self.kill(process, "whole stack")
            psutil.wait_procs(left, timeout=1)


@cache
def _connect(port: int, password: str) -> redis.Redis:
    return redis.Redis(port=port, password=password, decode_responses=True, socket_timeout=5)


def check_indexes(store: Path, objects: Objects, *, labels: bool = True) -> None:
    """Fail unless each index lists every image of its folder once, with its label, and no other."""
    indexes = [name for name in objects if name.endswith("/filename2bbox.parquet")]
    assert indexes
    for name in indexes:
        folder = name.removesuffix("filename2bbox.parquet")
        listed = list(pd.read_parquet(io.BytesIO((store / name).read_bytes())).filename)
        images = sorted(Path(key).name for key in objects if key.startswith(folder) and key.endswith(".tif"))
        assert listed == images
        pairs = folder.replace("/images/", "/labels/")
        assert not labels or all(f"{pairs}{Path(image).stem}.npy" in objects for image in images)
    assert not [name for name in objects if "/observations/" in name]


def _descends(process: psutil.Process, ancestor: int) -> bool:
    try:
        return any(parent.pid == ancestor for parent in process.parents())
    except psutil.NoSuchProcess:
        return True


def _find_listeners(ports: list[int], state: Path) -> list[int]:
    """Who listens on ports that a stack has had, and belongs to no other stack that has taken them since."""
    found = []
    for connection in psutil.net_connections("tcp"):
        if (
            connection.status != psutil.CONN_LISTEN
            or connection.laddr.port not in ports
            or not connection.pid
        ):
            continue
        with suppress(psutil.Error):
            if psutil.Process(connection.pid).environ().get(MARKER, str(state)) == str(state):
                found.append(connection.pid)
    return found
