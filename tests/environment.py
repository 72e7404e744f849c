"""Where the project lies, and what processes that the tests start see of this machine's settings."""

import os
from pathlib import Path

ROOT = Path(__file__).parents[1]
"""The checkout."""


def clean_environment(**extra: str) -> dict[str, str]:
    """This process's environment without any setting of landpatch, plus `extra`."""
    ours = ("LANDPATCH_", "EO_S3_", "AWS_", "OTEL_")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)} | extra
