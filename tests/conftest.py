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
