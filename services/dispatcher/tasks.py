"""The dispatcher: plans the rounds of a region and hands over to the indexer."""

from functools import lru_cache

from landpatch.celery import make_app
from landpatch.ledger import open_ledger
from landpatch.messages import AdvanceRegion, PlanRegion
from landpatch.settings import load_settings
from landpatch.sources.http import make_session
from landpatch.storage import open_store
from landpatch.tasks import declare_task
from services.dispatcher.pipeline import Dispatcher

app = make_app("services.dispatcher")


@lru_cache(maxsize=1)
def _dispatcher() -> Dispatcher:
    """Made when the first message comes, so that no client is older than its process."""
    settings = load_settings()
    return Dispatcher(settings, open_store(settings), open_ledger(settings), make_session())


def _give_up(message: PlanRegion | AdvanceRegion, reason: str) -> None:
    _dispatcher().ledger.fail(message.region, message.run, reason)


@declare_task(app, PlanRegion, _give_up)
def plan_region(message: PlanRegion) -> None:
    """Boundary, grid, what is there already, catalogue, first round."""
    _dispatcher().plan(message)


@declare_task(app, AdvanceRegion, _give_up)
def advance_region(message: AdvanceRegion) -> None:
    """The next round for the patches that are not complete, or the index."""
    _dispatcher().advance(message)
