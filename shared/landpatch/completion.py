"""When a task has still to be done, and who says that the last one is over."""

from landpatch.celery import send
from landpatch.ledger import Kind, Ledger, Work
from landpatch.messages import AdvanceRegion, CutScene, FetchLabels, SettlePatches

TaskMessage = CutScene | SettlePatches | FetchLabels


def is_wanted(ledger: Ledger, message: TaskMessage, kind: Kind) -> bool:
    """Whether a task has still to be done. The last one says so again when it is delivered again: it may
    have died between its last step and telling the dispatcher."""
    if not ledger.is_current(message):
        return False
    if ledger.is_pending(message.region, kind, message.task):
        return True
    if not ledger.pending(message.region, kind):
        _tell_dispatcher(ledger, message)
    return False


def finish(ledger: Ledger, message: TaskMessage, kind: Kind, work: Work) -> None:
    """Record what a task has done; the last that was pending tells the dispatcher."""
    if ledger.finish(message, kind, message.task, work):
        _tell_dispatcher(ledger, message)


def _tell_dispatcher(ledger: Ledger, message: TaskMessage) -> None:
    current = int(ledger.facts(message.region).get("round", "0"))
    send(AdvanceRegion(run=message.run, nuts=message.nuts, year=message.year, round=current))
