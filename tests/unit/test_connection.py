"""Redis without a password on another machine is used, and said so."""

import pytest
import structlog

from landpatch import connection
from landpatch.connection import is_open, open_redis
from landpatch.settings import Settings


@pytest.mark.parametrize(
    ("url", "answer"),
    [
        ("redis://redis.example.org:6379/0", True),
        ("rediss://10.0.0.7", True),
        ("redis://user@redis.example.org/0", True),
        ("redis://:password@redis.example.org/0", False),
        ("redis://user:password@redis.example.org/0", False),
        ("redis://127.0.0.1:6379/0", False),
        ("redis://localhost/0", False),
        ("redis://[::1]:6379/0", False),
        ("unix:///run/redis.sock", False),
    ],
)
def test_an_address_is_open_when_it_names_another_machine_and_no_password(url, answer):
    assert is_open(url) is answer


def test_a_process_says_so_once():
    settings = Settings(_env_file=None, LANDPATCH_REDIS_URL="redis://redis.example.org/0")
    connection._warn.cache_clear()
    with structlog.testing.capture_logs() as said:
        open_redis(settings)
        open_redis(settings)
    assert [event["log_level"] for event in said] == ["warning"]
    assert "without a password" in said[0]["event"]
