"""Processes of a test's own, and the probe that says whether they are well."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.environment import ROOT, clean_environment
from tests.waiting import LONG_S, wait_until


@contextmanager
def running(command: list[str], **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process, started in the checkout with these settings only; ended whatever happens."""
    process = subprocess.Popen(
        command, cwd=ROOT, env=clean_environment(**environment), stdin=subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def listening(command: list[str], port: int, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """A server on a port of this machine, as `running`, once it takes connections."""

    def listens() -> bool:
        assert process.poll() is None, f"{command[0]} ended with {process.returncode}"
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            return False
        return True

    with running(command, **environment) as process:
        wait_until(listens, what=f"{command[0]} listens")
        yield process


def probe(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """`python -m services.health`, to its end."""
    return subprocess.run(
        [sys.executable, "-m", "services.health", *arguments],
        cwd=ROOT,
        env=clean_environment(**environment),
        capture_output=True,
        text=True,
        timeout=LONG_S,
        check=False,
    )
