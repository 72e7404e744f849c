"""See `tasks.py` for what this service does; run it with `celery -A services.image_worker worker`."""

from services.image_worker.tasks import app

__all__ = ["app"]
