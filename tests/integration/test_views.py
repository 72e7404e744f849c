"""`landpatch preview`, `map` and `report` as a user types them, on a region built through real processes."""

import io
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.environment import ROOT, clean_environment

pytestmark = pytest.mark.stack

NOTRE_DAME = "2.3499,48.8530"


def test_a_preview_is_a_png_whose_path_is_printed(stack, paris, tmp_path):
    ran = stack.landpatch("preview", NOTRE_DAME, "--output", str(tmp_path))
    assert ran.returncode == 0, ran.stderr
    (path,) = map(Path, ran.stdout.split())
    assert re.fullmatch(r"FR101-2021-\d+_\d+_0_\d+\.png", path.name)
    with Image.open(path) as picture:
        assert picture.size == (1596, 1196)
    by_name = stack.landpatch(
        "preview", path.stem.removeprefix("FR101-2021-"), "--output", f"{tmp_path}/b.png"
    )
    assert (tmp_path / "b.png").read_bytes() == path.read_bytes(), by_name.stderr


def test_a_terminal_that_can_show_pictures_shows_the_preview(stack, paris, tmp_path):
    theirs, ours = pty.openpty()
    command = [
        str(Path(sys.executable).parent / "landpatch"),
        "preview",
        NOTRE_DAME,
        "--output",
        str(tmp_path),
    ]
    shown = b""
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=clean_environment(LANDPATCH_STATE_DIR=str(stack.state)) | {"TERM": "xterm-kitty", "TMUX": ""},
        stdin=subprocess.DEVNULL,
        stdout=ours,
        stderr=subprocess.DEVNULL,
    ) as running:
        os.close(ours)
        while True:
            try:
                piece = os.read(theirs, 65536)
            except OSError:
                break  # the other end is closed
            if not piece:
                break
            shown += piece
    os.close(theirs)
    assert running.returncode == 0
    assert shown.startswith(b"\x1b_Ga=T,f=100,q=2,m=1;")
    assert str(tmp_path).encode() in shown.split(b"\x1b\\")[-1]


def test_a_map_is_one_file_with_every_patch(stack, paris, tmp_path):
    ran = stack.landpatch("map", "FR101", "--output", f"{tmp_path}/paris.html", "--base-map", "none")
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.split() == [f"{tmp_path}/paris.html"]
    assert [path.name for path in tmp_path.iterdir()] == ["paris.html"]
    page = (tmp_path / "paris.html").read_text()
    assert page.count('"ring":') == 28
    assert "SANDBOX" in page
    assert '"sandbox":true' in page


def test_a_report_is_a_folder_whose_files_are_printed(stack, paris, tmp_path):
    ran = stack.landpatch("report", "FR101", "--output", f"{tmp_path}/report")
    assert ran.returncode == 0, ran.stderr
    page, text = map(Path, ran.stdout.split())
    assert (page.name, text.name) == ("report.html", "report.md")
    assert "28 patches, 28 images, 28 labels" in text.read_text()
    with Image.open(io.BytesIO((tmp_path / "report" / "contact-sheet.jpg").read_bytes())) as sheet:
        assert sheet.format == "JPEG"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["preview"], "name a patch, or a point"),
        (["preview", "Paris"], "neither a patch"),
        (["preview", "--lon", "2.35"], "--lon and --lat"),
        (["preview", NOTRE_DAME, "--year", "2017"], "FR101/2017 has no index"),
        (["preview", NOTRE_DAME, "--output", "/nowhere/x.png"], "there is no folder /nowhere"),
        (["map", "PARIS-1"], "not a NUTS3 code"),
        (["map", "FR109"], "near are FR10"),
        (["map", "BE100"], "BE100/2021 has no index"),
        (["map", "FR101", "--base-map", "osm"], "a base map is an address"),
        (["report", "../x"], "not a NUTS3 code"),
        (["report", "FR101", "--output", __file__], "is a file; a report is a folder"),
    ],
)
def test_a_wrong_request_gets_one_line_and_exit_code_2(stack, paris, arguments, says):
    ran = stack.landpatch(*arguments)
    assert ran.returncode == 2, ran.stderr
    assert len(ran.stderr.splitlines()) == 1
    assert says in ran.stderr
    assert ran.stdout == ""


@pytest.mark.parametrize("command", [["preview", NOTRE_DAME], ["report", "FR101"]])
def test_where_the_drawing_library_is_missing_one_line_says_what_to_install(stack, paris, tmp_path, command):
    (tmp_path / "matplotlib.py").write_text("raise ModuleNotFoundError('gone', name='matplotlib')\n")
    ran = stack.landpatch(*command, "--output", str(tmp_path / "out"), PYTHONPATH=str(tmp_path))
    assert ran.returncode == 2, ran.stderr
    assert ran.stderr == "landpatch: pictures need matplotlib: pip install 'landpatch[maps]'\n"
    assert not (tmp_path / "out").exists()
