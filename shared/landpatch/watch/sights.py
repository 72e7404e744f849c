"""What is seen at a look: frozen, so that it can be told to many at once."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from landpatch.patch import Cover
from landpatch.records import Progress


@dataclass(frozen=True, slots=True)
class Row:
    """What is told of every region."""

    key: str
    """Region and year, such as `FR101/2021`."""
    at: Progress
    images_per_s: float = 0.0
    """In the last minutes."""
    eta_s: float | None = None
    """None when nothing moves, or nothing is left."""


@dataclass(frozen=True, slots=True)
class Reason:
    """Why some patches are not there, or have no label."""

    what: str
    """image or label."""
    state: str
    reason: str
    count: int
    patches: tuple[str, ...]
    """The first of them."""


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter, for a person."""

    what: str
    """Product or task."""
    reason: str
    attempts: int
    patches: int


@dataclass(frozen=True, slots=True)
class View:
    """What is told of a region that somebody looks at."""

    key: str
    run: str
    cover: Cover
    images: bytes = b""
    """A digit a patch, see `states`."""
    labels: bytes = b""
    """The same of the labels; empty when none are wanted."""
    reasons: tuple[Reason, ...] = ()
    letters: tuple[Letter, ...] = ()
    fault: str = ""
    """Why nothing can be told of its patches."""


@dataclass(frozen=True, slots=True)
class Account:
    """What is left of the quota of the image source's account."""

    connections: int
    connections_limit: int
    requests: int
    """In this minute."""
    requests_limit: int
    volume: int
    """In these 30 days: bytes, or thousandths of processing units."""
    volume_limit: int
    held_s: float
    """Seconds for which the account waits because the service asked it to."""
    volume_per_s: float
    """Asked for in the last minutes."""
    processing: bool = False
    """Whether processing units are counted, in a minute too."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """How everything is at a moment."""

    number: int = 0
    """Rises with each look."""
    fault: str = ""
    """Why nothing new could be seen; what is older stands."""
    rows: tuple[Row, ...] = ()
    views: Mapping[str, View] = field(default_factory=dict)
    waiting: Mapping[str, int] = field(default_factory=dict)
    """Messages that no worker has taken yet, by queue."""
    account: Account | None = None
    """None where no account is named."""
    refused: int = 0
    """Messages that could not be read."""
