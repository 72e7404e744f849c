"""Who may look at what `landpatch serve` shows, and what is said to those who may not."""

import re
from importlib import resources
from pathlib import Path

import pytest
import requests

from tests.contract.conftest import REDIS_PASSWORD
from tests.contract.watch.served import TOKEN
from tests.waiting import LONG_S

pytestmark = pytest.mark.stack


@pytest.mark.parametrize("path", ["/", "/app.js", "/legend", "/nothing", "/events?region=x", "/healthz"])
def test_every_answer_says_that_the_page_runs_its_own_code_only(page, path):
    headers = page.get(path).headers
    assert "default-src 'none'; script-src 'self'" in headers["Content-Security-Policy"]
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert "Cache-Control" in headers
    assert "Server" not in headers


def test_the_page_is_its_own_and_asks_nobody_else():
    static = Path(str(resources.files("landpatch.watch") / "static"))
    for path in static.iterdir():
        addresses = set(re.findall(r"https?://[^\s\"'`)]+", path.read_text()))
        assert addresses <= {"http://www.w3.org/2000/svg"}, path
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(", path.read_text()
        )
    assert not re.search(r"\son\w+=|style=|<script>", (static / "index.html").read_text())


@pytest.mark.parametrize(
    "host", ["evil.example.org", "evil.example.org:80", "127.0.0.1.evil.example.org", "", "10.0.0.1"]
)
def test_on_this_machine_only_its_own_names_are_answered(page, host):
    assert page.get("/events", headers={"Host": host}).status_code in {400, 421}


@pytest.mark.parametrize("host", ["127.0.0.1:1", "localhost", "[::1]:8484"])
def test_its_own_names_are(page, host):
    assert page.get("/", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "path", ["/events", "/legend", "/app.js", "/map/FR101", "/patch/FR101/2021/0_0_0_0", "/nothing"]
)
def test_without_the_token_nothing_is_told(guarded, path):
    assert guarded.get(path).status_code == 401
    assert guarded.get(path, headers={"Authorization": "Bearer wrong"}).status_code == 401
    assert guarded.get(path, cookies={"landpatch": "wrong"}).status_code == 401
    assert guarded.get(path, params={"token": TOKEN}).status_code == 401, (
        "a token in an address is in every log"
    )


def test_the_token_is_asked_for_once(guarded):
    browser = requests.Session()
    asked = browser.get(guarded.url, timeout=LONG_S)
    assert asked.url == f"{guarded.url}/login"
    wrong = browser.post(f"{guarded.url}/login", data={"token": "wrong"}, timeout=LONG_S)
    assert (wrong.status_code, "That is not the token" in wrong.text) == (403, True)
    assert not browser.cookies
    right = browser.post(f"{guarded.url}/login", data={"token": TOKEN}, timeout=LONG_S)
    assert (right.status_code, right.url) == (200, f"{guarded.url}/")
    (cookie,) = browser.cookies
    assert TOKEN not in cookie.value
    assert cookie.has_nonstandard_attr("HttpOnly")
    assert cookie.get_nonstandard_attr("SameSite").lower() == "strict"
    assert browser.get(f"{guarded.url}/legend", timeout=LONG_S).ok
    assert browser.get(f"{guarded.url}/login", timeout=LONG_S).url == f"{guarded.url}/"


def test_a_program_gives_the_token_with_each_request(guarded):
    assert guarded.get("/legend", headers={"Authorization": f"Bearer {TOKEN}"}).ok
    events = guarded.events(headers={"Authorization": f"Bearer {TOKEN}"})
    assert "waiting" in next(events)


def test_a_login_that_does_not_end_is_cut_off(guarded):
    answer = requests.post(f"{guarded.url}/login", data=b"token=" + b"x" * 100_000, timeout=LONG_S)
    assert answer.status_code == 413


def test_no_secret_is_said(guarded, environment):
    browser = requests.Session()
    browser.post(f"{guarded.url}/login", data={"token": TOKEN}, timeout=LONG_S)
    guarded.get(f"/?token={TOKEN}")
    seen = [
        browser.get(f"{guarded.url}{path}", timeout=LONG_S).text
        for path in ("/", "/legend", "/app.js", "/map/FR101")
    ]
    secrets = [
        TOKEN,
        REDIS_PASSWORD,
        environment["AWS_SECRET_ACCESS_KEY"],
        environment["EO_S3_ACCESS_KEY_ID"],
    ]
    for secret in secrets:
        assert secret not in "".join([*guarded.said, *seen])
