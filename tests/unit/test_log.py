"""Logs: one line an event, and no local variable of anything in a traceback."""

import json
import os
import re
import socket
import subprocess
import sys

import pytest

SECRET = "canary-5f1c9d"
BOUND = """
import logging
from concurrent.futures import ThreadPoolExecutor

import structlog
from landpatch.log import configure_logging
from landpatch.stages import carry_context

configure_logging(logging.INFO)
log = structlog.get_logger()
structlog.contextvars.bind_contextvars(region="FR101/2021")
with structlog.contextvars.bound_contextvars(region="LU000/2021"):
    with ThreadPoolExecutor(1, initializer=carry_context()) as pool:
        pool.submit(log.info, "of a thread").result()
    logging.getLogger("a.library").warning("of %s", "a library")
with ThreadPoolExecutor(1) as pool:
    pool.submit(log.info, "of nobody").result()
structlog.contextvars.clear_contextvars()
logging.getLogger("celery").info("Task %(id)s received", {"id": "x"}, extra={"data": {"id": "x"}})
logging.getLogger("celery").debug("too much")
"""
PROGRAM = """
import structlog
from landpatch.log import configure_logging

configure_logging()
log = structlog.get_logger()

def sign(key):
    headers = {"Authorization": f"Bearer {key}"}
    raise ZeroDivisionError("a bug")

log.warning("an event", region="FR101/2021")
try:
    sign("-".join(["canary", "5f1c9d"]))
except ZeroDivisionError:
    log.exception("unexpected", region="FR101/2021")
"""


def log_of(kind, program=PROGRAM):
    ran = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"LANDPATCH_LOG": kind},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout == ""
    return ran.stderr


@pytest.mark.parametrize("kind", ["json", "text"])
def test_a_traceback_says_where_and_what_and_shows_no_variable(kind):
    text = log_of(kind)
    assert "ZeroDivisionError: a bug" in text
    assert "in sign" in text
    assert SECRET not in text


def test_an_event_is_one_line_of_json():
    event, unexpected = map(json.loads, log_of("json").splitlines())
    assert (event["event"], event["level"], event["region"]) == ("an event", "warning", "FR101/2021")
    assert unexpected["exception"].startswith("Traceback")


@pytest.mark.parametrize("kind", ["json", "text"])
def test_a_line_is_written_at_once_so_that_processes_can_share_a_log(kind):
    ours, theirs = socket.socketpair(type=socket.SOCK_DGRAM)  # which keeps one write from the next
    with ours, theirs:
        environment = {"LANDPATCH_LOG": kind, "PYTHONUNBUFFERED": "1"}  # as in a container
        subprocess.run([sys.executable, "-c", BOUND], env=os.environ | environment, stderr=theirs, check=True)
        ours.setblocking(False)
        written = [ours.recv(10_000) for _ in range(4)]
    assert [text[-1:] for text in written] == [b"\n"] * 4


def test_an_event_is_one_line_for_a_person():
    assert "an event" in log_of("text").splitlines()[0]


def test_what_a_thread_or_a_library_logs_belongs_where_its_caller_belongs():
    thread, library, nobody, celery = map(json.loads, log_of("json", BOUND).splitlines())
    assert (thread["event"], thread["region"]) == ("of a thread", "LU000/2021")
    assert (library["event"], library["region"]) == ("of a library", "LU000/2021")
    assert (library["level"], library["logger"]) == ("warning", "a.library")
    assert "region" not in nobody
    assert (celery["event"], celery["task_id"]) == ("Task x received", "x")
    assert "region" not in celery


def test_for_a_person_what_a_library_logs_looks_like_the_rest():
    lines = log_of("text", BOUND).splitlines()
    assert len(lines) == 4
    assert all(re.match(r"\d{4}-\d\d-\d\dT\S+ \[\w+ *\] of ", line) for line in lines[:3])
    assert "region=LU000/2021" in lines[1]


@pytest.mark.parametrize("form", ["json", "text"])
def test_a_library_that_tries_again_does_not_tell_addresses(form):
    code = (
        "import logging; from landpatch.log import configure_logging; configure_logging();"
        f"logging.getLogger('urllib3.connectionpool').warning('Retrying: /map.tif?signature={SECRET}')"
    )
    assert log_of(form, code) == ""
