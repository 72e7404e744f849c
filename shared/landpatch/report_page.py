"""The report of a region: as an HTML page that stands alone, and as Markdown beside its pictures."""

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files

from landpatch import __version__
from landpatch.errors import ConfigurationError
from landpatch.stored import StoredRegion
from landpatch.tally import Tally, describe_share

try:
    from jinja2 import Environment, FunctionLoader, StrictUndefined, select_autoescape
except ImportError as error:
    if (error.name or "").partition(".")[0] != "jinja2":
        raise
    raise ConfigurationError("a report needs jinja2: pip install 'landpatch[maps]'") from None

_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>|#])")


@dataclass(frozen=True, slots=True)
class Report:
    """What a report tells."""

    stored: StoredRegion
    tally: Tally
    sampled: int
    """Images that the histograms were made of."""
    pictures: Mapping[str, bytes]
    """`states.png`, `histograms.png` and `contact-sheet.jpg` by name."""

    def render_html(self) -> str:
        """A page with its pictures in it."""
        return self._render("report.html")

    def render_markdown(self) -> str:
        """Markdown that shows the pictures as files of the same folder."""
        return self._render("report.md")

    def _render(self, template: str) -> str:
        environment = Environment(
            autoescape=select_autoescape(("html",)),
            loader=FunctionLoader(_read),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
        )
        environment.filters |= {
            "percent": describe_share,
            "megabytes": _megabytes,
            "plain": _escape_markdown,
            "code": _code,
        }
        page: str = environment.get_template(template).render(
            region=self.stored.region,
            year=self.stored.layout.year,
            sandbox=self.stored.source == "sandbox",
            tally=self.tally,
            sampled=self.sampled,
            pictures={name: _embed(name, data) for name, data in self.pictures.items()},
            version=__version__,
        )
        return page


def _read(name: str) -> str:
    return files("landpatch").joinpath("web", name).read_text(encoding="utf-8")


def _embed(name: str, data: bytes) -> str:
    kind = "jpeg" if name.endswith(".jpg") else "png"
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"


def _escape_markdown(text: str) -> str:
    """Text that Markdown shows as it is."""
    return _MARKDOWN.sub(r"\\\1", " ".join(text.split()))


def _code(text: str) -> str:
    """Text as code in a cell of a table of Markdown, where only a bar means something."""
    return f"`{' '.join(text.replace('`', ' ').split())}`".replace("|", "\\|")
