"""What `landpatch serve` tells, and how it begins and ends."""

import signal
import socket
import subprocess

import pytest
from rasterio.io import MemoryFile

from landpatch.index import PatchRow, build_patches
from landpatch.layout import RegionLayout
from landpatch.records import Outcome
from landpatch.settings import Settings
from landpatch.storage import open_store
from landpatch.watch.feed import MOST_REGIONS
from services.stack.ports import free_port
from tests.contract.watch.served import COMMAND, PARIS, await_news, serving
from tests.contract.watched import begin
from tests.environment import clean_environment
from tests.waiting import LONG_S

pytestmark = pytest.mark.stack


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


def test_nobody_looks_when_nobody_follows(page, redis_client):
    assert page.get("/").ok
    redis_client.config_resetstat()
    assert page.get("/legend").ok
    assert "cmdstat_smembers" not in redis_client.info("commandstats")


def test_more_than_it_tells_is_refused(page):
    codes = [f"FR1{number:02}/2021" for number in range(MOST_REGIONS + 1)]
    answer = page.get("/events", params={"region": codes})
    assert (answer.status_code, answer.json()["fault"]) == (400, f"at most {MOST_REGIONS} regions at a time")


def test_a_map_is_told(page):
    told = page.get("/map/FR101").json()
    assert (told["nuts"], told["name"], len(told["patches"])) == ("FR101", "Paris", 28 * 4)
    assert len(page.get("/map/FR101?cover=within").json()["patches"]) < 28 * 4


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
    assert [number for number, *_ in told["classes"]] == list(range(1, 12))
    assert [10, "Water", "#0080FF"] in told["classes"]


def test_classes_have_the_names_that_the_index_gives_them(page, stored, environment, redis_client):
    store = open_store(Settings(_env_file=None, **environment))
    key = RegionLayout("serve", "FR101", 2021).patches
    rows = [PatchRow(stored, "complete", "", None, None, "")]
    store.put(key, build_patches(rows, "cdse", {10: "Lake"}))
    try:
        assert page.get(f"/patch/FR101/2021/{stored}").json()["classes"] == [[10, "Lake", "#0080FF"]]
    finally:
        store.delete(key)


def test_before_there_is_an_index_other_labels_are_not_called_by_the_names_of_clc(environment, stored):
    with serving(environment | {"LANDPATCH_LABEL_SOURCE": "raster:/city.tif"}) as served:
        told = served.get(f"/patch/FR101/2021/{stored}").json()
    assert told["classes"][9][:2] == [10, "class 10"]


def test_an_object_that_is_broken_is_said_to_be(page, environment):
    store = open_store(Settings(_env_file=None, **environment))
    key = RegionLayout("serve", "FR101", 2021).image("3760000_2887500_0_21")
    store.put(key, b"II*\0 no image")
    try:
        answer = page.get("/picture/FR101/2021/3760000_2887500_0_21/true.png")
        assert (answer.status_code, "not a whole GeoTIFF" in answer.json()["fault"]) == (502, True)
    finally:
        store.delete(key)


def refused(environment: dict[str, str], *options: str) -> str:
    """The one line of a command that does not begin."""
    ran = subprocess.run(
        [*COMMAND, *options],
        env=clean_environment(**environment),
        capture_output=True,
        text=True,
        timeout=LONG_S,
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
        assert served.process.wait(LONG_S) == 0
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
