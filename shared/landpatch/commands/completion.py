"""`landpatch completion`: what a shell needs to complete commands and options."""

from typing import cast

import click
from click.shell_completion import ShellComplete, get_completion_class

SHELLS = ("bash", "fish", "zsh")


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print what makes a shell complete commands and options.

    bash, in ~/.bashrc:  eval "$(landpatch completion bash)". zsh the same, in ~/.zshrc. fish:
    landpatch completion fish > ~/.config/fish/completions/landpatch.fish
    """
    makes = cast("type[ShellComplete]", get_completion_class(shell))
    root = context.find_root().command
    click.echo(makes(root, {}, "landpatch", "_LANDPATCH_COMPLETE").source())
