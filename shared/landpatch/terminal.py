"""Pictures in a terminal, as escape sequences that it draws.

Sources: kitty, "Terminal graphics protocol"; iTerm2, "Inline Images Protocol"; DEC, "VT330/VT340 Programmer
Reference Manual, Volume 2", chapter 14, "Sixel Graphics".
"""

import base64
from collections.abc import Iterator, Mapping
from itertools import groupby

import cv2
import numpy as np
from numpy.typing import NDArray

_KITTY_CHUNK = 4096
_KITTY_PROGRAMS = {"ghostty", "WezTerm"}
_ITERM_PROGRAMS = {"iTerm.app", "mintty", "rio", "vscode"}
_SIXEL_TERMS = ("foot", "mlterm", "contour", "yaft")
_LEVELS = (6, 7, 6)
"""Of red, green and blue that a sixel picture has: 252 colours."""
_SIXEL_WIDTH_PX = 900


def choose_protocol(environment: Mapping[str, str]) -> str | None:
    """`kitty`, `iterm` or `sixel`, by what a terminal says of itself; None where it says nothing.

    environment: of the process. Nothing inside of tmux or screen, which do not pass pictures on by
    themselves.
    """
    term, program = environment.get("TERM", ""), environment.get("TERM_PROGRAM", "")
    if environment.get("TMUX") or term.startswith(("screen", "tmux")):
        return None
    if "KITTY_WINDOW_ID" in environment or "kitty" in term or program in _KITTY_PROGRAMS:
        return "kitty"
    if program in _ITERM_PROGRAMS or environment.get("LC_TERMINAL") == "iTerm2":
        return "iterm"
    if "sixel" in term or term.startswith(_SIXEL_TERMS) or "KONSOLE_VERSION" in environment:
        return "sixel"
    return None


def encode_picture(png: bytes, protocol: str) -> str:
    """A PNG as what a terminal of a protocol of `choose_protocol` draws."""
    encode = {"kitty": _encode_kitty, "iterm": _encode_iterm, "sixel": _encode_sixel}[protocol]
    return encode(png)


def _encode_kitty(png: bytes) -> str:
    text = base64.b64encode(png).decode()
    chunks = [text[at : at + _KITTY_CHUNK] for at in range(0, len(text), _KITTY_CHUNK)]
    drawn = []
    for number, chunk in enumerate(chunks, 1):
        # Transmit and show a PNG; no answer, which nobody would read.
        keys = "a=T,f=100,q=2," if number == 1 else ""
        drawn.append(f"\x1b_G{keys}m={int(number < len(chunks))};{chunk}\x1b\\")
    return "".join(drawn) + "\n"


def _encode_iterm(png: bytes) -> str:
    text = base64.b64encode(png).decode()
    return f"\x1b]1337;File=inline=1;size={len(png)};preserveAspectRatio=1:{text}\x07\n"


def _encode_sixel(png: bytes) -> str:
    bgr = np.asarray(cv2.imdecode(np.frombuffer(png, "uint8"), cv2.IMREAD_COLOR))
    scale = min(1, _SIXEL_WIDTH_PX / bgr.shape[1])
    small = np.asarray(cv2.resize(bgr, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), dtype="uint8")
    height, width = small.shape[:2]
    colours, palette = _reduce(small[..., ::-1])
    bands = (_encode_band(colours[top : top + 6]) for top in range(0, height, 6))
    registers = "".join(f"#{number};2;{r};{g};{b}" for number, (r, g, b) in enumerate(palette))
    return f'\x1bPq"1;1;{width};{height}{registers}{"-".join(bands)}\x1b\\\n'


def _reduce(rgb: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], list[tuple[int, int, int]]]:
    """Colour numbers (y, x), and the colours in percent."""
    levels = np.array(_LEVELS)
    steps = np.rint(rgb / 255 * (levels - 1)).astype("int64")
    numbers = (steps[..., 0] * levels[1] + steps[..., 1]) * levels[2] + steps[..., 2]
    palette = [
        (round(100 * r / (levels[0] - 1)), round(100 * g / (levels[1] - 1)), round(100 * b / (levels[2] - 1)))
        for r in range(levels[0])
        for g in range(levels[1])
        for b in range(levels[2])
    ]
    return numbers.astype("uint8"), palette


def _encode_band(rows: NDArray[np.uint8]) -> str:
    """Six rows of pixels, or fewer: one line of sixels a colour, on top of each other."""
    weights = 1 << np.arange(len(rows))
    lines = []
    for colour in np.unique(rows):
        sixels = ((rows == colour) * weights[:, None]).sum(axis=0) + 63
        lines.append(f"#{colour}{''.join(_shorten(sixels.tolist()))}")
    return "$".join(lines)


def _shorten(sixels: list[int]) -> Iterator[str]:
    for sixel, run in groupby(sixels):
        count = len(list(run))
        yield f"!{count}{chr(sixel)}" if count > 3 else chr(sixel) * count
