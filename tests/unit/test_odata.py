"""The catalogue, asked over HTTP: every product once, nothing that cannot be had."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shapely.geometry import MultiPolygon, box, mapping

from landpatch.coverage import drop_reprocessed
from landpatch.errors import ConfigurationError, PermanentError, TransientError
from landpatch.sources.odata import (
    check_catalogue,
    parse_footprint,
)
from tests.catalogues import (
    TILE_AREA,
    Answer,
    find,
    find_in,
    product,
    serving,
    serving_pages,
)
from tests.http_server import quick_session

# products


def test_a_product_is_understood_in_full():
    (scene,) = find_in([product(7)]).scenes
    name = "S2A_MSIL2A_20210601T105031_N0500_R051_T31UDQ_20230212T061204.SAFE"
    assert scene.id == str(UUID(int=7))
    assert scene.name == name
    assert scene.s3_path == f"Sentinel-2/MSI/L2A_N0500/2021/06/01/{name}"
    assert (scene.tile, scene.baseline, scene.cloud_cover) == ("31UDQ", (5, 0), 12.5)
    assert scene.sensed == datetime(2021, 6, 1, 10, 50, 31, tzinfo=UTC)
    assert scene.size == 1_164_018_562
    assert scene.footprint.equals(TILE_AREA)


def test_scenes_come_sorted_by_id_whatever_the_order_of_the_catalogue():
    forth = find_in([product(1), product(2)], [product(3)])
    back = find_in([product(3), product(2)], [product(1)])
    assert forth.scenes == back.scenes


def test_a_product_that_is_not_online_is_counted_and_left_out():
    findings = find_in([product(1), product(2, Online=False)], [product(2, Online=False)])
    assert len(findings.scenes) == 1
    assert (findings.offline, findings.unusable) == (1, 0)


def test_cloud_cover_is_taken_from_the_attributes_and_nowhere_else():
    findings = find_in([product(1, cloud=3, cloudCover=99), product(2, cloud=..., cloudCover=3)])
    assert [scene.cloud_cover for scene in findings.scenes] == [3.0]
    assert findings.unusable == 1


@pytest.mark.parametrize("cloud", [..., None, "12.5", 30.01, 100, float("nan"), [3]])
def test_a_product_without_a_usable_cloud_cover_is_left_out(cloud):
    findings = find_in([product(1, cloud=cloud), product(2, cloud=30)])
    assert [scene.id for scene in findings.scenes] == [str(UUID(int=2))]
    assert findings.unusable == 1


@pytest.mark.parametrize("missing", ["Id", "Name", "Online", "Attributes"])
def test_an_entry_that_lacks_what_is_needed_is_left_out(missing):
    findings = find_in([product(1, **{missing: ...}), product(2)])
    assert [scene.id for scene in findings.scenes] == [str(UUID(int=2))]
    assert findings.unusable == 1


@pytest.mark.parametrize("entry", [None, 17, "product", [], {}])
def test_an_entry_that_is_no_product_is_left_out(entry):
    findings = find_in([entry, product(2)])
    assert (len(findings.scenes), findings.unusable) == (1, 1)


@pytest.mark.parametrize(
    "name",
    [
        "S2A_MSIL1C_20210601T105031_N0500_R051_T31UDQ_20230212T061204.SAFE",
        "S1A_AUX_INS_V20140406T010000_G20140409T142540.SAFE",
        "S2A_MSIL2A_20210601T105031_N0500_R051_T31UDQ_20230212T061204.SAFE.zip",
        "../S2A_MSIL2A_20210601T105031_N0500_R051_T31UDQ_20230212T061204.SAFE",
    ],
)
def test_a_name_that_is_not_of_sentinel_2_l2a_is_left_out(name):
    findings = find_in([product(1, Name=name, S3Path=f"/eodata/Sentinel-2/{name}"), product(2)])
    assert [scene.id for scene in findings.scenes] == [str(UUID(int=2))]
    assert findings.unusable == 1


@pytest.mark.parametrize("sensed", ["20211301T105031", "20210230T105031", "20210601T256199"])
def test_a_name_with_a_day_that_no_calendar_has_is_left_out(sensed):
    name = f"S2A_MSIL2A_{sensed}_N0500_R051_T31UDQ_20230212T061204.SAFE"
    findings = find_in([product(1, Name=name, S3Path=f"/eodata/Sentinel-2/{name}"), product(2)])
    assert [scene.id for scene in findings.scenes] == [str(UUID(int=2))]
    assert findings.unusable == 1


@pytest.mark.parametrize(
    "below", ["", "/", "/GRANULE", "/GRANULE/L2A_T31UDQ_A031041_20210601T105630/IMG_DATA"]
)
def test_a_path_that_ends_below_the_product_is_cut_back_to_it(below):
    entry = product()
    (scene,) = find_in([entry | {"S3Path": entry["S3Path"] + below}]).scenes
    assert f"/eodata/{scene.s3_path}" == entry["S3Path"]


@pytest.mark.parametrize(
    "path",
    [
        "/eodata/../x/{name}",
        "/eodata/Sentinel-2/../../other/{name}",
        "/eodata/Sentinel-2/{name}/../../x",
        "/other/Sentinel-2/{name}",
        "/eodata/Sentinel-2/MSI/L2A/2021/06/01/",
        "{name}",
        "",
        None,
        ...,
    ],
)
def test_a_path_that_does_not_lead_to_the_product_in_its_store_is_left_out(path):
    entry = product(1)
    path = path.replace("{name}", entry["Name"]) if isinstance(path, str) else path
    findings = find_in([product(1, S3Path=path), product(2)])
    assert [scene.id for scene in findings.scenes] == [str(UUID(int=2))]
    assert findings.unusable == 1


@pytest.mark.parametrize("size", [0, None, ...])
def test_a_size_that_the_catalogue_does_not_know_is_zero(size):
    (scene,) = find_in([product(ContentLength=size)]).scenes
    assert scene.size == 0


def test_times_with_three_and_with_six_decimals_are_both_taken():
    findings = find_in([product(1, decimals=3), product(2, decimals=6)])
    assert [scene.sensed for scene in findings.scenes] == [datetime(2021, 6, 1, 10, 50, 31, tzinfo=UTC)] * 2


# footprints

WEST, EAST = box(1.7, 48.7, 2.2, 49.6), box(2.5, 48.7, 3.1, 49.6)


@pytest.mark.parametrize(
    ("fields", "footprint"),
    [
        ({"GeoFootprint": None}, TILE_AREA),
        ({"GeoFootprint": ...}, TILE_AREA),
        ({"Footprint": None}, TILE_AREA),
        ({"Footprint": None, "GeoFootprint": None}, None),
        ({"GeoFootprint": mapping(MultiPolygon([WEST, EAST]))}, MultiPolygon([WEST, EAST])),
        (
            {"GeoFootprint": None, "Footprint": f"geography'SRID=4326;{MultiPolygon([WEST, EAST]).wkt}'"},
            MultiPolygon([WEST, EAST]),
        ),
        ({"GeoFootprint": None, "Footprint": "geography'SRID=4326;POLYGON ((1 2, 3"}, None),
        ({"GeoFootprint": {"type": "Polygon"}}, None),
        ({"GeoFootprint": {"type": "Point", "coordinates": [1, 2]}}, None),
        ({"GeoFootprint": mapping(box(-179.9, 60, 179.9, 61))}, None),
        ({"GeoFootprint": mapping(box(179.5, 60, 181.2, 61))}, None),
        ({"GeoFootprint": {"type": "Polygon", "coordinates": [[[1, float("nan")], [2, 3], [3, 1]]]}}, None),
    ],
)
def test_a_footprint_is_a_polygon_or_unknown(fields, footprint):
    (scene,) = find_in([product(**fields)]).scenes
    if footprint is None:
        assert scene.footprint is None
    else:
        assert scene.footprint.equals(footprint)


def test_a_footprint_that_crosses_itself_is_mended():
    bow_tie = {"type": "Polygon", "coordinates": [[[0, 40], [1, 41], [1, 40], [0, 41], [0, 40]]]}
    footprint = parse_footprint(bow_tie, None)
    assert footprint.is_valid
    assert footprint.area == pytest.approx(0.5)


def test_heights_in_a_footprint_are_dropped():
    ring = [[x, y, 100.0] for x, y in TILE_AREA.exterior.coords]
    footprint = parse_footprint({"type": "Polygon", "coordinates": [ring]}, None)
    assert footprint.equals(TILE_AREA)
    assert not footprint.has_z


# trouble


@pytest.mark.parametrize(
    "body",
    [b"<html><title>Maintenance</title></html>", b"", b'{"value": [', b"[" * 100_000, b"\xff\xfe\x00"],
)
def test_an_answer_that_is_not_json_is_permanent(body):
    with serving(lambda *_: (200, {}, body)) as server, pytest.raises(PermanentError, match="not send JSON"):
        find(server.url)


@pytest.mark.parametrize("body", [b"[]", b"null", b'{"value": {}}', b'{"detail": "no"}', b'"text"'])
def test_json_that_is_no_page_is_permanent(body):
    with (
        serving(lambda *_: (200, {}, body)) as server,
        pytest.raises(PermanentError, match="without a list of products"),
    ):
        find(server.url)


def test_a_page_of_html_in_the_middle_of_a_chain_is_no_end_of_it():
    def answer(server: Any, _: str) -> Answer:
        if len(server.paths) > 1:
            return 200, {"Content-Type": "text/html"}, b"<html></html>"
        page = {"value": [product()], "@odata.nextLink": f"{server.url}?$skiptoken=1"}
        return 200, {}, json.dumps(page).encode()

    with serving(answer) as server, pytest.raises(PermanentError, match="LANDPATCH_ODATA_URL"):
        find(server.url)


def test_a_catalogue_that_is_busy_is_asked_again():
    def answer(server: Any, _: str) -> Answer:
        if len(server.paths) == 1:
            return 429, {"Retry-After": "0"}, b"slow down"
        return 200, {}, json.dumps({"value": [product()]}).encode()

    with serving(answer) as server:
        assert len(find(server.url).scenes) == 1
    assert server.paths == [server.paths[0]] * 2


def test_a_catalogue_that_stays_busy_is_transient():
    with serving(lambda *_: (503, {}, b"")) as server, pytest.raises(TransientError, match="answered 503"):
        find(server.url)


def test_a_query_that_is_refused_is_permanent_and_says_why():
    body = json.dumps({"detail": [{"msg": "skip: ensure this value is at most 10000"}]}).encode()
    with (
        serving(lambda *_: (422, {}, body)) as server,
        pytest.raises(PermanentError, match=r"answered 422.*at most 10000"),
    ):
        find(server.url)


def test_the_check_at_the_start_tells_a_catalogue_from_something_else():
    with serving_pages([[product()]]) as server:
        check_catalogue(server.url, quick_session())
        assert parse_qs(urlsplit(server.paths[0]).query) == {"$top": ["1"]}
    for status, body in ((200, b"<html></html>"), (404, b"")):
        with (
            serving(lambda *_, answer=(status, {}, body): answer) as server,
            pytest.raises(ConfigurationError, match="LANDPATCH_ODATA_URL"),
        ):
            check_catalogue(server.url, quick_session())


# reprocessed acquisitions

FIRST_DAY = datetime(2021, 6, 1, 10, 50, 31, tzinfo=UTC)
catalogues = st.lists(
    st.fixed_dictionaries(
        {
            "platform": st.sampled_from(["S2A", "S2B"]),
            "sensed": st.integers(0, 2).map(lambda days: FIRST_DAY + timedelta(days=days)),
            "tile": st.sampled_from(["31UDQ", "31UEQ"]),
            "baseline": st.sampled_from(["0212", "0301", "0400", "0500", "0510"]),
            "last": st.sampled_from(["20210601T150000", "20230212T061204", "20230212T061205"]),
            "Online": st.booleans(),
        }
    ),
    max_size=25,
)


@given(catalogues, st.integers(1, 10))
def test_of_any_catalogue_each_acquisition_is_kept_in_its_highest_baseline_and_none_is_lost(facts, page_size):
    entries = [product(number, **fact) for number, fact in enumerate(facts)]
    pages = [entries[n : n + page_size] for n in range(0, len(entries), page_size)] or [[]]
    with serving_pages(pages) as server:
        findings = find(server.url)
    kept = {scene.id for scene in drop_reprocessed(findings.scenes)}

    expected = set()
    for entry, fact in zip(entries, facts, strict=True):
        rivals = [
            other["baseline"]
            for other in facts
            if other["Online"] and all(other[key] == fact[key] for key in ("platform", "sensed", "tile"))
        ]
        if fact["Online"] and fact["baseline"] == max(rivals):
            expected.add(entry["Id"])
    assert kept == expected
    assert findings.offline == sum(not fact["Online"] for fact in facts)
    assert findings.unusable == 0
