"""See `tasks.py` for what this service does; run it with `celery -A services.label_worker worker`."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from celery import Celery


def __getattr__(name: str) -> "Celery":
    """The Celery app, made when it is asked for: it needs the settings, the pipeline does not."""
    if name != "app":
        raise AttributeError(name)
    from services.label_worker.tasks import app  # noqa: PLC0415

    return app
