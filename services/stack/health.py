"""Whether each part of the embedded stack answers."""

import time
from collections.abc import Callable

import redis
import requests
from botocore.exceptions import BotoCoreError, ClientError
from kombu.exceptions import KombuError
from pydantic import SecretStr

from landpatch.broker import in_hand, put_back
from landpatch.celery import make_app
from landpatch.errors import InfrastructureError, LandpatchError
from landpatch.settings import Settings
from landpatch.storage import make_s3_client
from services.stack.manager import Manager
from services.stack.parts import WORKERS, node_name
from services.stack.ports import LOOPBACK
from services.stack.state import Access, Folders

START_TIMEOUT_S = 120
"""A part that fails is seen at once; this is for a machine that is slow."""
POLL_S = 0.1
PING_TIMEOUT_S = 1.0


def connect_redis(access: Access) -> redis.Redis:
    """A client of the embedded Redis."""
    return redis.Redis(
        port=access.redis_port,
        password=access.redis_password,
        socket_connect_timeout=2,
        socket_timeout=5,
        decode_responses=True,
    )


def put_back_unfinished(access: Access, settings: Settings) -> None:
    """Have the messages that killed workers had in hand delivered again.

    Only for a stack that has just been started: nobody works on them.
    """
    tags = [letter.tag for letter in in_hand(connect_redis(access))]
    if tags:
        put_back(make_app("landpatch.stack", settings), tags)


def await_health(
    folders: Folders, manager: Manager, names: list[str], access: Access, settings: Settings
) -> None:
    """Wait until every named part runs and answers.

    settings: those with which clients use the stack. Raises InfrastructureError that names the log to read.
    """
    deadline = time.monotonic() + START_TIMEOUT_S
    checks = _make_checks(access, settings)
    for name in names:
        check = checks.get(name)
        while not (_state(manager, name) == "RUNNING" and (check is None or _answers(check))):
            if time.monotonic() > deadline or _state(manager, name) in (None, "FATAL"):
                raise InfrastructureError(f"{name} does not come up; read {folders.logs / f'{name}.log'}")
            time.sleep(POLL_S)


def _make_checks(access: Access, settings: Settings) -> dict[str, Callable[[], object]]:
    """A check of each part, by its name; raises or gives something false when the part is not well."""
    app = make_app("landpatch.stack", settings)

    def answers_http(port: int, path: str) -> Callable[[], object]:
        return lambda: requests.get(f"http://{LOOPBACK}:{port}{path}", timeout=5).ok

    def lists(bucket: str, port: int, key: str, secret: str) -> Callable[[], object]:
        client = make_s3_client(f"http://{LOOPBACK}:{port}", SecretStr(key), SecretStr(secret))
        return lambda: client.list_objects_v2(Bucket=bucket, MaxKeys=1)

    def pongs(service: str) -> Callable[[], object]:
        node = node_name(service)
        return lambda: app.control.ping(destination=[node], timeout=PING_TIMEOUT_S, limit=1)

    return {
        "redis": connect_redis(access).ping,
        "store": lists(settings.bucket, access.store_port, access.store_key, access.store_secret),
        "files": answers_http(access.files_port, "/"),
        "eo_store": lists("eodata", access.eo_store_port, access.eo_key, access.eo_secret),
        "eodata": lists("eodata", access.eo_port, access.eo_key, access.eo_secret),
        "sandbox": answers_http(access.sandbox_port, "/healthz"),
        "flower": answers_http(access.flower_port, "/healthcheck"),
        "metrics": answers_http(access.metrics_port, "/metrics"),
    } | {service: pongs(service) for service in WORKERS}


def _answers(check: Callable[[], object]) -> bool:
    try:
        return bool(check())
    except (
        redis.RedisError, requests.RequestException, BotoCoreError, ClientError, KombuError, OSError,
        LandpatchError,
    ):  # fmt: skip
        return False


def _state(manager: Manager, name: str) -> str | None:
    """A part's state; None when supervisord does not know it, or is gone."""
    return next((part.state for part in manager.states() or () if part.name == name), None)
