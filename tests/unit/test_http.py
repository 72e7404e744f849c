"""Asking an HTTP service: whole bodies only, errors in our terms, nothing secret in their text."""

import gzip
import socket
import struct
import time
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from landpatch import __version__
from landpatch.errors import PermanentError, TransientError
from landpatch.sources.http import fetch, make_session
from tests.http_server import Request, quick_session, serving

WHAT = "the service (LANDPATCH_X_URL)"
SECRET = "0123456789abcdef"


@pytest.fixture
def session() -> requests.Session:
    return quick_session()


def test_a_body_arrives_as_it_was_sent_and_the_query_is_sent(session):
    body = bytes(range(256)) * 100
    with serving(lambda handler: handler.send(body=body, Content_Length=str(len(body)))) as server:
        assert fetch(session, server.url, {"$top": "1", "a b": "c&d"}, WHAT, len(body)) == body
    assert parse_qs(urlsplit(server.asked[0].path).query) == {"$top": ["1"], "a b": ["c&d"]}


def test_the_service_is_told_who_asks(session):
    with serving(lambda handler: handler.send(body=b"x")) as server:
        fetch(session, server.url, None, WHAT, 10)
    assert server.asked[0].headers["User-Agent"] == f"landpatch/{__version__}"


def test_a_compressed_body_is_unpacked_and_its_length_is_not_taken_for_that_of_the_content(session):
    packed = gzip.compress(b"a" * 5000)
    with serving(
        lambda handler: handler.send(body=packed, Content_Encoding="gzip", Content_Length=str(len(packed)))
    ) as server:
        assert fetch(session, server.url, None, WHAT, 5000) == b"a" * 5000


def test_a_body_that_is_unpacked_to_more_than_allowed_is_refused(session):
    bomb = gzip.compress(b"\0" * 50_000_000)
    with (
        serving(lambda handler: handler.send(body=bomb, Content_Encoding="gzip")) as server,
        pytest.raises(PermanentError, match="more than 1000 bytes"),
    ):
        fetch(session, server.url, None, WHAT, 1000)


@pytest.mark.parametrize("announced", [True, False])
def test_more_bytes_than_allowed_are_refused(session, announced):
    headers = {"Content_Length": "1001"} if announced else {}
    with (
        serving(lambda handler: handler.send(body=b"x" * 1001, **headers)) as server,
        pytest.raises(PermanentError, match="more than 1000 bytes"),
    ):
        fetch(session, server.url, None, WHAT, 1000)


def test_as_many_bytes_as_allowed_are_taken(session):
    with serving(lambda handler: handler.send(body=b"x" * 1000, Content_Length="1000")) as server:
        assert len(fetch(session, server.url, None, WHAT, 1000)) == 1000


def _cut_short(handler: Request) -> None:
    handler.send(body=b"x" * 10, Content_Length="100")


def _cut_short_before_the_first_byte(handler: Request) -> None:
    handler.send(Content_Length="100")


def _cut_short_in_a_chunk(handler: Request) -> None:
    handler.send(body=b"64\r\nxxxxx", Transfer_Encoding="chunked")


def _cut_short_while_compressed(handler: Request) -> None:
    packed = gzip.compress(bytes(range(256)) * 40)
    handler.send(body=packed[:50], Content_Encoding="gzip", Content_Length=str(len(packed)))


def _reset(handler: Request) -> None:
    handler.send(body=b"x" * 10, Content_Length="100")
    handler.wfile.flush()
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()


@pytest.mark.parametrize(
    "answer",
    [
        _cut_short,
        _cut_short_before_the_first_byte,
        _cut_short_in_a_chunk,
        _cut_short_while_compressed,
        _reset,
    ],
)
def test_a_body_that_breaks_off_may_be_asked_for_again_later(session, answer):
    with serving(answer) as server, pytest.raises(TransientError, match=r"LANDPATCH_X_URL") as broken:
        fetch(session, server.url, {"token": SECRET}, WHAT, 1000)
    assert SECRET not in str(broken.value)


def test_a_body_that_is_not_compressed_as_it_says_is_an_error_of_ours(session):
    with (
        serving(lambda handler: handler.send(body=b"plain text", Content_Encoding="gzip")) as server,
        pytest.raises((TransientError, PermanentError), match="LANDPATCH_X_URL"),
    ):
        fetch(session, server.url, None, WHAT, 1000)


def test_a_service_that_refuses_connections_may_be_asked_again_later_and_the_query_is_not_told(session):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/path"
    with pytest.raises(TransientError, match="cannot be reached") as refused:
        fetch(session, url, {"token": SECRET}, WHAT, 1000)
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
def test_an_answer_that_will_not_change_is_permanent_and_asked_for_once(session, status):
    with (
        serving(lambda handler: handler.send(status, b"no such thing")) as server,
        pytest.raises(
            PermanentError, match=rf"LANDPATCH_X_URL\) answered {status}.*no such thing"
        ) as refused,
    ):
        fetch(session, server.url, {"token": SECRET}, WHAT, 1000)
    assert len(server.asked) == 1
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize("status", [408, 429, 498, 500, 502, 503, 504])
def test_a_service_in_trouble_is_asked_five_times_and_may_be_asked_again_later(session, status):
    with (
        serving(lambda handler: handler.send(status, b"busy")) as server,
        pytest.raises(TransientError, match=f"answered {status}") as refused,
    ):
        fetch(session, server.url, {"token": SECRET}, WHAT, 1000)
    assert len(server.asked) == 5
    assert SECRET not in str(refused.value)


def test_a_service_that_recovers_gives_its_answer(session):
    def answer(handler: Request) -> None:
        recovered = len(handler.server.asked) == 3
        handler.send(200 if recovered else 503, b"well" if recovered else b"busy")

    with serving(answer) as server:
        assert fetch(session, server.url, None, WHAT, 1000) == b"well"


def test_a_service_that_names_a_pause_is_given_it():
    arrivals: list[float] = []

    def answer(handler: Request) -> None:
        arrivals.append(time.monotonic())
        handler.send(429 if len(arrivals) == 1 else 200, b"well", Retry_After="1")

    with serving(answer) as server:
        assert fetch(make_session(), server.url, None, WHAT, 1000) == b"well"
    assert arrivals[1] - arrivals[0] >= 1
