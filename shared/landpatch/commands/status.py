"""`landpatch status`: the ledger, the dead letters, the quota."""

import click

from landpatch.commands.entry import one_line
from landpatch.ledger import open_ledger
from landpatch.quota import open_governor
from landpatch.settings import load_settings
from landpatch.summary import describe_dead_letters, describe_quota


@click.command()
@click.argument("nuts", required=False)
@click.option("--year", type=int, default=2021, show_default=True)
@one_line
def status(nuts: str | None, year: int) -> None:
    """Show the ledger: every region, or one."""
    settings = load_settings()
    if settings.redis_url is None:
        from services.stack import running_settings  # noqa: PLC0415  # only a checkout has it

        settings = running_settings(settings)
    ledger = open_ledger(settings)
    ledger.check()
    regions = [f"{nuts.upper()}/{year}"] if nuts else ledger.regions()
    if not regions:
        click.echo("no region has been asked for yet")
    for key in regions:
        at = ledger.progress(key)
        click.echo(
            f"{key:<12} {at.state:<9} round {at.round}  products {at.products_done}/{at.products_total}"
            f"  images {at.images_done}/{at.images_total}  labels {at.labels_done}/{at.labels_total}"
            f"  {at.message}".rstrip()
        )
        for line in describe_dead_letters(ledger.dead_letters(key) if at.dead_letters else {}):
            click.echo(f"  dead letter {line}")
    if refused := ledger.refused():
        click.echo(f"{len(refused)} messages could not be read; the last: {refused[0]}")
    if settings.has_account:
        click.echo(describe_quota(open_governor(settings)))
