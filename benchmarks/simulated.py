"""Workers that cut no pixels and fetch no labels: `celery -A benchmarks.simulated worker`.

They take the real messages and keep the real ledger, command for command as the image and label worker do.
"""

from functools import lru_cache
from zlib import crc32

from landpatch.celery import finish, make_app
from landpatch.ledger import Ledger, open_ledger
from landpatch.messages import CutScene, FetchLabels, SettlePatches, TaskMessage, WriteIndex
from landpatch.records import Outcome, Work
from landpatch.settings import load_settings
from landpatch.tasks import declare_task
from services.image_worker.records import Records

INCOMPLETE = 0.15
"""Share of patches that a product leaves incomplete."""
app = make_app("benchmarks.simulated")


@lru_cache(maxsize=1)
def _ledger() -> Ledger:
    return open_ledger(load_settings())


def _give_up(message: TaskMessage, reason: str) -> None:
    raise RuntimeError(f"{message}: {reason}")


@declare_task(app, CutScene, _give_up)
def cut_scene(message: CutScene) -> None:
    """Complete most patches; keep an observation of the rest."""
    ledger = _ledger()
    names = [work.name for work in message.patches]
    ledger.outcomes_of(message.region, "images", names)
    records = Records(ledger, message)
    for name in names:
        if crc32(f"{name} {message.scene.id}".encode()) / 2**32 >= INCOMPLETE:
            records.add(name, Outcome("complete"))
        elif ledger.is_current(message):
            ledger.keep_observation(message.region, message.run, name, message.scene.id)
    finish(ledger, message, Work(product=message.scene.name), records.outcomes)


@declare_task(app, SettlePatches, _give_up)
def settle_patches(message: SettlePatches) -> None:
    """Call what is left partial."""
    ledger = _ledger()
    records = Records(ledger, message)
    for work in message.patches:
        records.add(work.name, Outcome("partial"))
    finish(ledger, message, Work(), records.outcomes)


@declare_task(app, FetchLabels, _give_up)
def fetch_labels(message: FetchLabels) -> None:
    """Every label is there."""
    ledger = _ledger()
    ledger.outcomes_of(message.region, "labels", message.patches)
    outcomes = dict.fromkeys(message.patches, Outcome("complete"))
    ledger.record(message.region, message.run, "labels", outcomes)
    finish(ledger, message, Work(requests=1), outcomes)


@declare_task(app, WriteIndex, _give_up)
def write_index(message: WriteIndex) -> None:
    """Close the region."""
    _ledger().close(message.region, message.run, "{}")
