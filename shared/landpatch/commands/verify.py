"""`landpatch verify`: re-check what is stored."""

import sys

import click

from landpatch.commands.entry import EXIT_INCOMPLETE, one_line, open_settings
from landpatch.layout import RegionLayout, parse_nuts
from landpatch.storage import open_store
from landpatch.verify import verify_region


@click.command()
@click.argument("nuts")
@click.option("--year", type=int, default=2021, show_default=True)
@one_line
def verify(nuts: str, year: int) -> None:
    """Re-read everything that is stored of a region and check it against the index.

    Exit code 0: all is as the index says. 3: it is not; each fault is named.
    """
    nuts = parse_nuts(nuts)
    settings = open_settings()
    verdict = verify_region(open_store(settings), RegionLayout(settings.prefix, nuts, year))
    click.echo(
        f"{nuts}/{year}: {verdict.images} images and {verdict.labels} labels read,"
        f" {len(verdict.faults)} faults; edges of image and label agree best without a shift in"
        f" {verdict.aligned} of {verdict.compared} pairs that have enough of them"
    )
    for fault in verdict.faults:
        click.echo(f"  {fault.object}: {fault.what}")
    sys.exit(EXIT_INCOMPLETE if verdict.faults else 0)
