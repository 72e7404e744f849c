"""Access tokens: asked for once, renewed before they end, told to nobody else."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import parse_qs

import pytest
from pydantic import SecretStr

from landpatch.errors import ConfigurationError, TransientError
from landpatch.settings import Settings
from landpatch.sources.http import make_session
from landpatch.sources.tokens import (
    MAX_ANSWER_BYTES,
    Grant,
    Tokens,
    authorized,
    open_client_tokens,
    open_password_tokens,
)
from tests.http_server import Request, serving

PASSWORD = "s3cr3t-of-the-user"
FORM = {
    "grant_type": "password",
    "client_id": "cdse-public",
    "username": SecretStr("me@example.org"),
    "password": SecretStr(PASSWORD),
}
WHAT = "the service (LANDPATCH_X_URL)"


class Giver:
    """A token service, and a service that asks for its tokens."""

    def __init__(self, **answer):
        self.answer = {"expires_in": 600, "token_type": "Bearer"} | answer
        self.forms = []
        self.refused = set()
        """Kinds of grants that are refused."""

    def __call__(self, request: Request) -> None:
        if request.command == "GET":
            known = request.headers["Authorization"] == f"Bearer token-{len(self.forms)}"
            request.send(200 if known else 401, b"here you are")
            return
        form = parse_qs(request.rfile.read(int(request.headers["Content-Length"])).decode())
        self.forms.append({name: value for name, (value,) in form.items()})
        if self.forms[-1]["grant_type"] in self.refused:
            request.send(401, b'{"error": "invalid_grant", "error_description": "Invalid user credentials"}')
            return
        answer = {"access_token": f"token-{len(self.forms)}"} | self.answer
        request.send(200, json.dumps(answer).encode())


def open_tokens(url):
    return Tokens(make_session(0), url, Grant(FORM, "USER and PASSWORD"))


def test_a_token_is_asked_for_once_by_however_many_threads():
    giver = Giver()
    with serving(giver) as server:
        tokens = open_tokens(server.url)
        with ThreadPoolExecutor(8) as pool:
            assert set(pool.map(lambda _: tokens.get(), range(100))) == {"token-1"}
    assert giver.forms == [
        {
            "grant_type": "password",
            "client_id": "cdse-public",
            "username": "me@example.org",
            "password": PASSWORD,
        }
    ]


def test_a_token_is_renewed_before_it_ends_without_the_password():
    giver = Giver(expires_in=1, refresh_token="again", refresh_expires_in=3600)
    with serving(giver) as server:
        tokens = open_tokens(server.url)
        assert tokens.get() == "token-1"
        time.sleep(0.8)
        assert tokens.get() == "token-2"
    assert giver.forms[1] == {
        "grant_type": "refresh_token", "client_id": "cdse-public", "refresh_token": "again"
    }  # fmt: skip


@pytest.mark.parametrize(
    "answer", [{}, {"refresh_token": "again", "refresh_expires_in": 3600}, {"refresh_token": "again"}]
)
def test_a_token_that_cannot_be_renewed_is_asked_for_anew(answer):
    giver = Giver(**answer)
    giver.refused = {"refresh_token"}
    with serving(giver) as server:
        tokens = open_tokens(server.url)
        tokens.drop(tokens.get())
        assert tokens.get() == f"token-{len(giver.forms)}"
    assert giver.forms[-1]["grant_type"] == "password"


def test_only_the_token_that_was_refused_is_dropped():
    with serving(Giver()) as server:
        tokens = open_tokens(server.url)
        tokens.get()
        tokens.drop("another")
        assert tokens.get() == "token-1"


def test_refused_credentials_are_named_by_their_settings_and_not_told():
    giver = Giver()
    giver.refused = {"password"}
    with serving(giver) as server, pytest.raises(ConfigurationError, match="USER and PASSWORD") as refused:
        open_tokens(server.url).get()
    assert PASSWORD not in str(refused.value)
    assert len(giver.forms) == 1


@pytest.mark.parametrize(
    "body",
    [
        b"<html></html>",
        b"[]",
        b"{}",
        b'{"access_token": ""}',
        b'{"access_token": "two\\nlines"}',
        b'{"access_token": "hidden", "expires_in": -1}',
        b'{"access_token": "hidden", "expires_in": "soon"}',
        b"[" * 100_000,
    ],
)
def test_an_answer_without_a_token_may_be_another_later_and_is_not_told(body):
    with serving(lambda request: request.send(200, body)) as server, pytest.raises(TransientError) as wrong:
        open_tokens(server.url).get()
    assert "did not send a token" in str(wrong.value)
    assert "hidden" not in str(wrong.value)


@pytest.mark.parametrize(
    ("status", "body", "headers"),
    [
        (404, b"", {}),
        (307, b"", {"Location": "http://127.0.0.1:1/"}),
        (302, b"", {"Location": "http://127.0.0.1:1/"}),
        (200, b" " * (MAX_ANSWER_BYTES + 1), {}),
    ],
)
def test_an_address_that_is_no_token_service_is_a_wrong_setting_and_nobody_else_is_told(
    status, body, headers
):
    with (
        serving(lambda request: request.send(status, body, **headers)) as server,
        pytest.raises(ConfigurationError, match="LANDPATCH_CDSE_TOKEN_URL"),
    ):
        open_tokens(server.url).get()
    assert len(server.asked) == 1


def ask(tokens, url):
    with authorized(make_session(0), tokens, "GET", url, WHAT) as answer:
        return answer.raw.read()


def test_a_token_that_has_become_invalid_is_renewed_once():
    giver = Giver()
    with serving(giver) as server:
        tokens = open_tokens(server.url)
        tokens.get()
        giver.forms.append({})  # somebody has ended the session: another token counts
        assert ask(tokens, server.url) == b"here you are"
    assert [request.command for request in server.asked] == ["POST", "GET", "POST", "GET"]


@pytest.mark.parametrize(("status", "times"), [(401, 2), (403, 1)])
def test_a_service_that_takes_no_token_is_a_matter_of_the_settings(status, times):
    with (
        serving(Giver()) as giver,
        serving(lambda request: request.send(status)) as server,
        pytest.raises(ConfigurationError, match=rf"LANDPATCH_X_URL.*\({status}\)"),
    ):
        ask(open_tokens(giver.url), server.url)
    assert len(server.asked) == times


def test_no_file_of_the_users_replaces_the_token(monkeypatch, tmp_path):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with serving(Giver()) as server:
        assert ask(open_tokens(server.url), server.url) == b"here you are"


@pytest.mark.parametrize("given", [{}, {"LANDPATCH_CDSE_USER": "me"}, {"LANDPATCH_CDSE_PASSWORD": PASSWORD}])
def test_without_user_and_password_there_are_no_tokens(monkeypatch, given):
    for name in ("LANDPATCH_CDSE_USER", "LANDPATCH_CDSE_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ConfigurationError, match="LANDPATCH_CDSE_USER and LANDPATCH_CDSE_PASSWORD"):
        open_password_tokens(Settings(_env_file=None, **given), make_session(0))


def test_a_client_gets_a_new_token_by_its_secret_each_time():
    giver = Giver(expires_in=1)
    with serving(giver) as server:
        given = {"LANDPATCH_SENTINELHUB_CLIENT_ID": "sh-me", "LANDPATCH_SENTINELHUB_CLIENT_SECRET": PASSWORD}
        settings = Settings(_env_file=None, LANDPATCH_CDSE_TOKEN_URL=server.url, **given)
        tokens = open_client_tokens(settings, make_session(0))
        first = tokens.get()
        tokens.drop(first)
        assert tokens.get() != first
    form = {"grant_type": "client_credentials", "client_id": "sh-me", "client_secret": PASSWORD}
    assert giver.forms == [form, form]


@pytest.mark.parametrize("given", [{}, {"LANDPATCH_SENTINELHUB_CLIENT_ID": "sh-me"}])
def test_a_client_without_its_secret_is_a_matter_of_the_settings(given):
    with pytest.raises(ConfigurationError, match="set LANDPATCH_SENTINELHUB_CLIENT_ID and"):
        open_client_tokens(Settings(_env_file=None, **given), make_session(0))


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (
            b'{"error": {"code": "ACCESS_INSUFFICIENT_PROCESSING_UNITS"}}',
            "ACCESS_INSUFFICIENT_PROCESSING_UNITS",
        ),
        (b'{"error": {"code": "secret <b>"}}', r"account \(403\)$"),
        (b"", r"account \(403\)$"),
    ],
)
def test_what_an_account_may_not_do_is_said_by_the_services_own_code(body, says):
    def answer(request):
        if request.command == "POST":
            return request.send(200, b'{"access_token": "t"}')
        return request.send(403, body)

    with (
        serving(answer) as server,
        pytest.raises(ConfigurationError, match=says),
        authorized(make_session(0), open_tokens(server.url), "GET", server.url, WHAT),
    ):
        pass
