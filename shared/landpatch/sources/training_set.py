"""The public training set: which regions and years it has, read over HTTPS.

It is a bucket that anybody may read and nobody may list without credentials, so what it was announced to
hold is asked for, index by index.
"""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq
import requests

from landpatch.errors import AbsentError, LandpatchError, PermanentError
from landpatch.sources.http import fetch, make_session

_ALWAYS = (
    "AT332 BE100 BE251 BG322 DEA54 EE00A EL521 ES612 FI1C1 FRJ27 FRK26 HR050 ITI32 LT028 LU000 LV008 MT001"
    " NL33C PL414 PT16I RO123 SE311 SI035 SK022 UKJ22 UKRAINE"
)
ANNOUNCED: Mapping[int, str] = {
    2018: f"{_ALWAYS} DK041 IE061",
    2021: f"{_ALWAYS} CY000 CZ072 IE061",
    2024: f"{_ALWAYS} CY000 CZ072 DK041",
}
"""Its regions, by year. One, UKRAINE, is no NUTS3 region. Labels are of 2018 and 2021."""
CONNECT_S = 4.0
ANSWER_S = 10.0
READERS = 8
MAX_BYTES = 20_000_000
_WHAT = "the public training set (LANDPATCH_TRAINING_SET_URL)"


@dataclass(frozen=True, slots=True)
class Published:
    """A region and year of the public training set."""

    region: str
    year: int
    patches: int | None
    """Rows of its index; None where it could not be asked."""
    index: str
    """URL of `filename2bbox.parquet`."""


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """What the public training set holds."""

    url: str
    fault: str
    """Why it could not be asked, or some of it; empty when all of it was."""
    regions: tuple[Published, ...]
    """Sorted; without those that are announced and not there."""


def survey_training_set(url: str, session: requests.Session | None = None) -> TrainingSet:
    """Ask for every index that is announced.

    Where the first cannot be had for want of an answer, no other is asked for: then what is announced is
    told, without patches, and the fault says why. session: used by several threads.
    """
    session = session or make_session(retries=0, request_s=ANSWER_S)
    announced = [
        Published(region, year, None, f"{url}/images/{region}/{year}/filename2bbox.parquet")
        for year, names in ANNOUNCED.items()
        for region in names.split()
    ]
    first = _ask(announced[0], session)
    if isinstance(first, LandpatchError):
        return TrainingSet(url, str(first), tuple(sorted(announced, key=_order)))
    with ThreadPoolExecutor(READERS) as pool:
        answers = [first, *pool.map(lambda each: _ask(each, session), announced[1:])]
    found = [
        asked if isinstance(answer, LandpatchError) else answer
        for asked, answer in zip(announced, answers, strict=True)
        if answer is not None
    ]
    faults = [str(answer) for answer in answers if isinstance(answer, LandpatchError)]
    said = f"{len(faults)} of its regions could not be asked: {faults[0]}" if faults else ""
    return TrainingSet(url, said, tuple(sorted(found, key=_order)))


def _order(published: Published) -> tuple[str, int]:
    return published.region, published.year


def _ask(asked: Published, session: requests.Session) -> Published | LandpatchError | None:
    """A region with its patches; None when there is none, the fault when that cannot be known."""
    try:
        data = fetch(session, asked.index, None, _WHAT, MAX_BYTES, (CONNECT_S, ANSWER_S))
        return Published(asked.region, asked.year, count_rows(data), asked.index)
    except AbsentError:
        return None
    except LandpatchError as error:
        return error


def count_rows(data: bytes) -> int:
    """Patches in a `filename2bbox.parquet`; raises PermanentError when it is none."""
    try:
        file = pq.ParquetFile(pa.BufferReader(data))
        names, rows = set(file.schema_arrow.names), int(file.metadata.num_rows)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise PermanentError(f"{_WHAT} sent an index that cannot be read") from error
    if not {"filename", "bbox"} <= names or not 0 <= rows < 10_000_000:
        raise PermanentError(f"{_WHAT} sent an index of something else than patches")
    return rows
