"""Land-cover training sets for Europe: Sentinel-2 images paired with CLC+ labels."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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


def __getattr__(name: str) -> Any:
    """The calls that people make, loaded when they are asked for: workers need none of them."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})
