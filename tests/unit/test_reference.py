"""The reference says what the code says."""

import subprocess
import sys

import click
import pytest

from landpatch.cli import main
from tests.environment import ROOT

SCRIPT = ROOT / "scripts" / "reference.py"


def test_the_page_of_commands_is_current():
    code = f"import runpy; print(runpy.run_path({str(SCRIPT)!r})['render_commands'](), end='')"
    rendered = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert rendered == (ROOT / "docs" / "commands.md").read_text(), "run `make docs`"
    for name in main.list_commands(click.Context(main)):
        assert f"\n## landpatch {name}\n" in rendered


@pytest.mark.parametrize("module", ["grid", "codec", "build", "sources/eodata"])
def test_the_python_interface_becomes_html(module, html):
    page = (html / "landpatch" / f"{module}.html").read_text()
    assert "docstring" in page


@pytest.fixture(scope="module")
def html(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reference")
    code = (
        "import pathlib, pdoc, warnings; warnings.simplefilter('error');"
        # PyTorch may be missing, and the types of what is made for it with it.
        "warnings.filterwarnings('ignore', message='Failed to run TYPE_CHECKING code');"
        "warnings.filterwarnings('ignore', message='Error parsing type annotation Torch');"
        f"pdoc.pdoc('landpatch', output_directory=pathlib.Path({str(folder)!r}))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return folder
