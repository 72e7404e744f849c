"""The indexer: writes the index files of a region from what is really in the store."""

from functools import lru_cache

from landpatch.celery import make_app
from landpatch.ledger import open_ledger
from landpatch.messages import WriteIndex
from landpatch.settings import load_settings
from landpatch.sources.http import make_session
from landpatch.storage import open_store
from landpatch.tasks import declare_task
from services.indexer.pipeline import Indexer

app = make_app("services.indexer")


@lru_cache(maxsize=1)
def _indexer() -> Indexer:
    """Made when the first message comes, so that no client is older than its process."""
    settings = load_settings()
    return Indexer(settings, open_store(settings), open_ledger(settings), make_session())


def _give_up(message: WriteIndex, reason: str) -> None:
    _indexer().ledger.fail(message.region, message.run, reason)


@declare_task(app, WriteIndex, _give_up)
def write_index(message: WriteIndex) -> None:
    """Read and check what is there; write the two parquet files and the normalisation file."""
    _indexer().write(message)
