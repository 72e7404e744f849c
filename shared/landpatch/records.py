"""What the ledger's entries hold, and how they are written in few bytes: Europe has a million patches."""

import json
import zlib
from base64 import b85decode, b85encode
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal, Self, cast

import numpy as np

from landpatch.patch import PATCH_SIZE_M

State = Literal["complete", "partial", "missing", "failed"]
_STATES: dict[str, State] = {state[0]: state for state in ("complete", "partial", "missing", "failed")}
"""By their first letter: one byte a patch."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What has become of the image or the label of a patch."""

    state: State
    reason: str = ""

    def dump(self) -> str:
        """As it is kept."""
        return self.state[0] + self.reason

    @staticmethod
    def load(text: str) -> "Outcome":
        """From what `dump` gave."""
        return Outcome(_STATES[text[0]], text[1:])


class _AsJson:
    """An entry that is kept as JSON."""

    __slots__ = ()

    def dump(self) -> str:
        """As it is kept."""
        return json.dumps(asdict(cast("Any", self)))

    @classmethod
    def load(cls, text: str) -> Self:
        """From what `dump` gave."""
        return cls(**json.loads(text))


@dataclass(frozen=True, slots=True)
class Work(_AsJson):
    """What a task has done; kept once a task, however often it is delivered."""

    bytes_downloaded: int = 0
    requests: int = 0
    product: str = ""
    failure: str = ""


@dataclass(frozen=True, slots=True)
class DeadLetter(_AsJson):
    """A task that was given up."""

    reason: str
    attempts: int
    product: str = ""
    patches: int = 0
    """How many had to go on without it."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is."""

    state: str
    round: int
    products_total: int
    products_done: int
    images_total: int
    images_done: int
    labels_total: int
    labels_done: int
    message: str
    dead_letters: int

    FACTS: ClassVar = (
        "state", "round", "products", "patches", "labels", "images_done", "labels_done", "message",
    )  # fmt: skip
    """Fields of a run that say it."""

    @staticmethod
    def read(facts: Sequence[str | None], pending: int, images: int, labels: int, dead: int) -> "Progress":
        """From these fields, and from how many products are pending, how many images and labels are known,
        and how many tasks were given up."""
        run = {name: text for name, text in zip(Progress.FACTS, facts, strict=True) if text is not None}
        products = int(run.get("products", 0))
        return Progress(
            state=run.get("state", "absent"),
            round=int(run.get("round", 0)),
            products_total=products,
            products_done=max(products - pending, 0),
            images_total=int(run.get("patches", 0)),
            images_done=int(run.get("images_done", images)),
            labels_total=int(run.get("labels", 0)),
            labels_done=int(run.get("labels_done", labels)),
            message=run.get("message", ""),
            dead_letters=dead,
        )


def shorten(name: str) -> str:
    """A patch's name in half the room: corner in cells, numbers to base 36, `3757500_2887500_0_20` ->
    `15r.w3.0.k`. What is no such name stays as it is."""
    parts = name.split("_")
    if len(parts) != 4 or not all(part.isdecimal() for part in parts):
        return name
    xmin, ymin, part, cell = map(int, parts)
    if xmin % PATCH_SIZE_M or ymin % PATCH_SIZE_M:
        return name
    numbers = (xmin // PATCH_SIZE_M, ymin // PATCH_SIZE_M, part, cell)
    return ".".join(np.base_repr(number, 36).lower() for number in numbers)


def lengthen(short: str) -> str:
    """The name that `shorten` made short."""
    if "." not in short:
        return short
    col, row, part, cell = (int(number, 36) for number in short.split("."))
    return f"{col * PATCH_SIZE_M}_{row * PATCH_SIZE_M}_{part}_{cell}"


def pack(text: str) -> str:
    """A long text in few characters."""
    return b85encode(zlib.compress(text.encode())).decode()


def unpack(packed: str) -> str:
    """The text that `pack` made short."""
    return zlib.decompress(b85decode(packed)).decode()
