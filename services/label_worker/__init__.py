"""See `tasks.py` for what this service does; run it with `celery -A services.label_worker worker`."""

from services.label_worker.tasks import app

__all__ = ["app"]
