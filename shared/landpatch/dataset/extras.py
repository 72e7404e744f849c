"""Libraries that not everybody needs."""

from collections.abc import Iterator
from contextlib import contextmanager

from landpatch.errors import MissingExtraError

_MODULES = {
    "torch": ("torch",),
    "xarray": ("xarray", "dask"),
    "stac": ("pystac", "stac_geoparquet"),
}
"""What each extra of the package brings."""


@contextmanager
def need(extra: str) -> Iterator[None]:
    """For the import of what uses an extra of the package; raises MissingExtraError where it is missing.

    Other errors of the import, such as those of a broken installation, are left as they are.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name not in _MODULES[extra]:
            raise
        raise MissingExtraError(f'this needs {error.name}: pip install "landpatch[{extra}]"') from None
