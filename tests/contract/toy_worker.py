"""A worker whose tasks do what their block number says: `celery -A tests.contract.toy_worker worker`."""

import os
import signal
import time
from pathlib import Path

from landpatch.celery import finish, make_app
from landpatch.errors import DestinationError, InfrastructureError, PermanentError, TransientError
from landpatch.ledger import open_ledger
from landpatch.messages import FetchLabels
from landpatch.records import Outcome, Work
from landpatch.settings import load_settings
from landpatch.tasks import declare_task
from tests.contract import toys

app = make_app("tests.contract.toy_worker")
app.conf.worker_soft_shutdown_timeout = 6
ledger = open_ledger(load_settings())


def _note(block: int) -> int:
    """Note in a file that a task was begun; returns how often it has been."""
    path = Path(os.environ["TOY_NOTES"]) / str(block)
    with path.open("a") as notes:
        notes.write("x")
    return path.stat().st_size


def _give_up(message: FetchLabels, reason: str) -> None:
    finish(ledger, message, Work(failure=reason), {})


@declare_task(app, FetchLabels, _give_up)
def fetch_labels(message: FetchLabels) -> None:
    """Fail as the block's number says."""
    begun = _note(message.block)
    if message.block == toys.TRANSIENT:
        raise TransientError("the service answered 503")
    if message.block == toys.PERMANENT:
        raise PermanentError("the answer is no raster")
    if message.block == toys.BUG:
        raise ZeroDivisionError("a bug")
    if message.block == toys.MEMORY:
        raise MemoryError
    if message.block == toys.AWAY:
        raise InfrastructureError("the destination store is full")
    if message.block == toys.REFUSED and begun <= 6:
        raise DestinationError("the credentials for the destination store have expired")
    if message.block == toys.OUTAGE and begun <= 6:
        raise InfrastructureError("the destination store cannot be reached")
    if message.block == toys.KILLED or (message.block == toys.KILLED_ONCE and begun == 1):
        os.kill(os.getpid(), signal.SIGKILL)
    if message.block == toys.SLOW:
        time.sleep(4)
    finish(ledger, message, Work(requests=begun), {"0_0_0_0": Outcome("complete")})
