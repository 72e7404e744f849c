"""The ledger on a real Redis."""

import pytest
import redis

from landpatch.ledger import Ledger, open_ledger
from landpatch.settings import Settings


@pytest.fixture
def ledger(redis_client: redis.Redis, redis_url: str) -> Ledger:
    """A ledger as the workers have it, on an empty Redis."""
    return open_ledger(Settings(_env_file=None, LANDPATCH_REDIS_URL=redis_url))
