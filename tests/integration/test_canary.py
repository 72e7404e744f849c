"""No secret comes to light: not in what is queued, kept, logged, shown or served, nor on a command line."""

import re
import zlib
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import suppress
from datetime import date

import pytest
import redis
import requests

from landpatch.celery import make_app
from landpatch.ledger import Ledger, open_ledger
from landpatch.messages import FetchLabels, PlanRegion, RegionRequest
from landpatch.records import pack, unpack
from landpatch.settings import Settings
from tests.integration.conftest import Stack, stack_command
from tests.integration.test_stack import broker_of, marked
from tests.waiting import LONG_S, wait_until

pytestmark = pytest.mark.stack

TOKEN = "canary-of-a-session-token-83b1"
NOWHERE = RegionRequest(
    nuts="ZZ999", year=2021, label_year=2021, start=date(2021, 5, 1), end=date(2021, 9, 30)
)
QUEUES = ("dispatch", "images", "labels", "index")


def secrets_of(stack: Stack) -> list[bytes]:
    """Every secret of the stack, and as an HTTP header would hold it."""
    plain = [str(value) for name, value in stack.access.items() if not name.endswith("_port")]
    assert len(plain) >= 6
    headers = [b64encode(f"landpatch:{secret}".encode()) for secret in plain]
    return [secret.encode() for secret in (*plain, TOKEN)] + headers


def is_clean(stack: Stack, places: dict[str, bytes]) -> bool:
    """Whether no place holds a secret; says which do."""
    assert places
    found = [place for place, content in places.items() if any(s in content for s in secrets_of(stack))]
    if found:
        print("a secret stands in", *found, sep="\n  ")
    return not found


def unwrap(content: bytes) -> bytes:
    """What is wrapped in a value: the body of a queued message, and what the ledger keeps packed."""
    texts = []
    for body in re.findall(rb"[A-Za-z0-9+/]{24,}={0,2}", content):
        with suppress(ValueError):
            texts.append(b64decode(body))
    for packed in re.findall(r"'([^']{10,})'", content.decode()):
        with suppress(ValueError, zlib.error):
            texts.append(unpack(packed).encode())
    return b"\0".join(texts)


def dump_redis(stack: Stack) -> dict[str, bytes]:
    """All that Redis holds, by key, and what it tells of its clients and of what was slow."""
    client = stack.redis
    read = {
        b"string": client.get,
        b"hash": client.hgetall,
        b"list": lambda key: client.lrange(key, 0, -1),
        b"set": client.smembers,
        b"zset": lambda key: client.zrange(key, 0, -1, withscores=True),
    }
    held = {f"redis {key!r}": repr((key, read[client.type(key)](key))).encode() for key in client.scan_iter()}
    held = {key: content + unwrap(content) for key, content in held.items()}
    return held | {
        "redis clients": repr(client.client_list()).encode(),
        "redis slowlog": repr(client.slowlog_get(1000)).encode(),
    }


def dump_files(stack: Stack) -> dict[str, bytes]:
    """Every file of the stack but those that only its owner may enter the folder of."""
    folder = stack.state
    assert (folder / "run").stat().st_mode & 0o077 == 0
    return {
        str(path): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and folder / "run" not in path.parents
    }


def dump_flower(stack: Stack) -> dict[str, bytes]:
    """Every page of Flower, and what its API tells."""
    base = f"http://127.0.0.1:{stack.access['flower_port']}"
    login = ("landpatch", str(stack.access["flower_password"]))
    paths = [
        "/workers", "/tasks", "/broker", "/metrics", "/api/workers?refresh=1", "/api/tasks",
        "/api/queues/length", "/api/task/types", *(f"/worker/{queue}@landpatch" for queue in QUEUES),
    ]  # fmt: skip
    pages = {}
    for path in paths:
        answer = requests.get(base + path, auth=login, timeout=LONG_S)
        assert answer.ok, path
        pages[f"flower {path}"] = answer.content
    return pages


def dump_metrics(stack: Stack) -> dict[str, bytes]:
    """What every service tells Prometheus."""
    services = ("dispatcher", "image_worker", "label_worker", "indexer", "reconciler", "metrics")
    ports = {service: stack.access[f"{service}_port"] for service in services}
    pages = {
        f"metrics of {service}": requests.get(f"http://127.0.0.1:{port}/metrics", timeout=LONG_S).content
        for service, port in ports.items()
    }
    assert all(b"landpatch_build_info" in page for page in pages.values())
    return pages


def dump_processes(stack: Stack) -> dict[str, bytes]:
    """The command line of every process of the stack, and of Redis, whose title hides its environment."""
    return {
        f"process {p.pid}": "\0".join(p.cmdline()).encode()
        for p in [*marked(stack.state), broker_of(stack.state)]
    }


def dump_workers(stack: Stack) -> dict[str, bytes]:
    """What workers tell whoever asks them over the broker."""
    inspect = make_app("tests", Settings.model_validate(stack.settings())).control.inspect(timeout=3)
    told = {
        "conf": inspect.conf(with_defaults=True),
        "report": inspect.report(),
        "stats": inspect.stats(),
        "active": inspect.active(),
        "queues": inspect.active_queues(),
    }
    assert all(told.values())
    return {f"inspect {name}": repr(answer).encode() for name, answer in told.items()}


def dump_commands(stack: Stack) -> dict[str, bytes]:
    """What a user sees."""
    ran = {
        "status": stack.landpatch("status"),
        "status of a region": stack.landpatch("status", NOWHERE.nuts),
        "stack status": stack_command(stack.state, "status"),
        "verify": stack.landpatch("verify", "FR101", **stack.settings(), AWS_SESSION_TOKEN=TOKEN),
        "refused": stack.landpatch(
            "region",
            "BE100",
            **stack.settings() | {"AWS_SECRET_ACCESS_KEY": TOKEN, "AWS_SESSION_TOKEN": TOKEN},
        ),
        "no redis": stack.landpatch("status", LANDPATCH_REDIS_URL=f"redis://:{TOKEN}@127.0.0.1:1/0"),
        "wrong password": stack.landpatch(
            "status", LANDPATCH_REDIS_URL=f"redis://:{TOKEN}@127.0.0.1:{stack.access['redis_port']}/0"
        ),
    }
    assert [name for name, run in ran.items() if run.returncode] == ["refused", "no redis", "wrong password"]
    return {f"command {name}": (run.stdout + run.stderr).encode() for name, run in ran.items()}


@pytest.fixture(scope="module")
def ledger(stack: Stack) -> Ledger:
    return open_ledger(Settings.model_validate(stack.settings()))


@pytest.fixture(scope="module")
def failures(stack: Stack, paris: object, ledger: Ledger) -> Iterator[None]:
    """A region is built; then a region and labels that there are none of, and messages that are none."""
    app = make_app("tests", Settings.model_validate(stack.settings()))
    run, _ = ledger.start(NOWHERE)
    ledger.claim(NOWHERE.key, run, "control", 3600)
    labels = FetchLabels(
        run=run, nuts="ZZ999", year=2021, round=1, label_year=2005, block=0, patches=("0_0_0_0",)
    )
    ledger.add_labels(NOWHERE.key, run, [labels, labels.model_copy(update={"block": 99})])
    ledger.claim(NOWHERE.key, run, "labels", 3600)
    send = app.send_task
    send("labels.fetch_labels", kwargs={"message": labels.model_dump(mode="json")}, queue="labels")
    for queue in QUEUES:
        send("no.such.task", kwargs={"message": {"version": 99}}, queue=queue)
    send("labels.fetch_labels", kwargs={"message": labels.model_dump(mode="json")}, queue="nobody-listens")
    wrong = PlanRegion(run=run, request=NOWHERE).model_dump(mode="json")
    send("dispatch.plan_region", kwargs={"message": wrong | {"version": 99}}, queue="dispatch")
    send("dispatch.plan_region", kwargs={"message": wrong}, queue="dispatch")
    wait_until(lambda: not ledger.is_pending(NOWHERE.key, "labels", "0"))
    wait_until(lambda: ledger.facts(NOWHERE.key)["state"] == "failed")
    wait_until(lambda: len(ledger.refused()) >= len(QUEUES) + 1)
    yield
    for key in stack.redis.scan_iter("landpatch:{ZZ999/2021}:*"):
        stack.redis.delete(key)
    stack.redis.srem("landpatch:regions", NOWHERE.key)
    stack.redis.delete("landpatch:refused", "nobody-listens")


DUMPS = [
    dump_redis, dump_files, dump_flower, dump_metrics, dump_processes, dump_workers, dump_commands,
]  # fmt: skip


@pytest.mark.parametrize("dump", DUMPS, ids=lambda dump: dump.__name__.removeprefix("dump_"))
def test_no_secret_is_found_after_a_region_and_after_failures(stack, failures, dump):
    assert is_clean(stack, dump(stack))


def test_a_secret_would_be_found(stack, failures):
    """The search itself: where a secret is planted, it is found."""
    secret = str(stack.access["store_secret"])
    log = stack.state / "logs" / "planted.log"
    try:
        for number, planted in enumerate(
            (secret, b64encode(f"... {secret}".encode()), pack(f"... {secret}"))
        ):
            stack.redis.hset("planted", "key", planted)
            assert not is_clean(stack, dump_redis(stack)), number
        log.write_text(f"... {secret} ...")
        assert not is_clean(stack, dump_files(stack))
    finally:
        stack.redis.delete("planted")
        log.unlink()


def test_flower_tells_nothing_without_the_password(stack):
    base = f"http://127.0.0.1:{stack.access['flower_port']}"
    for path in ("/", "/workers", "/broker", "/api/workers", "/api/tasks"):
        for login in (None, ("landpatch", "wrong-password")):
            answer = requests.get(base + path, auth=login, timeout=LONG_S, allow_redirects=False)
            assert answer.status_code == 401, path
    assert requests.post(f"{base}/api/worker/shutdown/index@landpatch", timeout=LONG_S).status_code == 401


def test_redis_tells_nothing_without_the_password(stack):
    with redis.Redis(port=stack.access["redis_port"]) as client, pytest.raises(redis.AuthenticationError):
        client.get("landpatch:regions")
