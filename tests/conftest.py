"""What every test may use."""

import os
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import settings
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

# A shared machine may be slow: what is tested is the answer, not the time.
settings.register_profile("landpatch", deadline=None, max_examples=50)
settings.load_profile("landpatch")

DATA = Path(__file__).parent / "data"


@pytest.fixture(scope="session")
def data() -> Path:
    """Genuine data; see data/NOTICE.md."""
    return DATA


@pytest.fixture(autouse=True)
def _environment() -> Iterator[None]:
    """What a test sets in the environment is gone after it."""
    with patch.dict(os.environ):
        yield


LONGEST = (
    "tests/integration/test_determinism.py",
    "tests/chaos/test_short.py",
    "tests/integration/test_stack.py",
    "tests/integration/test_region.py",
    "tests/integration/test_many.py",
    "tests/integration/test_bad_input.py",
    "tests/integration/test_canary.py",
    "tests/integration/test_probes.py",
)
"""Files that take minutes, the longest first."""


class _ByFile(LoadScopeScheduling):
    """In several processes a file stays in one; each has a stack of its own, for its tests that share one."""

    def _split_scope(self, nodeid: str) -> str:
        return nodeid.split("::", maxsplit=1)[0]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest comes first, so that no process is at it alone when the others have ended."""
    ranks = {name: rank for rank, name in enumerate(LONGEST)}
    items.sort(key=lambda item: ranks.get(item.nodeid.split("::", maxsplit=1)[0], len(ranks)))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    """How tests are dealt out: in the order in which they were collected."""
    config.option.loadscopereorder = False
    return _ByFile(config, log)
