"""Structured logs: readable in a terminal, one line an event."""

import logging
import os
import sys

import structlog


def configure_logging() -> None:
    """Log to stderr; JSON where LANDPATCH_LOG=json, else for a person."""
    as_json = os.environ.get("LANDPATCH_LOG") == "json"
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer(colors=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
