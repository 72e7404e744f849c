"""The embedded stack: two do not collide, nothing stays behind, no secret is on a command line."""

import json
import os
import signal
import time
from pathlib import Path

import psutil
import pytest
import redis

from landpatch.celery import make_app
from landpatch.settings import Settings
from landpatch.storage import open_store
from tests.integration.conftest import Stack, stack_command, start_stack
from tests.waiting import LONG_S, wait_until

pytestmark = pytest.mark.stack


def marked(state: Path) -> list[psutil.Process]:
    """Every process of a stack."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("LANDPATCH_STACK") == str(state):
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def broker_of(state: Path) -> psutil.Process:
    """The Redis of a stack, which writes its title over its environment, and the mark with it."""
    (broker,) = (
        process
        for process in psutil.process_iter()
        if process.name() == "redis-server" and process.cwd() == str(state / "redis")
    )
    return broker


def pid_of(state: Path, name: str) -> int:
    """The process of a part, by what supervisord has written."""
    log = (state / "logs" / "supervisord.log").read_text()
    return int(log.rsplit(f"spawned: '{name}' with pid ", 1)[1].split()[0])


@pytest.fixture(scope="module")
def second_state(tmp_path_factory):
    """The folder of a second stack, which is stopped when all who use it have done so."""
    state = tmp_path_factory.mktemp("second")
    yield state
    stack_command(state, "down")


@pytest.fixture
def second(second_state: Path) -> Stack:
    """A stack of its own, running, whatever has been done to it before."""
    return start_stack(second_state)


def test_no_secret_stands_on_a_command_line_or_in_a_file_that_others_can_read(stack):
    secrets = [str(value) for name, value in stack.access.items() if not name.endswith("_port")]
    processes = marked(stack.state)
    assert len(processes) >= 9
    for process in processes:
        words = " ".join(process.cmdline())
        assert not [secret for secret in secrets if secret in words]
    assert (stack.state / "run").stat().st_mode & 0o077 == 0
    for path in (stack.state / "run").iterdir():
        if path.is_file() and any(secret.encode() in path.read_bytes() for secret in secrets):
            assert path.stat().st_mode & 0o077 == 0
    for log in (stack.state / "logs").iterdir():
        assert not [secret for secret in secrets if secret in log.read_text(errors="replace")]


def test_every_worker_answers_once_the_stack_is_up(stack):
    app = make_app("test", Settings.model_validate(stack.settings()))
    answers = app.control.ping(timeout=LONG_S, limit=4)
    assert {node for answer in answers for node in answer} == {
        "dispatch@landpatch", "images@landpatch", "labels@landpatch", "index@landpatch",
    }  # fmt: skip


def test_what_is_put_into_the_store_comes_back_is_replaced_and_is_found(stack):
    store = open_store(Settings.model_validate(stack.settings()))
    key = "round-trip/images/FR101/2021/x.tif"
    try:
        for data in (b"first", b"second, and longer", b"3"):
            store.put(key, data)
            assert store.get(key) == data
            assert [(found.key, found.size) for found in store.find("round-trip/")] == [(key, len(data))]
            assert (stack.state / "store" / "landpatch" / key).read_bytes() == data
    finally:
        store.delete(key)
    assert store.get(key) is None


def test_a_listing_of_thousands_is_whole(stack):
    store = open_store(Settings.model_validate(stack.settings()))
    folder = stack.state / "store" / "landpatch" / "thousands"
    folder.mkdir()
    try:
        for number in range(2500):
            (folder / f"{number:05d}.npy").write_bytes(b"x")
        time.sleep(1.5)  # the server sees after a second what others write
        expected = [f"thousands/{number:05d}.npy" for number in range(2500)]
        assert [found.key for found in store.find("thousands/")] == expected
    finally:
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()


def test_status_shows_every_part_and_no_secret(stack):
    shown = stack_command(stack.state, "status")
    assert shown.returncode == 0
    for part in (
        "redis",
        "store",
        "files",
        "eodata",
        "sandbox",
        "dispatcher",
        "image_worker",
        "flower",
        "metrics",
    ):
        assert part in shown.stdout
    assert "waiting: dispatch" in shown.stdout
    assert not [
        value for name, value in stack.access.items() if "_port" not in name and value in shown.stdout
    ]


def test_up_starts_a_part_that_has_died_and_leaves_the_others_alone(second):
    untouched, killed = pid_of(second.state, "redis"), pid_of(second.state, "label_worker")
    os.kill(killed, signal.SIGKILL)
    start_stack(second.state)
    assert pid_of(second.state, "redis") == untouched
    assert pid_of(second.state, "label_worker") != killed


def test_a_stack_whose_manager_was_killed_starts_again_and_loses_no_message(second):
    # A message that a worker had in hand, as kombu keeps it.
    app = make_app("test", Settings.model_validate(second.settings()))
    app.send_task("no.such.task", queue="nobody-listens")
    message = json.loads(second.redis.rpop("nobody-listens"))
    second.redis.hset("unacked", "tag", json.dumps([message, "", "images"]))
    second.redis.zadd("unacked_index", {"tag": time.time()})
    time.sleep(1.5)  # until it is in the append-only file
    os.kill(int((second.state / "run" / "supervisord.pid").read_text()), signal.SIGKILL)
    os.kill(pid_of(second.state, "redis"), signal.SIGKILL)

    start_stack(second.state)
    wait_until(lambda: not second.redis.hexists("unacked", "tag"))


def test_a_second_stack_lives_beside_the_first_and_leaves_nothing_even_when_its_manager_is_killed(
    stack, second
):
    pids = {process.pid for process in marked(second.state)}
    assert pids.isdisjoint(process.pid for process in marked(stack.state))
    ports = {value for name, value in second.access.items() if name.endswith("_port")}
    assert ports.isdisjoint(stack.access.values())

    start_stack(second.state)
    assert pids <= {process.pid for process in marked(second.state)}

    os.kill(int((second.state / "run" / "supervisord.pid").read_text()), signal.SIGKILL)
    stopped = stack_command(second.state, "down")
    assert stopped.returncode == 0, stopped.stderr
    assert marked(second.state) == []
    # Redis writes its title over its environment, and the mark with it.
    with pytest.raises(redis.ConnectionError):
        second.redis.ping()
    assert stack.redis.ping()


def test_everything_listens_on_loopback_only(stack):
    listening = {
        connection.laddr
        for process in [*marked(stack.state), broker_of(stack.state)]
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert {ip for ip, _ in listening} == {"127.0.0.1"}
    # Each port that has been chosen is seen, so none is looked for in vain.
    assert {port for _, port in listening} == {
        port for name, port in stack.access.items() if name.endswith("_port")
    }


def test_down_without_a_stack_says_so(tmp_path):
    stopped = stack_command(tmp_path, "down")
    assert (stopped.returncode, stopped.stdout) == (0, "nothing was running\n")
