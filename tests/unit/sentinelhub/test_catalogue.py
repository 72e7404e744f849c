"""The catalogue of Sentinel Hub: every page, every product once, nothing that cannot be used."""

import json
from contextlib import contextmanager
from datetime import UTC, date, datetime
from types import SimpleNamespace
from uuid import UUID

import pytest
import shapely
from shapely.geometry import MultiPolygon, box, mapping

from landpatch.errors import ConfigurationError, PermanentError, TransientError
from landpatch.quota import Quota
from landpatch.sources.http import make_session
from landpatch.sources.sentinelhub import SentinelHub
from landpatch.sources.stac import MAX_PAGES, SentinelHubCatalogue, write_query
from landpatch.sources.tokens import Grant, Tokens
from tests.http_server import serving

AREA = box(2.2, 48.8, 2.4, 48.9)
DAYS = (date(2021, 5, 1), date(2021, 9, 30))
FOOTPRINT = MultiPolygon([box(1.7, 48.7, 3.1, 49.6)])


def item(number, cloud=10.0, **changed):
    name = f"S2A_MSIL2A_202106{number % 28 + 1:02d}T105031_N0301_R051_T31UDQ_{20210000000000 + number:014d}"
    name = name[:-6] + "T" + name[-6:]
    return {
        "type": "Feature",
        "id": f"{name}.SAFE",
        "geometry": mapping(FOOTPRINT) | {"crs": {"type": "name"}},
        "properties": {"datetime": "2021-06-01T10:56:33Z", "eo:cloud_cover": cloud, "proj:epsg": 32631},
    } | changed


class FreeGovernor:
    """Lets everything pass: no quota is asked about here."""

    quota = Quota(4, 10**9, 10**6, 10**9)

    @contextmanager
    def request(self, size, weight=1):
        yield 10.0**9

    def back_off(self, pause_s):
        pass


@contextmanager
def catalogue(answer):
    """A catalogue that says what `answer` makes of the body of a request."""

    def reply(request):
        body = request.rfile.read(int(request.headers["Content-Length"]))
        if request.path == "/token":
            return request.send(200, b'{"access_token": "t", "expires_in": 600}')
        assert request.path == "/api/v1/catalog/1.0.0/search"
        assert request.headers["Authorization"] == "Bearer t"
        given = answer(json.loads(body))
        return request.send(200, given if isinstance(given, bytes) else json.dumps(given).encode())

    with serving(reply, "") as server:
        tokens = Tokens(make_session(0), f"{server.url}/token", Grant({}, "ID"))
        yield SentinelHubCatalogue(SentinelHub(server.url, tokens, FreeGovernor(), 20))


def pages(items, size=2):
    def answer(body):
        at = body.get("next", 0)
        context = {"next": at + size} if at + size < len(items) else {}
        return {"type": "FeatureCollection", "features": items[at : at + size], "context": context}

    return answer


def test_a_search_says_what_is_wanted():
    query = write_query(AREA, *DAYS, 20)
    assert query["datetime"] == "2021-05-01T00:00:00Z/2021-09-30T23:59:59Z"
    assert query["filter"] == "eo:cloud_cover <= 20"
    assert query["filter-lang"] == "cql2-text"
    asked = shapely.geometry.shape(query["intersects"])
    assert asked.contains(AREA)
    assert asked.area < 2 * AREA.area


def test_every_page_is_read_and_every_product_is_there_once():
    items = [item(number) for number in range(5)]
    with catalogue(pages([*items, items[0]])) as service:
        found = service.find(AREA, *DAYS, 30)
    assert sorted(scene.name for scene in found.scenes) == sorted(entry["id"] for entry in items)
    assert (found.requests, found.offline, found.unusable) == (3, 0, 0)
    assert [scene.id for scene in found.scenes] == sorted(scene.id for scene in found.scenes)


def test_a_scene_is_what_its_item_says():
    with catalogue(pages([item(1, cloud=7.25)])) as service:
        (scene,) = service.find(AREA, *DAYS, 30).scenes
    assert scene.sensed == datetime(2021, 6, 2, 10, 50, 31, tzinfo=UTC)
    assert (scene.tile, scene.baseline, scene.cloud_cover) == ("31UDQ", (3, 1), 7.25)
    assert scene.footprint.equals(FOOTPRINT)
    assert scene.name in scene.s3_path


def test_a_name_may_end_with_safe_or_not_and_is_one_product():
    entry = item(3)
    with catalogue(pages([entry, entry | {"id": entry["id"].removesuffix(".SAFE")}])) as service:
        (scene,) = service.find(AREA, *DAYS, 30).scenes
    assert scene.name == entry["id"]
    assert UUID(scene.id).version == 5


@pytest.mark.parametrize(
    "changed",
    [
        {"id": "LC08_L2SP_199026"}, {"id": "../../etc"}, {"id": None},
        {"properties": {}}, {"properties": None},
        {"properties": {"eo:cloud_cover": "low"}}, {"properties": {"eo:cloud_cover": True}},
        {"properties": {"eo:cloud_cover": -1}}, {"properties": {"eo:cloud_cover": 90}},
        {"id": "S2A_MSIL2A_20219901T105031_N0301_R051_T31UDQ_20210601T120000"},
    ],
)  # fmt: skip
def test_an_item_that_lacks_what_is_needed_is_left_out_and_counted(changed):
    with catalogue(pages([item(1), item(2) | changed, "nothing"])) as service:
        found = service.find(AREA, *DAYS, 30)
    assert len(found.scenes) == 1
    assert found.unusable == 2


@pytest.mark.parametrize("geometry", [None, {}, {"type": "Point", "coordinates": [2, 48]}])
def test_a_footprint_that_is_none_may_be_anywhere(geometry):
    with catalogue(pages([item(1, geometry=geometry)])) as service:
        (scene,) = service.find(AREA, *DAYS, 30).scenes
    assert scene.footprint is None


@pytest.mark.parametrize(
    "body",
    [b"", b"<html></html>", b"[]", b'{"features": 3}', b'{"features": [], "context": {"next": -1}}',
     b'{"features": [], "context": {"next": "no"}}', b"[" * 100_000],
)  # fmt: skip
def test_what_is_no_page_is_refused_and_at_the_start_a_matter_of_the_settings(body):
    with catalogue(lambda _: body) as service:
        with pytest.raises(PermanentError, match="did not send a page of products"):
            service.find(AREA, *DAYS, 30)
        with pytest.raises(ConfigurationError, match="catalogue of Sentinel Hub"):
            service.check()


def test_pages_that_lead_back_are_not_believed():
    def answer(body):
        return {"features": [item(body.get("next", 0))], "context": {"next": 1}}

    with catalogue(answer) as service, pytest.raises(TransientError, match="back to what was read already"):
        service.find(AREA, *DAYS, 30)


def test_pages_that_do_not_end_are_given_up():
    def answer(body):
        at = body.get("next", 0)
        return {"features": [item(1)], "context": {"next": at + 1}}

    with catalogue(answer) as service, pytest.raises(PermanentError, match=f"more than {MAX_PAGES} pages"):
        service.find(AREA, *DAYS, 30)


def test_a_catalogue_that_answers_is_well():
    with catalogue(pages([])) as service:
        service.check()


def test_nothing_is_asked_of_the_catalogue_beyond_what_it_knows():
    seen = SimpleNamespace(body=None)

    def answer(body):
        seen.body = body
        return pages([])(body)

    with catalogue(answer) as service:
        service.find(AREA, *DAYS, 30)
    known = {"collections", "datetime", "intersects", "limit", "filter", "filter-lang"}
    assert set(seen.body) == known
    assert seen.body["collections"] == ["sentinel-2-l2a"]
