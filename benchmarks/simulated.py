"""Workers that cut no pixels and fetch no labels: `celery -A benchmarks.simulated worker`.

They take the real messages and keep the real ledger, command for command as the image and label worker do.
"""

from functools import lru_cache
from zlib import crc32

from landpatch.celery import declare_task, make_app
from landpatch.completion import finish, is_wanted
from landpatch.ledger import Ledger, Outcome, Work, open_ledger
from landpatch.messages import CutScene, FetchLabels, SettlePatches, WriteIndex
from landpatch.settings import load_settings

INCOMPLETE = 0.15
"""Share of patches that a product leaves incomplete."""
app = make_app("benchmarks.simulated")


@lru_cache(maxsize=1)
def _ledger() -> Ledger:
    return open_ledger(load_settings())


def _give_up(message: CutScene | SettlePatches | FetchLabels | WriteIndex, reason: str) -> None:
    raise RuntimeError(f"{message}: {reason}")


@declare_task(app, CutScene, _give_up)
def cut_scene(message: CutScene) -> None:
    """Complete most patches; keep an observation of the rest."""
    ledger = _ledger()
    if not is_wanted(ledger, message, "images"):
        return
    for work in message.patches:
        if crc32(f"{work.name} {message.scene.id}".encode()) / 2**32 < INCOMPLETE:
            ledger.keep_observation(message.region, work.name, message.scene.id)
        else:
            ledger.record(message.region, "images", {work.name: Outcome("complete")})
    finish(ledger, message, "images", Work(product=message.scene.name))


@declare_task(app, SettlePatches, _give_up)
def settle_patches(message: SettlePatches) -> None:
    """Call what is left partial."""
    ledger = _ledger()
    if not is_wanted(ledger, message, "images"):
        return
    for work in message.patches:
        ledger.record(message.region, "images", {work.name: Outcome("partial")})
    finish(ledger, message, "images", Work())


@declare_task(app, FetchLabels, _give_up)
def fetch_labels(message: FetchLabels) -> None:
    """Every label is there."""
    ledger = _ledger()
    if not is_wanted(ledger, message, "labels"):
        return
    ledger.record(message.region, "labels", dict.fromkeys(message.patches, Outcome("complete")))
    finish(ledger, message, "labels", Work(requests=1))


@declare_task(app, WriteIndex, _give_up)
def write_index(message: WriteIndex) -> None:
    """Close the region."""
    _ledger().close(message.request.key, "{}")
