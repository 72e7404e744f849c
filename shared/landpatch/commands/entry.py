"""What commands share: exit codes, errors as one line, settings with the embedded stack."""

import os
import sys
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

import click

from landpatch.errors import ConfigurationError, LandpatchError
from landpatch.progress import show_preparation
from landpatch.settings import Settings, load_settings

EXIT_INCOMPLETE = 3
EXIT_REQUEST = 2
EXIT_INFRASTRUCTURE = 1
EXIT_STOPPED = 130
"""By Ctrl-C, as shells have it."""
P = ParamSpec("P")


def one_line(command: Callable[P, None]) -> Callable[P, None]:
    """Turn the errors of landpatch into one line and the exit code of the contract."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except ConfigurationError as error:
            click.echo(f"landpatch: {error}", err=True)
            sys.exit(EXIT_REQUEST)
        except LandpatchError as error:
            click.echo(f"landpatch: {error}", err=True)
            sys.exit(EXIT_INFRASTRUCTURE)

    return run


def open_settings() -> Settings:
    """The settings, with the embedded stack standing in for whatever is not set."""
    settings = load_settings()
    if settings.redis_url and settings.store_endpoint and settings.has_account:
        return settings
    try:
        from services.stack import start_for  # noqa: PLC0415  # only a checkout has it
    except ImportError:
        raise ConfigurationError(
            "the embedded stack needs a checkout of the project; or set LANDPATCH_REDIS_URL, "
            "AWS_S3_ENDPOINT and the credentials of the image source (see .env.example)"
        ) from None
    return start_for(settings)


def has_own_sandbox(settings: Settings) -> bool:
    """Whether the sandbox of the embedded stack is the source."""
    return settings.source == "sandbox" and "LANDPATCH_STACK" in os.environ


def prepare_sandbox(nuts: str, year: int) -> None:
    """Have the sandbox make a region's products, where that has not been done before."""
    from services.stack.sandbox import prepare  # noqa: PLC0415  # only a checkout has it

    show_preparation((at.done, at.total) for at in prepare(nuts, year))
