"""What every test may use."""

from pathlib import Path

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


class _ByStack(LoadScopeScheduling):
    """In several processes, a file stays in one, and so do all tests that share a stack."""

    def _split_scope(self, nodeid: str) -> str:
        stacks = ("tests/integration/", "tests/chaos/")
        return "stack" if nodeid.startswith(stacks) else nodeid.split("::", maxsplit=1)[0]


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    """How tests are dealt out."""
    return _ByStack(config, log)
