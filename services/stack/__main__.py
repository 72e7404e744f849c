"""`python -m services.stack up | down | status | flower`."""

import sys

import click
from rich.console import Console
from rich.table import Table

from landpatch.errors import LandpatchError
from services.stack import control


@click.group()
def main() -> None:
    """The embedded stack: Redis, object store, workers, Flower."""


@main.command()
def up() -> None:
    """Start what is not running."""
    control.up()
    _print_status()


@main.command()
def down() -> None:
    """Stop everything."""
    stopped = control.down()
    click.echo(f"stopped {', '.join(stopped)}" if stopped else "nothing was running")


@main.command()
def status() -> None:
    """Show each part, and what waits on the queues."""
    _print_status()


@main.command()
def flower() -> None:
    """Start what is not running, and say where Flower is and how to get in."""
    control.up()
    click.echo(next(part.address for part in control.status() if part.name == "flower"))


def _print_status() -> None:
    parts = control.status()
    if not parts:
        click.echo("the embedded stack is not running; start it with `make up`")
        return
    table = Table("part", "state", "pid", "up", "address", box=None)
    for part in parts:
        table.add_row(part.name, part.state, str(part.pid or ""), f"{part.uptime_s:.0f} s", part.address)
    console = Console(soft_wrap=True)
    console.print(table)
    waiting = ", ".join(f"{queue} {count}" for queue, count in control.queue_lengths().items())
    console.print(f"waiting: {waiting}", highlight=False)
    console.print(f"logs: {control.log_folder()}", highlight=False)


if __name__ == "__main__":
    try:
        main(standalone_mode=False)
    except LandpatchError as error:
        click.echo(f"landpatch: {error}", err=True)
        sys.exit(1)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
