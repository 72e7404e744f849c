"""Workers that cut no pixels and fetch no labels: `celery -A benchmarks.simulated worker`.

They take the real messages and keep the real ledger, command for command as the image and label worker do,
and take as long as those where `benchmarks.pace` is told to. They ask nothing of the account's quota: that is
asked for each request, whatever patches come of it (`quota_commands_a_request` of `control_plane`).
"""

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import TypeVar
from zlib import crc32

from celery import signals

from benchmarks.pace import open_pace
from landpatch.celery import finish, make_app
from landpatch.ledger import Ledger, open_ledger
from landpatch.messages import CutScene, FetchLabels, SettlePatches, TaskMessage, WriteIndex
from landpatch.records import Outcome, Work
from landpatch.settings import load_settings
from landpatch.tasks import declare_task
from services.image_worker.records import Records
from services.image_worker.turn import Turn

M = TypeVar("M", bound=TaskMessage)
INCOMPLETE = 0.15
"""Share of patches that a product leaves incomplete."""
app = make_app("benchmarks.simulated")


@lru_cache(maxsize=1)
def _ledger() -> Ledger:
    return open_ledger(load_settings())


@lru_cache(maxsize=1)
def _turn() -> Turn:
    return Turn()


@signals.worker_init.connect
def _share_turn(**_: object) -> None:
    """Made before the worker's processes are, which share it."""
    _turn()


def _give_up(message: TaskMessage, reason: str) -> None:
    raise RuntimeError(f"{message}: {reason}")


def _timed(body: Callable[[M], None]) -> Callable[[M], None]:
    """Have a task take its time, where that is asked for."""

    @wraps(body)
    def run(message: M) -> None:
        pace = open_pace()
        if pace is None:
            body(message)
            return
        pace.begin(message, _turn())
        body(message)
        pace.end(message)

    return run


@declare_task(app, CutScene, _give_up)
@_timed
def cut_scene(message: CutScene) -> None:
    """Complete most patches, none of a median; keep an observation of the rest."""
    ledger = _ledger()
    names = [work.name for work in message.patches]
    ledger.outcomes_of(message.region, "images", names)
    records = Records(ledger, message)
    for name in names:
        luck = crc32(f"{name} {message.scene.id}".encode()) / 2**32
        if not ledger.is_current(message):
            continue
        if message.composite == "best" and luck >= INCOMPLETE:
            records.add(name, Outcome("complete"))
        else:
            ledger.keep_observation(message.region, message.run, name, message.scene.id)
    finish(ledger, message, Work(product=message.scene.name), records.outcomes)


@declare_task(app, SettlePatches, _give_up)
@_timed
def settle_patches(message: SettlePatches) -> None:
    """Call what is left partial."""
    ledger = _ledger()
    records = Records(ledger, message)
    for work in message.patches:
        if ledger.is_current(message):
            records.add(work.name, Outcome("partial"))
    finish(ledger, message, Work(), records.outcomes)


@declare_task(app, FetchLabels, _give_up)
@_timed
def fetch_labels(message: FetchLabels) -> None:
    """Every label is there."""
    ledger = _ledger()
    ledger.outcomes_of(message.region, "labels", message.patches)
    ledger.is_current(message)
    outcomes = dict.fromkeys(message.patches, Outcome("complete"))
    ledger.record(message.region, message.run, "labels", outcomes)
    finish(ledger, message, Work(requests=1), outcomes)


@declare_task(app, WriteIndex, _give_up)
def write_index(message: WriteIndex) -> None:
    """Close the region."""
    _ledger().close(message.region, message.run, "{}")
