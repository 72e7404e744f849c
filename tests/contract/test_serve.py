"""`landpatch serve` as a process of its own: who may look, what it tells, and how it ends."""

import json
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import requests
from rasterio.io import MemoryFile

from landpatch.codec import encode_image, encode_label
from landpatch.grid import parse_patch
from landpatch.layout import RegionLayout
from landpatch.ledger import Ledger
from landpatch.records import Outcome
from landpatch.settings import Settings
from landpatch.storage import open_store
from landpatch.watch.feed import MOST_REGIONS
from tests.contract.conftest import REDIS_PASSWORD, S3Server, free_port
from tests.contract.watched import begin
from tests.environment import clean_environment

pytestmark = pytest.mark.stack

TOKEN = "canary-of-a-token-4711"
PARIS = "FR101/2021"
COMMAND = [str(Path(sys.executable).parent / "landpatch"), "serve"]


@dataclass
class Served:
    """A running page."""

    url: str
    process: subprocess.Popen[str]
    said: list[str]
    """Lines that it has logged."""

    def get(self, path: str, **options) -> requests.Response:
        return requests.get(self.url + path, timeout=30, allow_redirects=False, **options)

    def events(self, *regions: str, **options) -> Iterator[dict]:
        """What the page is told."""
        query = "&".join(f"region={region}" for region in regions)
        with requests.get(f"{self.url}/events?{query}", stream=True, timeout=30, **options) as answer:
            assert answer.headers["Content-Type"].startswith("text/event-stream"), answer.text
            for line in answer.iter_lines(chunk_size=1):
                if line.startswith(b"data: "):
                    yield json.loads(line.removeprefix(b"data: "))


@pytest.fixture(scope="module")
def environment(redis_url, s3: S3Server, data) -> dict[str, str]:
    """Every setting spelled out."""
    return {
        "LANDPATCH_REDIS_URL": redis_url,
        "LANDPATCH_NUTS_URL": str(data / "boundaries.geojson"),
        "AWS_S3_ENDPOINT": s3.endpoint,
        "AWS_ACCESS_KEY_ID": s3.key.get_secret_value(),
        "AWS_SECRET_ACCESS_KEY": s3.secret.get_secret_value(),
        "LANDPATCH_BUCKET": s3.bucket,
        "LANDPATCH_PREFIX": "serve",
        "EO_S3_ACCESS_KEY_ID": "an-account",
        "LANDPATCH_LOG": "json",
    }


@contextmanager
def serving(environment: dict[str, str], *options: str) -> Iterator[Served]:
    """The command, until the test is over."""
    process = subprocess.Popen(
        [*COMMAND, "--port", "0", *options],
        env=clean_environment(**environment), stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    said: list[str] = []
    try:
        first = process.stderr.readline()
        found = re.search(r"http://(\S+?):(\d+)/", first)
        assert found, first + process.stderr.read()
        said.append(first)
        reading = threading.Thread(target=lambda: said.extend(process.stderr), daemon=True)
        reading.start()
        yield Served(f"http://127.0.0.1:{found[2]}", process, said)
    finally:
        process.terminate()
        process.wait(60)
        if said:
            reading.join(10)


@pytest.fixture(scope="module")
def page(environment):
    with serving(environment) as served:
        yield served


@pytest.fixture
def ledger(redis_client):
    """Of a Redis that is empty at the start of the test."""
    return Ledger(redis_client)


def has_complete(count: int, news: dict) -> bool:
    """Whether so many images of Paris are said to be complete."""
    counts = news.get("views", {}).get(PARIS, {}).get("images_counts", {})
    return counts.get("complete", 0) >= count


def await_news(events: Iterator[dict], is_it) -> dict:
    """The first news of which that is so."""
    return next(news for news in events if is_it(news))


# what it tells


def test_who_follows_a_region_is_told_what_changes(page, ledger, environment):
    paris = begin(ledger, environment["LANDPATCH_NUTS_URL"], "FR101", 10)
    events = page.events(PARIS)
    first = await_news(events, lambda news: "views" in news)["views"][PARIS]
    assert first["images"] == {"all": "0" * 28}
    paris.take(paris.cuts[0])
    cutting = await_news(events, lambda news: "views" in news)["views"][PARIS]
    assert cutting["images_counts"] == {"queued": 18, "cutting": 10}
    ledger.record(paris.key, paris.run, "images", {paris.names[3]: Outcome("complete")})
    done = await_news(events, lambda news: "images" in news.get("views", {}).get(PARIS, {}))["views"][PARIS]
    assert done["images"] == {"some": {"2": [3]}}


def test_many_who_look_share_one_look_at_redis(page, ledger, environment, redis_client):
    paris = begin(ledger, environment["LANDPATCH_NUTS_URL"], "FR101", 1)
    followers = [page.events(PARIS) for _ in range(12)]
    for follower in followers:
        await_news(follower, lambda news: "views" in news)
    redis_client.config_resetstat()
    for number in range(3):
        ledger.record(paris.key, paris.run, "images", {paris.names[number]: Outcome("complete")})
        for follower in followers:
            await_news(follower, partial(has_complete, number + 1))
    looks = redis_client.info("commandstats")["cmdstat_smembers"]["calls"] / 2
    assert looks < 3 * len(followers), "three changes, each seen by twelve"


def test_nobody_looks_when_nobody_follows(page, redis_client):
    assert page.get("/").ok
    redis_client.config_resetstat()
    assert page.get("/legend").ok
    assert "cmdstat_smembers" not in redis_client.info("commandstats")


def test_more_than_it_tells_is_refused(page):
    codes = [f"FR1{number:02}/2021" for number in range(MOST_REGIONS + 1)]
    answer = page.get("/events", params={"region": codes})
    assert (answer.status_code, answer.json()["fault"]) == (400, f"at most {MOST_REGIONS} regions at a time")


def test_a_map_and_a_legend_are_told(page):
    told = page.get("/map/FR101").json()
    assert (told["nuts"], told["name"], len(told["patches"])) == ("FR101", "Paris", 28 * 4)
    assert len(page.get("/map/FR101?cover=within").json()["patches"]) < 28 * 4
    assert [number for number, *_ in page.get("/legend").json()["classes"]] == list(range(1, 12))


@pytest.mark.parametrize(
    "path",
    [
        "/map/ZZ999", "/map/fr101", "/map/..%2f..", "/nothing", "/static/app.js", "/app.js.map",
        "/..%2fapp.py", "/events?region=FR101", "/events?region=FR101/20211", "/events?region=../2021",
        "/events?region=FR101/２０２１", "/patch/FR101/2021/x", "/patch/FR101/2021/1_1_0_0",
        "/patch/FR101/2021/..%2f..%2fx", "/picture/FR101/2021/3757500_2887500_0_20/x.png",
        "/picture/FR101/2021/3757500_2887500_0_20/true.png",
        "/picture/FR101/1/3757500_2887500_0_20/true.png",
    ],
)  # fmt: skip
def test_what_there_is_not_is_not_found_and_nothing_is_told_of_the_inside(page, path):
    answer = page.get(path)
    assert answer.status_code == 404, answer.text
    assert "Traceback" not in answer.text
    assert "landpatch/" not in answer.text


@pytest.fixture
def stored(environment):
    """A patch whose left half is water, and whose right half was not observed."""
    name = "3757500_2887500_0_19"
    bands = np.zeros((14, 250, 250))
    bands[:12, :, :125] = 0.1
    bands[12, :, :125] = 1
    label = np.zeros((250, 250), "uint8")
    label[:, :125] = 10
    tags = {
        "PRODUCTS": "S2A_X", "SENSING_DATES": "2021-06-01T10:50:31+00:00", "VALID_FRACTION": "0.5",
        "CLEAR_FRACTION": "0.5", "SOURCE": "<script>",
    }  # fmt: skip
    settings = Settings(_env_file=None, **environment)
    store, layout = open_store(settings), RegionLayout("serve", "FR101", 2021)
    store.put(layout.image(name), encode_image(bands, parse_patch(name), tags))
    store.put(layout.label(name), encode_label(label))
    yield name
    store.delete(layout.image(name))
    store.delete(layout.label(name))


@pytest.mark.parametrize(
    ("kind", "colour"),
    [("true", (255, 255, 255)), ("false", (255, 255, 255)), ("ndvi", (0, 104, 55)), ("label", (0, 128, 255))],
)
def test_a_patch_that_is_stored_is_shown(page, stored, kind, colour):
    answer = page.get(f"/picture/FR101/2021/{stored}/{kind}.png")
    assert answer.headers["Content-Type"] == "image/png"
    with MemoryFile(answer.content) as memory, memory.open(driver="PNG") as shown:
        pixels = shown.read()
    assert pixels.shape == (4, 250, 250)
    assert tuple(pixels[:, 100, 50]) == (*colour, 255)
    assert pixels[3, 100, 200] == 0


def test_what_is_known_of_a_patch_is_told(page, stored):
    told = page.get(f"/patch/FR101/2021/{stored}").json()
    assert told["bounds"] == [3757500, 2887500, 3760000, 2890000]
    assert told["tags"]["PRODUCTS"] == "S2A_X"
    assert told["pixels"] == [31_250, *[0] * 9, 31_250, 0]
    west, south, east, north = told["lonlat"]
    assert 2 < west < east < 2.6
    assert 48.7 < south < north < 49
    assert told["image"].endswith(f"/serve/images/FR101/2021/{stored}.tif")


def test_an_object_that_is_broken_is_said_to_be(page, environment):
    store = open_store(Settings(_env_file=None, **environment))
    key = RegionLayout("serve", "FR101", 2021).image("3760000_2887500_0_21")
    store.put(key, b"II*\0 no image")
    try:
        answer = page.get("/picture/FR101/2021/3760000_2887500_0_21/true.png")
        assert (answer.status_code, "not a whole GeoTIFF" in answer.json()["fault"]) == (502, True)
    finally:
        store.delete(key)


# who may look


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
    static = Path(__file__).parents[2] / "shared" / "landpatch" / "watch" / "static"
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


@pytest.fixture(scope="module")
def guarded(environment):
    with serving(environment | {"LANDPATCH_SERVE_TOKEN": TOKEN}, "--host", "0.0.0.0") as served:
        yield served


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
    asked = browser.get(guarded.url, timeout=30)
    assert asked.url == f"{guarded.url}/login"
    wrong = browser.post(f"{guarded.url}/login", data={"token": "wrong"}, timeout=30)
    assert (wrong.status_code, "That is not the token" in wrong.text) == (403, True)
    assert not browser.cookies
    right = browser.post(f"{guarded.url}/login", data={"token": TOKEN}, timeout=30)
    assert (right.status_code, right.url) == (200, f"{guarded.url}/")
    (cookie,) = browser.cookies
    assert TOKEN not in cookie.value
    assert cookie.has_nonstandard_attr("HttpOnly")
    assert cookie.get_nonstandard_attr("SameSite").lower() == "strict"
    assert browser.get(f"{guarded.url}/legend", timeout=30).ok
    assert browser.get(f"{guarded.url}/login", timeout=30).url == f"{guarded.url}/"


def test_a_program_gives_the_token_with_each_request(guarded):
    assert guarded.get("/legend", headers={"Authorization": f"Bearer {TOKEN}"}).ok
    events = guarded.events(headers={"Authorization": f"Bearer {TOKEN}"})
    assert "waiting" in next(events)


def test_a_login_that_does_not_end_is_cut_off(guarded):
    answer = requests.post(f"{guarded.url}/login", data=b"token=" + b"x" * 100_000, timeout=30)
    assert answer.status_code == 413


def test_no_secret_is_said(guarded, environment):
    browser = requests.Session()
    browser.post(f"{guarded.url}/login", data={"token": TOKEN}, timeout=30)
    guarded.get(f"/?token={TOKEN}")
    seen = [
        browser.get(f"{guarded.url}{path}", timeout=30).text
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


# how it begins and ends


def refused(environment: dict[str, str], *options: str) -> str:
    """The one line of a command that does not begin."""
    ran = subprocess.run(
        [*COMMAND, *options],
        env=clean_environment(**environment),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ran.returncode, ran.stdout, len(ran.stderr.splitlines())) == (2, "", 1), ran.stderr
    return ran.stderr


def test_it_does_not_begin_where_anybody_could_look(environment):
    assert "open to anybody who reaches 0.0.0.0" in refused(environment, "--host", "0.0.0.0", "--port", "0")


def test_it_does_not_begin_at_a_port_that_is_taken(environment):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert f"nobody can listen at 127.0.0.1:{port}" in refused(environment, "--port", port)


def test_it_does_not_begin_for_what_is_no_region(environment):
    assert "'XX' is not a NUTS3 code" in refused(environment, "XX")


def test_it_ends_at_once_though_somebody_follows(environment):
    with serving(environment) as served:
        events = served.events(PARIS)
        next(events)
        served.process.send_signal(signal.SIGINT)
        assert served.process.wait(60) == 0
    assert served.said[1:] == []


def test_who_follows_through_an_outage_of_redis_is_told(environment, silent_port):
    away = environment | {"LANDPATCH_REDIS_URL": f"redis://127.0.0.1:{silent_port}/0"}
    with serving(away) as served:
        assert "cannot be reached" in next(served.events())["fault"]


def test_a_port_of_its_choice_is_said(environment):
    port = free_port()
    with serving(environment, "--port", str(port), "FR101", "BE100", "--year", "2018") as served:
        assert served.url.endswith(f":{port}")
        assert "/?region=FR101/2018&region=BE100/2018 (Ctrl-C" in served.said[0]
