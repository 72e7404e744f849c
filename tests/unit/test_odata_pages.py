"""The catalogue, asked over HTTP: what is asked for, and every page of the answer."""

import json
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit
from uuid import UUID

import pytest
import shapely
from shapely.geometry import MultiPolygon, Point

from landpatch.errors import PermanentError, TransientError
from landpatch.sources.odata import (
    MAX_PAGES,
    Findings,
    build_filter,
)
from tests.catalogues import (
    AREA,
    BEGIN,
    FINISH,
    PATH,
    Answer,
    find,
    find_in,
    product,
    serving,
    serving_pages,
)

# a genuine chain


def test_a_genuine_chain_is_followed_to_its_end_and_what_is_not_sentinel_2_l2a_is_left_out(data):
    real_host = "https://catalogue.dataspace.copernicus.eu"
    texts = [(data / f"odata/cdsetool_odata_page_{n}.json").read_text() for n in range(1, 6)]
    assert sum(real_host + PATH in text for text in texts) == 4

    def answer(server: Any, path: str) -> Answer:
        skip = int(dict(parse_qsl(urlsplit(path).query)).get("$skip", 0))
        return 200, {}, texts[skip // 10].replace(real_host, server.base).encode()

    with serving(answer) as server:
        findings = find(server.url)
    skips = [dict(parse_qsl(urlsplit(path).query)).get("$skip") for path in server.paths]
    assert skips == [None, "10", "20", "30", "40"]
    assert findings == Findings(scenes=(), offline=0, unusable=47, requests=5)
    assert json.loads(texts[0])["@odata.count"] == 47


# what is asked for


def test_the_first_request_says_what_is_wanted_and_in_which_order():
    with serving_pages([[product()]]) as server:
        find(server.url, max_cloud=12)
    query = parse_qs(urlsplit(server.paths[0]).query, strict_parsing=True)
    assert query == {
        "$filter": [build_filter(AREA, BEGIN, FINISH, 12)],
        "$orderby": ["ContentDate/Start asc"],
        "$top": ["1000"],
        "$expand": ["Attributes"],
    }


def test_a_next_page_is_asked_for_exactly_as_the_catalogue_says():
    with serving_pages([[product(1)], [product(2)]]) as server:
        find(server.url)
    assert server.paths[1:] == [f"{PATH}?$skiptoken=1"]


def test_the_filter_names_collection_product_type_days_cloud_and_an_area_around_the_region():
    text = build_filter(AREA, BEGIN, FINISH, 30)
    assert text.split(" and ")[0] == "Collection/Name eq 'SENTINEL-2'"
    assert "'productType' and att/OData.CSC.StringAttribute/Value eq 'S2MSI2A'" in text
    assert "ContentDate/Start ge 2021-05-01T00:00:00.000Z" in text
    assert "ContentDate/Start le 2021-09-30T23:59:59.999Z" in text
    assert "'cloudCover' and att/OData.CSC.DoubleAttribute/Value le 30.00)" in text
    ring = text.partition("SRID=4326;")[2].removesuffix("')")
    assert shapely.from_wkt(ring).contains(AREA)


def test_the_filter_stays_short_for_a_coast_with_many_islands():
    islands = MultiPolygon(
        [Point(x, y).buffer(0.01) for x in range(-5, 5) for y in range(45, 55)]  # 100 parts
    )
    text = build_filter(islands, BEGIN, FINISH, 30)
    assert len(text) < 2000
    assert shapely.from_wkt(text.partition("SRID=4326;")[2].removesuffix("')")).contains(islands)


# pages


@pytest.mark.parametrize("key", ["@odata.nextLink", "@odata.nextlink", "@OData.NextLink"])
def test_the_next_page_is_found_whatever_the_case_of_its_key(key):
    assert len(find_in([product(1)], [product(2)], [product(3)], next_link=key).scenes) == 3


def test_a_product_that_pages_repeat_counts_once():
    findings = find_in([product(1), product(2)], [product(2), product(3)], [product(1), product(1)])
    assert [scene.id for scene in findings.scenes] == [str(UUID(int=n)) for n in (1, 2, 3)]
    assert (findings.offline, findings.unusable, findings.requests) == (0, 0, 3)


@pytest.mark.parametrize("back_to", [0, 1, 2])
def test_a_chain_that_leads_back_leaves_products_out_and_is_not_believed(back_to):
    def answer(server: Any, path: str) -> Answer:
        number = int(dict(parse_qsl(urlsplit(path).query)).get("$skiptoken", 0))
        following = number + 1 if number < 2 else back_to
        page = {"value": [product(number)], "@odata.nextLink": f"{server.url}?$skiptoken={following}"}
        return 200, {}, json.dumps(page).encode()

    with serving(answer) as server, pytest.raises(TransientError, match="back to one that was read"):
        find(server.url)
    assert len(server.paths) <= 4


def serving_in_order(products: list[dict[str, Any]]) -> "contextmanager[Any]":
    """A catalogue that passes over 10 000 products and no more, as the genuine one; products: by time."""

    def answer(server: Any, path: str) -> Answer:
        query = dict(parse_qsl(urlsplit(path).query))
        skip, top = int(query.get("$skip", 0)), int(query["$top"])
        if skip > 10_000:
            return 422, {}, b'{"detail": [{"msg": "Input should be less than or equal to 10000"}]}'
        since = query["$filter"].partition("Start ge ")[2].partition(" ")[0]
        found = [entry for entry in products if entry["ContentDate"]["Start"] >= since]
        page: dict[str, Any] = {"value": found[skip : skip + top]}
        if skip + top < len(found):
            page["@odata.nextLink"] = f"{server.url}?{urlencode(query | {'$skip': skip + top})}"
        return 200, {}, json.dumps(page).encode()

    return serving(answer)


def test_more_products_than_the_catalogue_passes_over_are_found_all_and_once():
    first = datetime(2021, 6, 1, tzinfo=UTC)
    # Three tiles of each moment: the last that is given is not the last of its moment.
    products = [
        product(n, sensed=first + timedelta(minutes=n // 3), GeoFootprint=..., Footprint=...)
        for n in range(12_500)
    ]
    with serving_in_order(products) as server:
        findings = find(server.url)
    assert [scene.id for scene in findings.scenes] == [str(UUID(int=n)) for n in range(12_500)]
    assert (findings.offline, findings.unusable, findings.requests) == (0, 0, 13)


def test_an_answer_that_ends_just_beyond_what_the_catalogue_passes_over_is_whole():
    with serving_in_order([product(n, GeoFootprint=..., Footprint=...) for n in range(10_500)]) as server:
        findings = find(server.url)
    assert (len(findings.scenes), findings.requests) == (10_500, 11)


def test_the_next_question_begins_at_the_time_of_the_last_product_in_whatever_zone_it_is_told():
    told = [product(n, ContentDate={"Start": "2021-06-01T12:00:00.000+02:00"}) for n in range(1000)]

    def answer(server: Any, path: str) -> Answer:
        if "Start ge 2021-05-01" not in dict(parse_qsl(urlsplit(path).query)).get(
            "$filter", "Start ge 2021-05-01"
        ):
            return 200, {}, b'{"value": []}'
        link = f"{server.url}?$skiptoken={len(server.paths)}"
        return 200, {}, json.dumps({"value": told, "@odata.nextLink": link}).encode()

    with serving(answer) as server:
        find(server.url)
    asked = dict(parse_qsl(urlsplit(server.paths[-1]).query))["$filter"]
    assert "ContentDate/Start ge 2021-06-01T10:00:00.000Z" in asked


def test_more_products_of_one_moment_than_the_catalogue_passes_over_are_refused():
    products = [product(n, GeoFootprint=..., Footprint=...) for n in range(11_001)]
    with (
        serving_in_order([product(0, sensed=datetime(2021, 5, 2, tzinfo=UTC)), *products]) as server,
        pytest.raises(PermanentError, match="more than 10000 products of one moment"),
    ):
        find(server.url)


@pytest.mark.parametrize("moment", [..., None, {}, {"Start": "soon"}, {"Start": "2021-06-01T10:50:31"}])
def test_products_that_cannot_be_gone_on_from_are_refused(moment):
    products = [product(n, ContentDate=moment) for n in range(1000)]

    def answer(server: Any, _: str) -> Answer:
        link = f"{server.url}?$skiptoken={len(server.paths)}"
        return 200, {}, json.dumps({"value": products, "@odata.nextLink": link}).encode()

    with serving(answer) as server, pytest.raises(PermanentError, match="without a time"):
        find(server.url)
    assert len(server.paths) == 11


def test_a_chain_without_an_end_is_given_up():
    def answer(server: Any, _: str) -> Answer:
        link = f"{server.url}?$skiptoken={len(server.paths)}"
        return 200, {}, json.dumps({"value": [product()], "@odata.nextLink": link}).encode()

    with serving(answer) as server, pytest.raises(PermanentError, match=f"more than {MAX_PAGES} pages"):
        find(server.url)
    assert len(server.paths) == MAX_PAGES + 1


@pytest.mark.parametrize("link", ["$skiptoken=1", None, ""])
def test_an_empty_page_is_the_last(link):
    def answer(server: Any, _: str) -> Answer:
        page = {"value": [], "@odata.nextLink": link and f"{server.url}?{link}"}
        return 200, {}, json.dumps(page).encode()

    with serving(answer) as server:
        assert find(server.url) == Findings((), 0, 0, 1)


@pytest.mark.parametrize(
    "link",
    [
        "https://catalogue.example/odata/v1/Products?$skip=1000",
        "http://127.0.0.1:{port}@catalogue.example/odata/v1/Products?$skip=1000",
        "http://127.0.0.1:{port}/elsewhere?$skip=1000",
        "file:///etc/hostname",
        {"href": "x"},
        17,
    ],
)
def test_a_next_page_of_another_service_is_refused(link):
    def answer(server: Any, _: str) -> Answer:
        target = link.replace("{port}", str(server.server_port)) if isinstance(link, str) else link
        return 200, {}, json.dumps({"value": [product()], "@odata.nextLink": target}).encode()

    with serving(answer) as server, pytest.raises(PermanentError, match="another service"):
        find(server.url)
    assert len(server.paths) == 1
