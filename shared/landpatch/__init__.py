"""Land-cover training sets for Europe: Sentinel-2 images paired with CLC+ labels."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from landpatch.place import locate as locate
    from landpatch.regions import list_regions as list_regions

__version__ = "0.1.0"
_CALLS = {"list_regions": "landpatch.regions", "locate": "landpatch.place"}
"""What people call, and the module where it is."""


def __getattr__(name: str) -> Any:
    """The calls that people make, loaded when they are asked for: workers need none of them."""
    if name not in _CALLS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_CALLS[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_CALLS})
