"""Flower does not start where anybody could use it."""

import os
import subprocess
import sys

import pytest

from landpatch.errors import ConfigurationError
from services.flower.__main__ import check_access, make_command
from tests.environment import ROOT
from tests.waiting import LONG_S

PASSWORD = "twelve-or-more"


@pytest.mark.parametrize("address", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_on_loopback_it_may_be_open(address):
    check_access(address, {})


@pytest.mark.parametrize(
    "address", ["0.0.0.0", "::", "", "192.168.1.7", "flower.example.org", "::ffff:10.0.0.1"]
)
def test_elsewhere_it_needs_a_password(address):
    with pytest.raises(ConfigurationError, match="open to anybody"):
        check_access(address, {})
    check_access(address, {"FLOWER_BASIC_AUTH": f"landpatch:{PASSWORD}"})
    check_access(address, {"FLOWER_BASIC_AUTH": f"a:{PASSWORD},b:{PASSWORD}"})


@pytest.mark.parametrize(
    "given", ["x", ":", f":{PASSWORD}", "user:", "user:short", f"a:{PASSWORD},b:short", ","]
)
@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0"])
def test_a_password_that_is_none_is_refused_and_not_repeated(address, given):
    with pytest.raises(ConfigurationError, match="user:password") as refused:
        check_access(address, {"FLOWER_BASIC_AUTH": given})
    assert PASSWORD not in str(refused.value)


@pytest.mark.parametrize(
    "name", ["FLOWER_UNAUTHENTICATED_API", "FLOWER_CONF", "FLOWER_ADDRESS", "FLOWER_UNIX_SOCKET"]
)
def test_what_would_open_it_behind_its_back_is_refused(name):
    with pytest.raises(ConfigurationError, match=name):
        check_access("127.0.0.1", {name: "true", "FLOWER_BASIC_AUTH": f"landpatch:{PASSWORD}"})


def test_it_forgets_nothing_on_a_restart_and_does_not_grow_without_end():
    command = make_command("127.0.0.1", 5555, "/x/flower.db")
    assert {"--persistent=True", "--db=/x/flower.db", "--max_tasks=10000"} <= set(command)
    assert not [word for word in command if "auth" in word]


def test_the_process_ends_before_it_listens():
    ran = subprocess.run(
        [sys.executable, "-m", "services.flower", "--address", "0.0.0.0", "--port", "1"],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if not name.startswith("FLOWER_")},
        capture_output=True,
        text=True,
        timeout=LONG_S,
        check=False,
    )
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.startswith("flower: Flower would be open to anybody who reaches 0.0.0.0")
    assert len(ran.stderr.splitlines()) == 1
