"""Processes of a stack that supervisord no longer knows, and how to end them."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from landpatch.errors import InfrastructureError
from services.stack.state import MARKER, Folders

TERM_TIMEOUT_S = 10
KILL_TIMEOUT_S = 10


def find_marked(state: Path) -> Iterator[psutil.Process]:
    """Every process that carries the mark of this state folder, but this one and those above it."""
    mine = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    for process in psutil.process_iter():
        try:
            if process.pid not in mine and _is_marked(process, state):
                yield process
        except (psutil.Error, OSError):
            # Ended meanwhile, or another user's.
            continue


def _is_marked(process: psutil.Process, state: Path) -> bool:
    # Redis writes its title over its environment; it is known by the folder that it works in.
    if process.name() == "redis-server":
        return process.cwd() == str(Folders(state).redis)
    return process.environ().get(MARKER) == str(state)


def end_marked(state: Path) -> None:
    """End what is left of a stack: ask, wait, kill. Raises InfrastructureError when something stays.

    Looks again after each step, because a process may have started another meanwhile.
    """
    asked = list(find_marked(state))
    for process in asked:
        _signal(process, "terminate")
    psutil.wait_procs(asked, timeout=TERM_TIMEOUT_S)
    deadline = time.monotonic() + KILL_TIMEOUT_S
    while left := list(find_marked(state)):
        if time.monotonic() > deadline:
            pids = ", ".join(str(process.pid) for process in left)
            raise InfrastructureError(f"processes {pids} of the embedded stack cannot be ended")
        for process in left:
            _signal(process, "kill")
        psutil.wait_procs(left, timeout=1)


def _signal(process: psutil.Process, how: str) -> None:
    try:
        getattr(process, how)()
    except psutil.NoSuchProcess:
        return
