"""The geocoder is told who asks, asked once a second at most, and never twice for the same place."""

import json
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise

import pytest

from landpatch import __version__
from landpatch.errors import ConfigurationError, PermanentError, RequestError, TransientError
from landpatch.sources.http import make_session
from landpatch.sources.nominatim import KEPT_S, Clock, Place, find_place
from tests.http_server import Server, serving

WEICKER = {
    "place_id": 1,
    "licence": "Data © OpenStreetMap contributors, ODbL 1.0.",
    "lat": "49.6335945",
    "lon": "6.1695145",
    "display_name": "5, Rue Alphonse Weicker, Luxembourg",
}


class Time:
    """A clock that nobody waits for; `slept` is what others would have waited."""

    def __init__(self) -> None:
        self.now, self.slept = time.time(), []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    @property
    def clock(self) -> Clock:
        return Clock(lambda: self.now, self.sleep)


@contextmanager
def geocoder(*found: object, status: int = 200) -> Iterator[Server]:
    body = json.dumps(found).encode()
    with serving(lambda request: request.send(status, body), "/search") as server:
        yield server


def find(server: Server, folder, query="5, rue Alphonse Weicker Luxembourg", clock=None) -> Place:
    return find_place(server.url, query, make_session(retries=0), folder, clock or Time().clock)


def test_a_place_is_found_where_the_geocoder_says(tmp_path):
    with geocoder(WEICKER) as server:
        found = find(server, tmp_path)
    assert found == Place(WEICKER["display_name"], 6.1695145, 49.6335945, WEICKER["licence"])
    (request,) = server.asked
    assert request.headers["User-Agent"] == f"landpatch/{__version__}"
    assert request.path == "/search?q=5%2C+rue+Alphonse+Weicker+Luxembourg&format=json&limit=1"


def test_the_same_place_is_asked_for_once_however_it_is_written(tmp_path):
    with geocoder(WEICKER) as server:
        first = find(server, tmp_path)
        assert find(server, tmp_path, "  5, RUE  Alphonse Weicker\tLuxembourg ") == first
    assert len(server.asked) == 1


def test_an_answer_is_asked_for_again_after_a_month_and_of_another_geocoder_at_once(tmp_path):
    with geocoder(WEICKER) as server, geocoder(WEICKER | {"lat": "50"}) as other:
        find(server, tmp_path)
        assert find(other, tmp_path).lat == 50
        for kept in tmp_path.glob("place-*"):
            os.utime(kept, (time.time() - KEPT_S - 1,) * 2)
        find(server, tmp_path)
        find(server, tmp_path)
    assert (len(server.asked), len(other.asked)) == (2, 1)


def test_a_second_passes_between_two_requests_also_after_one_that_failed(tmp_path):
    watch = Time()
    with geocoder(WEICKER) as server, geocoder(status=503) as broken:
        find(server, tmp_path, "a", watch.clock)
        watch.now += 0.25
        with pytest.raises(TransientError, match=r"LANDPATCH_NOMINATIM_URL.*503"):
            find(broken, tmp_path, "b", watch.clock)
        find(server, tmp_path, "c", watch.clock)
        watch.now += 5
        find(server, tmp_path, "d", watch.clock)
    assert watch.slept == [0, pytest.approx(0.75), pytest.approx(1), 0]
    assert len(broken.asked) == 1, "what fails is not asked again by itself"


def test_many_at_once_ask_one_after_the_other_a_second_apart(tmp_path):
    begun = []

    def answer(request):
        begun.append(time.monotonic())
        request.send(200, json.dumps([WEICKER]).encode())

    with serving(answer, "/search") as server, ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda query: find(server, tmp_path, query, Clock()), "abc"))
    assert all(second - first >= 1 for first, second in pairwise(begun))


def test_a_clock_that_was_set_back_makes_nobody_wait_for_long(tmp_path):
    watch = Time()
    with geocoder(WEICKER) as server:
        find(server, tmp_path, "a", watch.clock)
        watch.now -= 3600
        find(server, tmp_path, "b", watch.clock)
    assert max(watch.slept) <= 1


def test_a_place_that_nobody_knows_is_a_wrong_request_and_not_kept(tmp_path):
    with geocoder() as server:
        for _ in range(2):
            with pytest.raises(RequestError, match="knows no place 'Atlantis'"):
                find(server, tmp_path, "Atlantis")
    assert len(server.asked) == 2


@pytest.mark.parametrize("query", ["", " \t ", "x" * 301, "Paris\x1b[2J"])
def test_what_is_no_name_is_not_asked_for(tmp_path, query):
    with geocoder(WEICKER) as server, pytest.raises(RequestError, match="a name or an address"):
        find(server, tmp_path, query)
    assert server.asked == []


@pytest.mark.parametrize(
    "entry",
    [
        {"lat": "91", "lon": "0", "display_name": "x"},
        {"lat": "nan", "lon": "0", "display_name": "x"},
        {"lat": "0", "lon": "-181", "display_name": "x"},
        {"lat": "0", "display_name": "x"},
        {"lat": "0", "lon": "0", "display_name": "x" * 2001},
        "x",
    ],
)
def test_an_answer_that_is_none_is_refused_and_not_kept(tmp_path, entry):
    with geocoder(entry) as server, pytest.raises(PermanentError, match="did not send a list of places"):
        find(server, tmp_path)
    assert list(tmp_path.glob("place-*")) == []


def test_a_name_moves_no_cursor(tmp_path):
    with geocoder(WEICKER | {"display_name": "Paris\x1b]0;x\x07", "licence": "\n©"}) as server:
        found = find(server, tmp_path)
    assert (found.name, found.licence) == ("Paris ]0;x ", " ©")


def test_an_answer_that_was_kept_broken_says_where(tmp_path):
    with geocoder(WEICKER) as server:
        find(server, tmp_path)
        (kept,) = tmp_path.glob("place-*")
        kept.write_bytes(b"[{")
        assert find(server, tmp_path).lat == 49.6335945
    assert len(server.asked) == 2


def test_a_folder_that_cannot_be_used_is_a_wrong_setting(tmp_path):
    (tmp_path / "file").write_text("")
    with geocoder(WEICKER) as server, pytest.raises(ConfigurationError, match="LANDPATCH_CACHE_DIR"):
        find(server, tmp_path / "file" / "folder")
