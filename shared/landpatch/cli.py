"""The command line: `landpatch region FR101`."""

from importlib import import_module

import click

from landpatch import __version__
from landpatch.drivers import restrict_drivers
from landpatch.log import configure_logging

_COMMANDS = {
    "completion": "completion",
    "locate": "locate",
    "map": "draw_map",
    "plan": "plan",
    "preview": "preview",
    "region": "region",
    "regions": "regions",
    "report": "report",
    "retry": "retry",
    "serve": "serve",
    "status": "status",
    "verify": "verify",
}
"""What each command is called in its module of `landpatch.commands`, which has its name."""


class _Commands(click.Group):
    """Loads a command when it is asked for: no command needs all that the others need."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module = import_module(f"landpatch.commands.{cmd_name}")
        command: click.Command = getattr(module, _COMMANDS[cmd_name])
        return command


@click.group(
    cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(__version__, prog_name="landpatch")
def main() -> None:
    """Build land-cover training sets: Sentinel-2 images with CLC+ labels, for any NUTS3 region."""
    configure_logging()
    restrict_drivers()


if __name__ == "__main__":
    main()
