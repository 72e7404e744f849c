"""The tutorial runs as it stands, from top to bottom."""

import html.parser
from pathlib import Path

import pytest
import rasterio
from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser

from tests.environment import ROOT
from tests.integration.conftest import Stack

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
def place(stack: Stack, paris, tmp_path_factory):
    """Where a reader is: beside `.state`."""
    folder = tmp_path_factory.mktemp("reader")
    (folder / ".state").symlink_to(stack.state)
    return folder


@pytest.fixture
def tutorial(place: Path, stack: Stack, monkeypatch: pytest.MonkeyPatch, capsys):
    """What the tutorial has left behind: its names, and what it has printed."""
    monkeypatch.chdir(place)
    for name, value in stack.settings().items():
        monkeypatch.setenv(name, value)
    page = Sybil([PythonCodeBlockParser()]).parse(ROOT / "docs" / "tutorial.md")
    for example in page:
        example.evaluate()
    return page.namespace, capsys.readouterr().out


def test_the_tutorial_runs_and_prints_what_it_says(tutorial, place):
    names, printed = tutorial
    lines = printed.splitlines()
    assert lines[0] == "(14, 250, 250) (250, 250)"
    assert lines[1] == "EPSG:3035 (3760000.0, 2887500.0, 3762500.0, 2890000.0)"
    assert any(line == "FR101 Paris 3760000_2887500_0_20" for line in lines)
    assert len(names["dataset"]) == sum(map(len, names["parts"].values())) == 28
    for picture in ("true.png", "false.png"):
        with rasterio.open(place / picture) as image:
            assert (image.count, image.width, image.height) == (4, 250, 250)
    assert (place / "notre-dame.png").read_bytes()[:4] == b"\x89PNG"
    html.parser.HTMLParser().feed((place / "paris.html").read_text())
