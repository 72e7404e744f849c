"""Waiting for what other processes and threads do."""

import time
from collections.abc import Callable

import pytest


def wait_until(condition: Callable[[], object], timeout_s: float = 60) -> None:
    """Wait until something holds; fail the test when it does not in time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"it does not come about in {timeout_s:g} s")
        time.sleep(0.05)
