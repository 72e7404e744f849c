"""The Redis that all workers share: broker, ledger and quota."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from ssl import CERT_REQUIRED, SSLError
from typing import Any
from urllib.parse import urlsplit

import redis
import structlog
from redis.client import Pipeline
from redis.exceptions import AuthenticationError, ConnectionError, ResponseError, TimeoutError

from landpatch.errors import ConfigurationError, InfrastructureError
from landpatch.settings import Settings

log = structlog.get_logger()
NO_REDIS = "no Redis: set LANDPATCH_REDIS_URL, or start the embedded stack with `make up`"

_UNABLE = {
    "used memory > 'maxmemory'": "has no memory left",
    "MISCONF": "cannot write its append-only file; is its disk full?",
    "READONLY": "is a read-only replica",
}
"""Answers of a Redis that is there and cannot do its work."""


@contextmanager
def _translated() -> Iterator[None]:
    """Lost connections as errors of landpatch."""
    try:
        yield
    except AuthenticationError as error:
        raise ConfigurationError("Redis refuses the password in LANDPATCH_REDIS_URL") from error
    except (ConnectionError, TimeoutError) as error:
        if isinstance(error.__context__, SSLError):
            raise ConfigurationError(
                f"Redis (LANDPATCH_REDIS_URL) is not trusted: {error.__context__.reason};"
                " LANDPATCH_REDIS_CA_FILE names who signs its certificate"
            ) from error
        raise InfrastructureError("Redis (LANDPATCH_REDIS_URL) cannot be reached") from error
    except ResponseError as error:
        for code, what in _UNABLE.items():
            if code in str(error):
                raise InfrastructureError(f"Redis (LANDPATCH_REDIS_URL) {what}") from error
        raise


class _Client(redis.Redis):
    """A client whose lost connections are errors of landpatch."""

    def execute_command(self, *args: Any, **options: Any) -> Any:
        with _translated():
            return super().execute_command(*args, **options)  # type: ignore[no-untyped-call]


def execute(pipe: Pipeline) -> list[Any]:
    """Send a pipeline; lost connections are errors of landpatch."""
    with _translated():
        return pipe.execute()


def read_tls(settings: Settings) -> dict[str, Any]:
    """How to check the certificate of a `rediss://` server, as redis-py and kombu are told; else empty."""
    if settings.redis_url is None or not settings.redis_url.get_secret_value().startswith("rediss://"):
        return {}
    authorities = str(settings.redis_ca_file) if settings.redis_ca_file else None
    return {"ssl_cert_reqs": CERT_REQUIRED, "ssl_check_hostname": True, "ssl_ca_certs": authorities}


def is_open(url: str) -> bool:
    """Whether an address of Redis names another machine and no password."""
    parts = urlsplit(url)
    return parts.password is None and parts.hostname not in {None, "localhost", "127.0.0.1", "::1"}


@lru_cache(maxsize=1)
def _warn() -> None:
    log.warning("Redis (LANDPATCH_REDIS_URL) is asked without a password: whoever reaches it owns the work")


def open_redis(settings: Settings) -> redis.Redis:
    """A client of the Redis that all workers share; its lost connections are InfrastructureError.

    Raises ConfigurationError when no Redis is named.
    """
    if settings.redis_url is None:
        raise ConfigurationError(NO_REDIS)
    url = settings.redis_url.get_secret_value()
    if is_open(url):
        _warn()
    try:
        return _Client.from_url(
            url,
            decode_responses=True,
            socket_timeout=30,
            socket_connect_timeout=10,
            health_check_interval=30,
            **read_tls(settings),
        )
    except ValueError:
        raise ConfigurationError("LANDPATCH_REDIS_URL is not a redis:// URL") from None
