"""Overdue tasks, and messages in the hands of workers that are gone -> back into the queues."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import redis
import structlog
from celery import Celery

from landpatch.broker import in_hand, put_back, waiting_ids
from landpatch.celery import QUEUES, read_message_id, send
from landpatch.counters import Count
from landpatch.ledger import Ledger, Overdue

WAITING_A_SECOND = 100
"""The more messages wait, the longer until they are looked through again: a second for so many."""
_MENDED = Count(
    "landpatch_reconciled_messages",
    "Messages put back that a lost worker had in hand, and messages sent again.",
    how=("put_back", "sent"),
)
log = structlog.get_logger()


@dataclass
class Reconciler:
    """Puts right what was lost. Remembers only since when it has seen a message in nobody's hands."""

    client: redis.Redis
    ledger: Ledger
    app: Celery
    lease_s: float
    clock: Callable[[], float] = time.monotonic
    _unheld: dict[str, float] = field(default_factory=dict)
    """By delivery tag, when a message was first seen in hand while nobody held its task."""

    def look(self) -> None:
        """Look once at everything."""
        self._put_back_lost()
        self._send_again()

    def _put_back_lost(self) -> None:
        """Messages that a worker took and that no worker has any more: it was killed, or lost Redis."""
        taken = in_hand(self.client)
        unheld = [letter.tag for letter in taken if not self._is_held(letter.id)]
        now = self.clock()
        # A worker may just be about to begin, or to acknowledge; so may one that was cut off for a while.
        self._unheld = {tag: self._unheld.get(tag, now) for tag in unheld}
        lost = [tag for tag, since in self._unheld.items() if now - since >= self.lease_s]
        if lost:
            put_back(self.app, lost)
            _MENDED.add("put_back", amount=len(lost))
            log.warning("messages put back", count=len(lost))

    def _is_held(self, message_id: str) -> bool:
        """Whether the task of a message is in that message's hands."""
        asked = read_message_id(message_id)
        return asked is not None and self.ledger.holder(asked.region, asked.kind, asked.task) == message_id

    def _send_again(self) -> None:
        """Tasks whose message is lost, was never sent, or was put off until now."""
        overdue = self.ledger.overdue()
        if not overdue:
            return
        # First what waits, then what is in hand: a message goes that way.
        ids = waiting_ids(self.client, QUEUES)
        patience_s = max(self.lease_s, len(ids) / WAITING_A_SECOND)
        ids |= {letter.id for letter in in_hand(self.client)}
        there = {read_message_id(text) for text in ids}
        for task in overdue:
            if task in there:
                self.ledger.wait_on(task, patience_s)
            else:
                self._send(task)

    def _send(self, task: Overdue) -> None:
        for message in self.ledger.claim(task.region, task.run, task.kind, self.lease_s, task.task):
            send(message)
            _MENDED.add("sent")
            log.info("message sent", region=task.region, task=f"{task.kind}:{task.task}")
