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

START_TIMEOUT_S = 600
"""For a machine that is slow: a part that cannot run at all is seen by how often it is started."""
MOST_STARTS = 5
"""Of one part while it is waited for. One that comes before what it needs may end, and be started again."""
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

    settings: those with which clients use the stack. Raises InfrastructureError that says what is wrong with
    which part, and names the log to read.
    """
    deadline = time.monotonic() + START_TIMEOUT_S
    checks = _make_checks(access, settings)
    for name in names:
        fault = await_part(manager, name, checks.get(name), deadline)
        if fault:
            raise InfrastructureError(f"{name} {fault}; read {folders.logs / f'{name}.log'}")


def await_part(
    manager: Manager, name: str, check: Callable[[], object] | None, deadline: float
) -> str | None:
    """Wait until a part runs and answers; what is wrong with it when it does not."""
    started: set[int] = set()
    while True:
        part = next((part for part in manager.states() or () if part.name == name), None)
        if part is None:
            return "is not there: the process manager has ended, or does not know it"
        if part.state == "RUNNING" and (check is None or _answers(check)):
            return None
        if part.state == "FATAL":
            return "does not start"
        started |= {part.pid} - {0}
        if len(started) > MOST_STARTS:
            return f"ends as soon as it is started, {MOST_STARTS} times so far"
        if time.monotonic() > deadline:
            return f"does not answer, {START_TIMEOUT_S} s after its start"
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
