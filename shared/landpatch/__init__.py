"""Land-cover training sets for Europe: Sentinel-2 images paired with CLC+ labels."""

from collections.abc import Iterable
from importlib import import_module
from os import PathLike
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from landpatch.dataset import Dataset
    from landpatch.place import locate as locate
    from landpatch.regions import list_regions as list_regions
    from landpatch.views import map as map
    from landpatch.views import preview as preview
    from landpatch.views import report as report

__version__ = "0.1.0"
_MODULES = {
    "list_regions": "landpatch.regions",
    "locate": "landpatch.place",
    "map": "landpatch.views",
    "preview": "landpatch.views",
    "report": "landpatch.views",
}
"""Where each call is."""


def open(location: str | PathLike[str], regions: str | Iterable[str] | None = None) -> "Dataset":
    """Open a training set of landpatch's layout, such as the public one, to read it.

    location: a folder, `s3://bucket/prefix` (endpoint and credentials from AWS_S3_ENDPOINT,
    AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY), or `https://host/path`: what holds `images` and `labels`.
    The folder of one region's images, or its `filename2bbox.parquet`, opens that region. regions: one or
    several of `FR101/2021`, or `FR101` for all its years; everything that is there by default. A web server
    cannot be listed, so there regions are named with their years.

    Only indexes are read. Raises RequestError for a request that is wrong, AbsentError for a region that is
    not there, PermanentError for an index that cannot be read, ConfigurationError for missing or refused
    credentials, TransientError when the store does not answer.
    """
    # Workers import this package without ever reading a training set.
    from landpatch.dataset import open_dataset  # noqa: PLC0415

    return open_dataset(location, regions)


def __getattr__(name: str) -> Any:
    """The calls that people make, loaded when they are asked for: workers need none of them."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})
