"""Waiting for what other processes and threads do."""

import time
from collections.abc import Callable
from typing import TypeVar

import pytest

T = TypeVar("T")
LONG_S = 300
"""For what takes seconds: a machine that is shared may stand still for a while."""


def wait_until(condition: Callable[[], T], timeout_s: float = LONG_S, what: str = "what is waited for") -> T:
    """Wait until something holds, and give it; fail the test, naming it, when it does not in time."""
    deadline = time.monotonic() + timeout_s
    while not (found := condition()):
        if time.monotonic() > deadline:
            pytest.fail(f"not within {timeout_s:g} s: {what}")
        time.sleep(0.05)
    return found
