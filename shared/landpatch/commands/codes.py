"""Which regions a command is about: codes, a file of codes, or all."""

from collections.abc import Callable, Iterable, Sequence
from typing import TextIO

import click

from landpatch.errors import RequestError

EVERYWHERE = "all"
NO_EUROPE = (
    "the sandbox cannot make all of Europe: name regions, or set EO_S3_ACCESS_KEY_ID (to plan,"
    " LANDPATCH_ODATA_URL is enough: the public catalogue asks for no credentials)"
)


def take_regions(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the argument `nuts` and the option `--file`, as `listed`."""
    listed = click.option(
        "--file", "listed", type=click.File(), help="Take the regions from a file, one a line; - is stdin."
    )
    return click.argument("nuts", nargs=-1)(listed(command))


def read_codes(nuts: Sequence[str], listed: TextIO | None) -> list[str]:
    """The codes that were named, in order, each once; ["all"] for all of Europe.

    In a file, what follows a `#` is a remark. Raises RequestError when there is none.
    """
    codes = list(
        dict.fromkeys(code.strip().upper() for code in [*nuts, *_lines(listed or ())] if code.strip())
    )
    if not codes:
        raise RequestError("which regions? Name them, such as FR101 LU000, or in a --file, or say: all")
    return [EVERYWHERE] if codes == [EVERYWHERE.upper()] else codes


def _lines(listed: Iterable[str]) -> list[str]:
    try:
        return [line.partition("#")[0] for line in listed]
    except UnicodeDecodeError:
        raise RequestError("the file of regions is not text") from None
