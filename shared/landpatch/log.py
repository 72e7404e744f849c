"""Structured logs: one line an event, as JSON or for a person; what libraries log looks like what we log."""

import logging
import os
import sys
from typing import Any

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

_NOT_HEARD = ("urllib3",)
"""Libraries that warn of each new try with the address and its query, which may hold a signature."""
_STAMP = structlog.processors.TimeStamper(fmt="iso", utc=True)


def logs_json() -> bool:
    """Whether lines are for a program, as in a container: LANDPATCH_LOG=json."""
    return os.environ.get("LANDPATCH_LOG") == "json"


def configure_logging(libraries: int | str = logging.WARNING) -> None:
    """Log to stderr; JSON where LANDPATCH_LOG=json, else for a person.

    libraries: from which level on they are heard.
    """
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            _STAMP,
            *_renderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        # A line and its end by one write: those of the processes of a worker go to the same place.
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[
                structlog.contextvars.merge_contextvars,
                structlog.stdlib.add_log_level,
                structlog.stdlib.add_logger_name,
                _add_task,
                _STAMP,
            ],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_renderer()],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(libraries)
    for name in _NOT_HEARD:
        logging.getLogger(name).setLevel(logging.ERROR)
    logging.captureWarnings(True)


def _renderer() -> list[Processor]:
    # Not the tracebacks that are the default where rich is installed: they show local variables, and
    # those of an S3 client or a Redis connection are secrets.
    if logs_json():
        return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    return [structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)]


def _add_task(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Which message Celery speaks of, where it does."""
    told: Any = getattr(event["_record"], "data", None)
    if isinstance(told, dict) and "id" in told:
        event.setdefault("task_id", told["id"])
    return event
