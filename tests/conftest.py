"""What every test may use."""

from pathlib import Path

import pytest
from hypothesis import settings

# A shared machine may be slow: what is tested is the answer, not the time.
settings.register_profile("landpatch", deadline=None, max_examples=50)
settings.load_profile("landpatch")

DATA = Path(__file__).parent / "data"


@pytest.fixture(scope="session")
def data() -> Path:
    """Genuine data; see data/NOTICE.md."""
    return DATA


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where tests run in several processes, a file stays in one, and so do all that share a stack."""
    for item in items:
        folder = item.path.relative_to(Path(__file__).parent).parts[0]
        group = "stack" if folder in {"integration", "chaos"} else str(item.path)
        item.add_marker(pytest.mark.xdist_group(group))
