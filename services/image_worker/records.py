"""What has come out of a task: told to the ledger a few patches at a time."""

from threading import Lock

from landpatch.ledger import Ledger
from landpatch.messages import ImageMessage
from landpatch.records import Outcome

AT_A_TIME = 8


class Records:
    """The outcomes of a task's patches. All are told again with its end, in one step."""

    def __init__(self, ledger: Ledger, message: ImageMessage) -> None:
        """message: asks for the task."""
        self._ledger = ledger
        self._message = message
        self._lock = Lock()
        self._untold: dict[str, Outcome] = {}
        self.outcomes: dict[str, Outcome] = {}
        """By patch, so far."""

    def add(self, patch: str, outcome: Outcome) -> None:
        """An image has been stored, or cannot be. May be called from several threads."""
        with self._lock:
            self.outcomes[patch] = self._untold[patch] = outcome
            if len(self._untold) < AT_A_TIME:
                return
            told, self._untold = self._untold, {}
        self._ledger.record(self._message.region, self._message.run, "images", told)
