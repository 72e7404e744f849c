"""How much memory something took at its height."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

_SELF = Path("/proc/self")


@dataclass
class Peak:
    """What was taken on top of what was held before, bytes; known when the context has ended."""

    taken: int = 0


@contextmanager
def measured() -> Iterator[Peak]:
    """Measure the height of this process's memory within the context; skips where Linux cannot say."""
    try:
        (_SELF / "clear_refs").write_text("5")  # forget the height so far
    except OSError as error:
        pytest.skip(f"the height of memory cannot be reset: {error}")
    peak, before = Peak(), _read("VmRSS")
    yield peak
    peak.taken = _read("VmHWM") - before


def _read(name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+) kB$", (_SELF / "status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024
