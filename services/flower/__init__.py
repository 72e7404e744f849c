"""Flower, which watches the workers, behind its password: `python -m services.flower --db flower.db`."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from celery import Celery


def __getattr__(name: str) -> "Celery":
    """The Celery app, made when it is asked for: it needs the settings, the check of access does not."""
    if name != "app":
        raise AttributeError(name)
    from landpatch.celery import make_app  # noqa: PLC0415

    return make_app("services.flower")
