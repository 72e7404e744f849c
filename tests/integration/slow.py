"""A Celery app like those of the services, with a task that takes its time."""

import os
import time
from pathlib import Path

from landpatch.celery import make_app

app = make_app("tests.slow")
TASK_S = 6.0


@app.task(name="slow.write")
def write(name: str) -> None:
    """Begin a file, and end it after a while."""
    folder = Path(os.environ["SLOW_FOLDER"])
    (folder / f"{name}.begun").touch()
    time.sleep(TASK_S)
    (folder / f"{name}.ended").touch()
