"""Write the reference: `docs/commands.md` from the help of each command, HTML from the docstrings.

`python scripts/reference.py [FOLDER]`; FOLDER gets the HTML, else only the page is written.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from landpatch.cli import main as landpatch

PAGE = Path(__file__).parents[1] / "docs" / "commands.md"
WIDTH = 100


def render_commands() -> str:
    """The page of commands, as Markdown."""
    lines = [
        "# Commands",
        "",
        "What `landpatch COMMAND --help` says; written by `make docs`. In a checkout the command is",
        "`.venv/bin/landpatch`; `make help` lists the targets that do the same with all set-up.",
    ]
    for name, text in _helps(landpatch, "landpatch"):
        lines += ["", f"## {name}", "", "```", text.rstrip(), "```"]
    return "\n".join(lines) + "\n"


def _helps(
    command: click.Command, name: str, parent: click.Context | None = None
) -> Iterator[tuple[str, str]]:
    context = click.Context(
        command,
        info_name=name,
        parent=parent,
        terminal_width=WIDTH,
        max_content_width=WIDTH,
        help_option_names=["-h", "--help"],
    )
    yield context.command_path, command.get_help(context)
    if isinstance(command, click.Group):
        for each in command.list_commands(context):
            one = command.get_command(context, each)
            if one:
                yield from _helps(one, each, context)


def main() -> None:
    """Write the page; and the HTML, when a folder is named."""
    PAGE.write_text(render_commands())
    if sys.argv[1:]:
        import pdoc  # noqa: PLC0415  # only who wants the HTML needs it

        pdoc.render.configure(docformat="markdown")
        pdoc.pdoc("landpatch", output_directory=Path(sys.argv[1]))


if __name__ == "__main__":
    main()
