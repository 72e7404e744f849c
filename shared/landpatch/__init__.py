"""Land-cover training sets for Europe: Sentinel-2 images paired with CLC+ labels."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from landpatch.views import map, preview, report

__version__ = "0.1.0"
__all__ = ["map", "preview", "report"]


def __getattr__(name: str) -> Any:
    """The calls that people make, loaded when they are asked for: workers need none of them."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from landpatch import views  # noqa: PLC0415

    return getattr(views, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
