"""See `tasks.py` for what this service does; run it with `celery -A services.indexer worker`."""

from services.indexer.tasks import app

__all__ = ["app"]
