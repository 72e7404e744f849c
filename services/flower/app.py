"""The Celery app through which Flower finds the broker; it has no tasks."""

from landpatch.celery import make_app

app = make_app("services.flower")
