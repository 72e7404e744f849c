"""Structured logs: readable in a terminal, one line an event."""

import logging
import os
import sys

import structlog
from structlog.types import Processor


def configure_logging() -> None:
    """Log to stderr; JSON where LANDPATCH_LOG=json, else for a person."""
    # Not the tracebacks that are the default where rich is installed: they show local variables, and
    # those of an S3 client or a Redis connection are secrets.
    render: list[Processor] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
        if os.environ.get("LANDPATCH_LOG") == "json"
        else [structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)]
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
