"""`landpatch report FR101`."""

from pathlib import Path

import click

from landpatch import views
from landpatch.commands.entry import one_line


@click.command()
@click.argument("nuts")
@click.option("--year", type=int, default=2021, show_default=True, help="Year of the images.")
@click.option(
    "--output", type=click.Path(path_type=Path), help="The folder.  [default: a new one in this folder]"
)
@one_line
def report(nuts: str, year: int, output: Path | None) -> None:
    """Write the report of a region, as HTML and as Markdown.

    Counts, states, balance of the classes, fractions, products and dates, a histogram of each band, a
    contact sheet. Prints the paths of the two.
    """
    written = views.report(nuts, year=year, output=output)
    for warning in written.warnings:
        click.echo(warning, err=True)
    click.echo(written.html)
    click.echo(written.markdown)
