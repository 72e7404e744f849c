"""The label worker: fetches the labels of a block of patches."""

from functools import lru_cache

from landpatch.celery import make_app
from landpatch.ledger import open_ledger
from landpatch.messages import FetchLabels
from landpatch.settings import load_settings
from landpatch.sources.http import make_session
from landpatch.sources.label_source import open_label_source
from landpatch.storage import open_store
from landpatch.tasks import declare_task
from services.label_worker.pipeline import LabelWorker

app = make_app("services.label_worker")


@lru_cache(maxsize=1)
def _worker() -> LabelWorker:
    """Made when the first message comes, so that no client is older than its process."""
    settings = load_settings()
    source = open_label_source(settings, make_session(retries=1))
    return LabelWorker(settings, open_store(settings), open_ledger(settings), source)


def _give_up(message: FetchLabels, reason: str) -> None:
    _worker().give_up(message, reason)


@declare_task(app, FetchLabels, _give_up)
def fetch_labels(message: FetchLabels) -> None:
    """Fetch one window for the block and cut its labels."""
    _worker().fetch(message)
