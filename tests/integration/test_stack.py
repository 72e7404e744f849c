"""The embedded stack: two do not collide, nothing stays behind, no secret is on a command line."""

import os
import signal
from pathlib import Path

import psutil
import pytest

from tests.integration.conftest import stack_command

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


def test_no_secret_stands_on_a_command_line_or_in_a_file_that_others_can_read(stack):
    secrets = [str(value) for name, value in stack.access.items() if not name.endswith("_port")]
    processes = marked(stack.state)
    assert len(processes) >= 9
    for process in processes:
        words = " ".join(process.cmdline())
        assert not [secret for secret in secrets if secret in words]
    for path in (stack.state / "run").iterdir():
        if path.is_file() and any(secret.encode() in path.read_bytes() for secret in secrets):
            assert path.stat().st_mode & 0o077 == 0
    for log in (stack.state / "logs").iterdir():
        assert not [secret for secret in secrets if secret in log.read_text(errors="replace")]


def test_a_second_stack_lives_beside_the_first_and_leaves_nothing_even_when_its_manager_is_killed(
    stack, tmp_path
):
    started = stack_command(tmp_path, "up")
    try:
        assert started.returncode == 0, started.stderr
        pids = {process.pid for process in marked(tmp_path)}
        assert pids.isdisjoint(process.pid for process in marked(stack.state))
        again = stack_command(tmp_path, "up")
        assert again.returncode == 0
        assert pids <= {process.pid for process in marked(tmp_path)}
        manager = int((tmp_path / "run" / "supervisord.pid").read_text())
        os.kill(manager, signal.SIGKILL)
    finally:
        stopped = stack_command(tmp_path, "down")
    assert stopped.returncode == 0
    assert marked(tmp_path) == []
    assert stack.redis.ping()


def test_everything_listens_on_loopback_only(stack):
    listening = [
        connection.laddr.ip
        for process in marked(stack.state)
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert listening
    assert set(listening) == {"127.0.0.1"}
