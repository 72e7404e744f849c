"""Waiting for what other processes and threads do."""

import time
from collections.abc import Callable

import pytest

LONG_S = 300
"""For what takes seconds: a machine that is shared may stand still for a while."""


def wait_until(
    condition: Callable[[], object], timeout_s: float = LONG_S, what: str = "what is waited for"
) -> None:
    """Wait until something holds; fail the test, naming it, when it does not in time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"not within {timeout_s:g} s: {what}")
        time.sleep(0.05)
