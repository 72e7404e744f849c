"""Workers of a test's own, with the settings that it wants, beside those of the stack."""

import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import redis

from landpatch.broker import queue_keys
from tests.environment import ROOT, clean_environment
from tests.integration.conftest import Stack
from tests.waiting import LONG_S

SERVICES = {"dispatcher": "dispatch", "image_worker": "images", "label_worker": "labels", "indexer": "index"}
# No patch is ever complete: each uses three products, so a round has several messages.
RULES = {"LANDPATCH_VALID_SHARE": "1", "LANDPATCH_CLEAR_SHARE": "1", "LANDPATCH_MAX_PRODUCTS": "3"}


@dataclass(frozen=True)
class Fleet:
    """Workers of their own, on a Redis database and under a prefix of their own."""

    stack: Stack
    environment: dict[str, str]
    prefix: str
    processes: int
    """Of an image worker."""

    @property
    def folder(self) -> Path:
        """Of their objects."""
        return self.stack.state / "store" / "landpatch" / self.prefix

    @contextmanager
    def working(self, *services: str) -> Iterator[None]:
        """Run workers of these services."""
        workers = [self._start(service) for service in services]
        try:
            yield
        finally:
            for worker in workers:
                worker.terminate()
            for worker in workers:
                try:
                    worker.wait(LONG_S)
                except subprocess.TimeoutExpired:
                    worker.kill()

    def _start(self, service: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "celery", "-A", f"services.{service}", "worker"]
        command += ["--queues", SERVICES[service], "--hostname", f"{service}@{self.prefix}"]
        command += ["--concurrency", str(self.processes if service == "image_worker" else 1)]
        command += ["--without-gossip", "--without-mingle", "--loglevel", "WARNING"]
        quiet = subprocess.DEVNULL
        return subprocess.Popen(command, cwd=ROOT, env=self.environment, stdout=quiet, stderr=quiet)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the command line with the settings of these workers."""
        command = [sys.executable, "-m", "landpatch.cli", *arguments]
        return subprocess.run(
            command,
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=3 * LONG_S,
            check=False,
        )

    def build(self, composite: str = "best") -> tuple[dict, dict[str, bytes]]:
        """Build FR101; the summary and every object."""
        run = self.run("region", "FR101", "--json", "--composite", composite)
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
    stack: Stack,
    database: int,
    processes: int,
    threads: int,
    turned: bool = False,
    services: Collection[str] = tuple(SERVICES),
    **given: str,
) -> Iterator[Fleet]:
    """Start workers; the image workers get their messages in another order when `turned`. services: whose
    workers run from the beginning. given: settings."""
    prefix = f"fleet{database}"
    settings = stack.settings() | RULES | given
    settings |= {"LANDPATCH_PREFIX": prefix, "LANDPATCH_THREADS": str(threads)}
    settings["LANDPATCH_REDIS_URL"] = settings["LANDPATCH_REDIS_URL"].removesuffix("/0") + f"/{database}"
    environment = clean_environment(**settings, LANDPATCH_STATE_DIR=str(stack.state))
    made = Fleet(stack, environment, prefix, processes)
    try:
        with made.working(*services), turning_queue(stack, database) if turned else nullcontext():
            yield made
    finally:
        shutil.rmtree(made.folder, ignore_errors=True)


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
