"""`landpatch retry`: take up again what failed."""

import click

from landpatch.build import Building, check_regions
from landpatch.commands.entry import one_line, open_settings
from landpatch.commands.region import follow
from landpatch.ledger import open_ledger
from landpatch.summary import describe_dead_letters


@click.command()
@click.argument("nuts")
@click.option("--year", type=int, default=2021, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object as the last line of stdout.")
@one_line
def retry(nuts: str, year: int, as_json: bool) -> None:
    """Take up again what failed in the last run of a region, with the options of that run.

    What is there is left alone, and so is what no product shows. Exit codes as of `region`.
    """
    settings = open_settings()
    key = f"{nuts.strip().upper()}/{year}"
    building = Building(settings, open_ledger(settings))
    request = building.last_request(key)
    check_regions(settings, [request], explicit_label_year=False)
    for line in describe_dead_letters(building.ledger.dead_letters(key)):
        click.echo(f"again: {line}", err=True)
    building.start(request, only_failed=True)
    follow(building, request, as_json)
