"""The live page does not start where anybody could look at it, and lets in only who knows the token."""

import re

import pytest
from pydantic import SecretStr
from starlette.requests import HTTPConnection

from landpatch.errors import ConfigurationError
from landpatch.watch.access import check_access
from landpatch.watch.gate import COOKIE, Pass

TOKEN = "a-token-of-sixteen-or-more"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_on_this_machine_it_may_be_open(host):
    check_access(host, None)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.168.1.7", "page.example.org", "::ffff:10.0.0.1"])
def test_elsewhere_it_needs_a_token(host):
    with pytest.raises(ConfigurationError, match="open to anybody"):
        check_access(host, None)
    check_access(host, SecretStr(TOKEN))


@pytest.mark.parametrize("token", ["", "short", "with a space in it somewhere", "ü" * 20, "x" * 20 + "\n"])
@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_a_token_that_is_none_is_refused_and_not_repeated(host, token):
    with pytest.raises(ConfigurationError, match="LANDPATCH_SERVE_TOKEN is") as refused:
        check_access(host, SecretStr(token))
    assert not token or token not in str(refused.value)


def request(**headers: str) -> HTTPConnection:
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    return HTTPConnection({"type": "http", "headers": raw})


def test_who_has_the_cookie_or_the_token_is_let_in():
    guard = Pass(SecretStr(TOKEN))
    assert guard.admits(request(cookie=f"other=1; {COOKIE}={guard.cookie}"))
    assert guard.admits(request(authorization=f"Bearer {TOKEN}"))
    assert guard.admits(request(authorization=f"bearer  {TOKEN} "))


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"cookie": f"{COOKIE}={TOKEN}"},
        {"cookie": f"{COOKIE}="},
        {"cookie": f"{COOKIE}=\xff\xfe"},
        {"cookie": "=;;=\x01"},
        {"authorization": "Bearer "},
        {"authorization": TOKEN},
        {"authorization": f"Basic {TOKEN}"},
        {"authorization": f"Bearer {TOKEN}x"},
        {"authorization": "Bearer \xe9"},
    ],
)
def test_who_has_neither_is_not(headers):
    assert not Pass(SecretStr(TOKEN)).admits(request(**headers))


def test_the_cookie_tells_nothing_of_the_token_and_another_token_has_another():
    guard = Pass(SecretStr(TOKEN))
    assert re.fullmatch("[0-9a-f]{64}", guard.cookie)
    assert guard.cookie != Pass(SecretStr(f"{TOKEN}x")).cookie
    assert not guard.is_token(guard.cookie)
