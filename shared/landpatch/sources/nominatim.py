"""Places by name: a Nominatim geocoder, asked as its usage policy wants.

It is told who asks, by one process of this machine at a time and once a second at most, and what it has
answered is kept on disk: the same place is asked for once in a month.

Source: OpenStreetMap Foundation, "Nominatim Usage Policy".
"""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Annotated

import requests
from pydantic import BaseModel, Field, StringConstraints, TypeAdapter, ValidationError

from landpatch.errors import AbsentError, ConfigurationError, PermanentError, RequestError
from landpatch.sources.http import fetch

PAUSE_S = 1.0
"""From the end of a request to the next."""
KEPT_S = 30 * 86_400
"""How long an answer is good for."""
MAX_BYTES = 200_000
LONGEST_QUERY = 300
_WHAT = "the geocoder (LANDPATCH_NOMINATIM_URL)"
Text = Annotated[str, StringConstraints(max_length=2000)]


class _Found(BaseModel):
    """What of an entry of the answer is used."""

    lat: float = Field(ge=-90, le=90, allow_inf_nan=False)
    lon: float = Field(ge=-180, le=180, allow_inf_nan=False)
    display_name: Text
    licence: Text = ""


_FOUND = TypeAdapter(list[_Found])


@dataclass(frozen=True, slots=True)
class Place:
    """A place that the geocoder knows."""

    name: str
    """As the geocoder calls it."""
    lon: float
    """Degrees, EPSG:4326."""
    lat: float
    """Degrees, EPSG:4326."""
    licence: str
    """Whom to give credit, as the geocoder says."""


@dataclass(frozen=True, slots=True)
class Clock:
    """The time of day, and how to let it pass."""

    now_s: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep


def find_place(
    url: str, query: str, session: requests.Session, folder: Path, clock: Clock | None = None
) -> Place:
    """The place that the geocoder finds first for an address or a name.

    session: makes no request twice by itself. folder: where answers are kept, made when it is not there.
    Raises RequestError when no such place is known, ConfigurationError when the folder cannot be written,
    TransientError or PermanentError when the geocoder does not answer as it should.
    """
    words = " ".join(query.split())
    if not words or len(words) > LONGEST_QUERY or not words.isprintable():
        raise RequestError(f"a place is a name or an address of at most {LONGEST_QUERY} characters")
    clock = clock or Clock()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        kept = folder / f"place-{sha256(f'{url} {words.casefold()}'.encode()).hexdigest()[:24]}.json"
        if (place := _recall(kept, words, clock)) is not None:
            return place
        data = _ask(url, words, session, folder, clock)
        place = _read(data, words)
        _keep(kept, data)
    except OSError as error:
        raise ConfigurationError(f"LANDPATCH_CACHE_DIR={folder} cannot be used: {error.strerror}") from error
    return place


def _read(data: bytes, words: str) -> Place:
    try:
        found = _FOUND.validate_json(data)
    except ValidationError as error:
        raise PermanentError(f"{_WHAT} did not send a list of places") from error
    if not found:
        raise RequestError(f"{_WHAT} knows no place {words!r}; write it otherwise, or give --lon and --lat")
    first = found[0]
    return Place(_printable(first.display_name), first.lon, first.lat, _printable(first.licence))


def _printable(text: str) -> str:
    """Without what could move the cursor of a terminal."""
    return "".join(each if each.isprintable() else " " for each in text)


def _ask(url: str, words: str, session: requests.Session, folder: Path, clock: Clock) -> bytes:
    with _turn(folder / "nominatim.turn", clock):
        try:
            return fetch(session, url, {"q": words, "format": "json", "limit": "1"}, _WHAT, MAX_BYTES)
        except AbsentError as error:
            raise PermanentError(f"{_WHAT}: there is no geocoder") from error


@contextmanager
def _turn(path: Path, clock: Clock) -> Iterator[None]:
    """One request at a time of all processes of this user, the next a second after the last has ended."""
    with path.open("a") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        with suppress(ValueError):
            last_s = float(path.read_text() or "-inf")
            # A clock that was set back must not make anybody wait for long.
            clock.sleep(min(max(last_s + PAUSE_S - clock.now_s(), 0), PAUSE_S))
        try:
            yield
        finally:
            turn.truncate(0)
            turn.write(str(clock.now_s()))


def _recall(kept: Path, words: str, clock: Clock) -> Place | None:
    """What the geocoder has answered; None when it was not asked, or long ago."""
    try:
        if clock.now_s() - kept.stat().st_mtime < KEPT_S:
            return _read(kept.read_bytes(), words)
    except (FileNotFoundError, PermanentError):
        pass  # what is broken is asked for again
    return None


def _keep(kept: Path, data: bytes) -> None:
    new = kept.with_suffix(f".{os.getpid()}")
    new.write_bytes(data)
    new.replace(kept)
