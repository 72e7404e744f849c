"""A task in hand: others see that somebody is at it for as long as its worker lives."""

from contextvars import copy_context
from threading import Event, Thread
from types import TracebackType

import structlog

from landpatch.errors import InfrastructureError
from landpatch.ledger import Ledger
from landpatch.messages import TaskMessage

RENEWALS = 3
"""In the time of one lease; so many may fail in a row."""
log = structlog.get_logger()


class Lease:
    """Renews, from a thread of its own, what `Ledger.begin` has given; use it with `with`."""

    def __init__(self, ledger: Ledger, message: TaskMessage, owner: str, lease_s: float) -> None:
        """owner, lease_s: as `begin` was told."""
        self._ledger = ledger
        self._message = message
        self._owner = owner
        self._lease_s = lease_s
        self._over = Event()
        # What it logs belongs to the task.
        self._thread = Thread(target=copy_context().run, args=(self._renew,), name="lease", daemon=True)

    def _renew(self) -> None:
        while not self._over.wait(self._lease_s / RENEWALS):
            try:
                if not self._ledger.renew(self._message, self._owner, self._lease_s):
                    # What it still writes is either the same bytes or without effect.
                    log.warning("a task is no longer ours")
                    return
            except InfrastructureError as error:
                log.warning("a lease could not be renewed", reason=str(error))

    def __enter__(self) -> None:
        """Begin to renew."""
        self._thread.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop. The lease runs out by itself, or the task is finished or put off."""
        self._over.set()
        self._thread.join()
