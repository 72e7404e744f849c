"""A probe finds out the worker that takes nothing, and leaves the others alone."""

from dataclasses import replace

import pytest

from landpatch.heartbeat import (
    IDLE_S,
    SILENT_S,
    Heartbeat,
    judge,
    note_heartbeat,
    read_heartbeat,
)

NOW = 5000.0
IDLE = Heartbeat(noted_at=NOW - 5, taken_at=NOW - 3600, in_hand=0, hands=2, queues=("images",))


@pytest.mark.parametrize(
    ("beat", "waiting"),
    [
        pytest.param(IDLE, 0, id="nothing waits"),
        pytest.param(replace(IDLE, in_hand=2), 500, id="its hands are full"),
        pytest.param(replace(IDLE, taken_at=NOW - IDLE_S / 2), 500, id="it has just taken one"),
        pytest.param(replace(IDLE, noted_at=NOW - 3600), None, id="Redis is away: it cannot take any"),
        pytest.param(None, None, id="Redis is away at its start"),
    ],
)
def test_a_worker_that_does_what_it_can_is_well(beat, waiting):
    assert judge(beat, NOW, waiting) == ""


@pytest.mark.parametrize(
    ("beat", "waiting", "reason"),
    [
        (IDLE, 1, "taken none of 1 messages"),
        (replace(IDLE, in_hand=1), 9, "with a hand free"),
        (replace(IDLE, noted_at=NOW - SILENT_S - 1), 0, "noted nothing for 121 s"),
        (None, 0, "noted nothing yet"),
    ],
)
def test_a_worker_that_could_and_does_not_is_found_out(beat, waiting, reason):
    assert reason in judge(beat, NOW, waiting)


def test_what_is_noted_is_read_again(tmp_path):
    path = tmp_path / "heartbeat"
    assert read_heartbeat(path) is None
    note_heartbeat(path, IDLE)
    assert read_heartbeat(path) == IDLE
    assert [each.name for each in tmp_path.iterdir()] == ["heartbeat"]


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"queues": 1}', '{"queues": [], "more": 1}'])
def test_what_cannot_be_read_is_no_heartbeat(tmp_path, text):
    (tmp_path / "heartbeat").write_text(text)
    assert read_heartbeat(tmp_path / "heartbeat") is None
