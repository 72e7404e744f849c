"""See `tasks.py` for what this service does; run it with `celery -A services.dispatcher worker`."""

from services.dispatcher.tasks import app

__all__ = ["app"]
