"""Logs: one line an event, and no local variable of anything in a traceback."""

import json
import os
import subprocess
import sys

import pytest

SECRET = "canary-5f1c9d"
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


def log_of(kind):
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM],
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


def test_an_event_is_one_line_for_a_person():
    assert "an event" in log_of("text").splitlines()[0]
