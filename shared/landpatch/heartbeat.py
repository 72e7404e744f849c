"""What a worker notes of itself, so that a probe sees whether it takes messages; not only whether it answers.

A worker that has gone silent after Redis was away still answers a ping. It notes every few seconds that it
goes round, what it has in hand, and when it last took something; the probe compares that with what waits.
"""

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from celery import Celery, bootsteps
from celery.worker import state

BEAT_S = 10.0
SILENT_S = 120.0
"""From when on a worker that notes nothing is stuck."""
IDLE_S = 60.0
"""How long a worker may leave messages waiting while it has a hand free."""
_PLACE = "landpatch_heartbeat_file"


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """What a worker has noted; times are of the monotonic clock, which all processes of a machine share."""

    noted_at: float
    taken_at: float
    """When it last took a message, or began."""
    in_hand: int
    hands: int
    """How many tasks it can have in hand."""
    queues: tuple[str, ...]
    """From which it takes messages."""


def judge(beat: Heartbeat | None, now: float, waiting: int | None) -> str:
    """Why a worker should be started anew; empty when it is well.

    waiting: messages on its queues; None when Redis cannot be asked, which no new start would cure.
    """
    if waiting is None:
        return ""
    if beat is None:
        return "has noted nothing yet"
    if now - beat.noted_at > SILENT_S:
        return f"has noted nothing for {now - beat.noted_at:.0f} s"
    if waiting and beat.in_hand < beat.hands and now - beat.taken_at > IDLE_S:
        return f"has taken none of {waiting} messages for {now - beat.taken_at:.0f} s, with a hand free"
    return ""


def note_heartbeat(path: Path, beat: Heartbeat) -> None:
    """Write it down, at once."""
    temporary = path.with_name(f"{path.name}.new")
    temporary.write_text(json.dumps(asdict(beat)))
    temporary.replace(path)


def read_heartbeat(path: Path) -> Heartbeat | None:
    """What was noted last; None when there is nothing that can be read."""
    try:
        noted = json.loads(path.read_text())
        return Heartbeat(**noted | {"queues": tuple(noted["queues"])})
    except (OSError, ValueError, TypeError, LookupError):
        return None


def keep_heartbeat(app: Celery, path: Path) -> None:
    """Have the workers of an app note their heartbeat in a file."""
    app.conf[_PLACE] = str(path)
    app.steps["consumer"].add(_Beating)


class _Beating(bootsteps.StartStopStep):
    """Notes the heartbeat from the loop that takes messages, so that a loop that is stuck notes nothing."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, consumer: Any, **options: Any) -> None:
        super().__init__(consumer, **options)
        self._timer: Any = None
        self._taken = -1
        self._taken_at = 0.0

    def start(self, consumer: Any) -> None:
        self._beat(consumer)
        self._timer = consumer.timer.call_repeatedly(BEAT_S, self._beat, (consumer,))

    def stop(self, consumer: Any) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _beat(self, consumer: Any) -> None:
        now, taken = time.monotonic(), state.all_total_count[0]
        if taken != self._taken:
            self._taken, self._taken_at = taken, now
        note_heartbeat(
            Path(consumer.app.conf[_PLACE]),
            Heartbeat(
                noted_at=now,
                taken_at=self._taken_at,
                in_hand=len(state.reserved_requests),
                hands=consumer.pool.num_processes,
                queues=tuple(consumer.app.amqp.queues.consume_from),
            ),
        )
