"""The image worker: cuts all patches of a message out of one product."""

from functools import lru_cache

from landpatch.celery import make_app
from landpatch.ledger import open_ledger
from landpatch.messages import CutScene, ImageMessage, SettlePatches
from landpatch.settings import load_settings
from landpatch.storage import open_store
from landpatch.tasks import declare_task
from services.image_worker.imagery import open_imagery
from services.image_worker.pipeline import ImageWorker
from services.image_worker.turn import Turn

app = make_app("services.image_worker")
_turn = Turn()
"""Made before the worker's processes are, which share it."""


@lru_cache(maxsize=1)
def _worker() -> ImageWorker:
    """Made when the first message comes, so that no client is older than its process."""
    settings = load_settings()
    return ImageWorker(settings, open_store(settings), open_imagery(settings), open_ledger(settings), _turn)


def _give_up(message: ImageMessage, reason: str) -> None:
    _worker().give_up(message, reason)


@declare_task(app, CutScene, _give_up)
def cut_scene(message: CutScene) -> None:
    """Download a product's bands once, cut every patch of the message, write the complete ones."""
    _worker().cut(message)


@declare_task(app, SettlePatches, _give_up)
def settle_patches(message: SettlePatches) -> None:
    """Write what there is of patches whose products are used up."""
    _worker().settle(message)
