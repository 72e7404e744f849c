"""A shell completes commands and options."""

import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import BashComplete
from click.testing import CliRunner

from landpatch.cli import main
from landpatch.commands.completion import SHELLS


@pytest.mark.parametrize("shell", SHELLS)
def test_every_shell_gets_its_script(shell):
    ran = CliRunner().invoke(main, ["completion", shell])
    assert ran.exit_code == 0
    assert "_LANDPATCH_COMPLETE" in ran.output


def test_bash_completes_a_command_and_its_options():
    complete = BashComplete(main, {}, "landpatch", "_LANDPATCH_COMPLETE")
    assert "region" in [item.value for item in complete.get_completions([], "reg")]
    assert [item.value for item in complete.get_completions(["region"], "--comp")] == ["--composite"]
    assert [item.value for item in complete.get_completions(["region", "--cover"], "")] == [
        "intersects",
        "within",
    ]


def test_the_script_is_good_bash():
    script = CliRunner().invoke(main, ["completion", "bash"]).output
    subprocess.run(["/bin/bash", "-n"], input=script, text=True, check=True)
    landpatch = Path(sys.executable).parent / "landpatch"
    asked = subprocess.run(
        [landpatch],
        env={"_LANDPATCH_COMPLETE": "bash_complete", "COMP_WORDS": "landpatch sta", "COMP_CWORD": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "plain,status" in asked.stdout.splitlines()
