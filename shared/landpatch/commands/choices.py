"""What is asked for of a region, as options of a command."""

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, fields
from datetime import date
from functools import wraps
from typing import Any

import click

from landpatch.build import prepare_request
from landpatch.composite import Method
from landpatch.messages import RegionRequest
from landpatch.patch import Cover
from landpatch.settings import load_settings
from landpatch.sources.label_source import known_editions


@dataclass(frozen=True, slots=True)
class Choices:
    """What is asked for of a region, as a user typed it."""

    year: int
    label_year: int | None
    max_cloud: float
    start: str
    end: str
    cover: Cover
    composite: Method

    def ask(self, codes: Iterable[str]) -> list[RegionRequest]:
        """The requests for regions; raises RequestError."""
        given: dict[str, Any] = asdict(self) | {"editions": known_editions(load_settings())}
        today = date.today()  # noqa: DTZ011  # the user's day
        return [prepare_request(nuts, today=today, **given) for nuts in codes]


def take_choices(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that say what is asked for of a region; it gets them as `choices`."""
    names = [field.name for field in fields(Choices)]

    @wraps(command)
    def run(**given: Any) -> None:
        choices = Choices(**{name: given.pop(name) for name in names})
        command(choices=choices, **given)

    decorated: Callable[..., None] = run
    for option in reversed(_OPTIONS):
        decorated = option(decorated)
    return decorated


_OPTIONS = [
    click.option("--year", type=int, default=2021, show_default=True, help="Year of the images."),
    click.option("--label-year", type=int, help="Edition of the labels.  [default: the year, if it has one]"),
    click.option(
        "--max-cloud", type=float, default=30, show_default=True, help="Percent, of a whole product."
    ),
    click.option("--start", default="05-01", show_default=True, help="First day of sensing, MM-DD."),
    click.option("--end", default="09-30", show_default=True, help="Last day of sensing, MM-DD."),
    click.option(
        "--cover",
        type=click.Choice(["intersects", "within"]),
        default="intersects",
        show_default=True,
        help="Take the cells that share area with the region, or only those inside it.",
    ),
    click.option(
        "--composite",
        type=click.Choice(["best", "median"]),
        default="best",
        show_default=True,
        help="Each pixel from the best product, or the median of the clear ones.",
    ),
]
