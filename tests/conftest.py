"""What every test may use."""

from pathlib import Path

import pytest

DATA = Path(__file__).parent / "data"


@pytest.fixture(scope="session")
def data() -> Path:
    """Genuine data; see data/NOTICE.md."""
    return DATA
