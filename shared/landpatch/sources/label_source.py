"""Which labels are wanted: the settings say so, and nothing behind this module asks."""

from pathlib import Path

import requests

from landpatch.class_table import MAX_TABLE_BYTES, ClassTable, parse_table
from landpatch.errors import ConfigurationError
from landpatch.settings import Settings
from landpatch.sources.clcplus import EDITIONS, ClcPlus
from landpatch.sources.labels import LabelSource
from landpatch.sources.raster import open_raster_labels

_WHAT = "the class table (LANDPATCH_LABEL_CLASSES)"


def known_editions(settings: Settings) -> tuple[int, ...] | None:
    """The years that there are labels of; None where any may be asked for."""
    return None if settings.label_rasters else EDITIONS


def open_label_source(settings: Settings, session: requests.Session) -> LabelSource:
    """The source of labels; nothing is asked for yet. Raises ConfigurationError for a wrong class table."""
    if not settings.label_rasters:
        return ClcPlus(settings.clcplus_url, session)
    table = _load_table(settings.label_classes)
    return open_raster_labels(settings.label_rasters, table, settings.label_resampling, session)


def _load_table(given: str | None) -> ClassTable:
    if given is None:
        raise ConfigurationError(
            "LANDPATCH_LABEL_SOURCE=raster:… needs a class table: set LANDPATCH_LABEL_CLASSES to a file"
            " with a line such as `10: 3` for each code"
        )
    if given.lstrip().startswith("{"):
        return parse_table(given, _WHAT)
    try:
        with Path(given).open("rb") as file:
            text = file.read(MAX_TABLE_BYTES + 1).decode()
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{_WHAT} is no text in UTF-8") from error
    except OSError as error:
        raise ConfigurationError(f"{_WHAT} cannot be read: {error.strerror}") from error
    return parse_table(text, _WHAT)
