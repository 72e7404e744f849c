"""Pictures in terminals: what is sent is decoded as the protocols say."""

import base64
import re

import cv2
import numpy as np
import pytest

from landpatch.picture import encode_png
from landpatch.terminal import choose_protocol, encode_picture


def make_png(height=14, width=9):
    rgba = np.full((height, width, 4), 255, dtype="uint8")
    rgba[:7, :, :3] = (255, 0, 0)
    rgba[7:, :5, :3] = (0, 0, 255)
    return rgba, encode_png(rgba)


@pytest.mark.parametrize(
    ("environment", "protocol"),
    [
        ({"TERM": "xterm-kitty"}, "kitty"),
        ({"TERM": "xterm-256color", "KITTY_WINDOW_ID": "1"}, "kitty"),
        ({"TERM": "xterm-ghostty", "TERM_PROGRAM": "ghostty"}, "kitty"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "iTerm.app"}, "iterm"),
        ({"TERM": "xterm-256color", "LC_TERMINAL": "iTerm2"}, "iterm"),
        ({"TERM": "foot"}, "sixel"),
        ({"TERM": "xterm-sixel"}, "sixel"),
        ({"TERM": "mlterm-256color"}, "sixel"),
        ({"TERM": "xterm-256color"}, None),
        ({"TERM": "screen-256color", "KITTY_WINDOW_ID": "1"}, None),
        ({"TERM": "xterm-kitty", "TMUX": "a socket,1,0"}, None),
        ({}, None),
    ],
)
def test_a_terminal_is_known_by_what_it_says_of_itself(environment, protocol):
    assert choose_protocol(environment) == protocol


def test_kitty_gets_the_png_in_chunks_of_which_the_last_says_so():
    png = np.random.default_rng(1).bytes(9000)
    sent = encode_picture(png, "kitty")
    chunks = re.findall(r"\x1b_G([^;]*);([^\x1b]*)\x1b\\", sent)
    assert "".join(f"\x1b_G{keys};{text}\x1b\\" for keys, text in chunks) + "\n" == sent
    assert chunks[0][0] == "a=T,f=100,q=2,m=1"
    assert [keys for keys, _ in chunks[1:]] == ["m=1", "m=0"]
    assert all(len(text) <= 4096 for _, text in chunks)
    assert base64.b64decode("".join(text for _, text in chunks)) == png


def test_iterm_gets_the_png_with_its_size():
    _, png = make_png()
    found = re.fullmatch(r"\x1b\]1337;File=([^:]*):([^\x07]*)\x07\n", encode_picture(png, "iterm"))
    assert dict(pair.split("=") for pair in found[1].split(";")) == {
        "inline": "1", "size": str(len(png)), "preserveAspectRatio": "1",
    }  # fmt: skip
    assert base64.b64decode(found[2]) == png


def read_sixel(text):
    """A reader of its own: RGB (y, x, 3) in percent."""
    body = re.fullmatch(r'\x1bPq"1;1;(\d+);(\d+)(.*)\x1b\\\n', text, re.DOTALL)
    picture = np.full((int(body[2]), int(body[1]), 3), -1)
    palette = {
        int(number): [int(part) for part in rgb.split(";")]
        for number, rgb in re.findall(r"#(\d+);2;([\d;]+)", body[3])
    }
    for band, lines in enumerate(re.sub(r"#\d+;2;[\d;]+", "", body[3]).split("-")):
        for colour, sixels in re.findall(r"#(\d+)([^#]*)", lines):
            plain = re.sub(r"!(\d+)(.)", lambda run: run[2] * int(run[1]), sixels.rstrip("$"))
            for col, sixel in enumerate(plain):
                for bit in range(6):
                    if (ord(sixel) - 63) >> bit & 1:
                        picture[6 * band + bit, col] = palette[int(colour)]
    return picture


def test_a_sixel_terminal_draws_every_pixel_in_its_colour():
    rgba, png = make_png()
    drawn = read_sixel(encode_picture(png, "sixel"))
    assert drawn.tolist() == (rgba[..., :3] // 255 * 100).tolist()


def test_a_sixel_picture_is_close_to_the_colours_and_no_wider_than_a_terminal():
    rgba = cv2.resize(np.random.default_rng(1).integers(0, 256, (6, 20, 4), dtype="uint8"), (1800, 600))
    rgba[..., 3] = 255
    drawn = read_sixel(encode_picture(encode_png(rgba), "sixel"))
    assert drawn.shape == (300, 900, 3)
    wanted = cv2.resize(rgba[..., :3], (900, 300), interpolation=cv2.INTER_AREA)
    assert np.abs(drawn * 2.55 - wanted).max() <= 27
