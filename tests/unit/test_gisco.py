"""Boundaries: from a path or over HTTP, and only polygons in metres of EPSG:3035."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import requests
from shapely.geometry import MultiPolygon, Polygon, box, mapping, shape

from landpatch.errors import PermanentError, RequestError, TransientError
from landpatch.sources.gisco import fetch_boundaries, pick_region
from landpatch.sources.http import make_session
from tests import http_server

SQUARE = box(3_750_000, 2_880_000, 3_760_000, 2_890_000)


@contextmanager
def serving(answer: Callable[[str], tuple[int, bytes]]) -> Iterator[str]:
    """The address of a real server on this machine; `answer` decides what it says."""
    with http_server.serving(lambda request: request.send(*answer(request.path))) as server:
        yield server.base


@pytest.fixture
def session() -> requests.Session:
    return make_session()


def feature(geometry: object, nuts: str = "FR101", **properties: str) -> dict:
    return {
        "type": "Feature",
        "id": nuts,
        "properties": {"NUTS_ID": nuts, "LEVL_CODE": 3} | properties,
        "geometry": geometry,
    }


def region_of(geometry: object):
    return pick_region({"FR101": feature(geometry, NAME_LATN="Paris")}, "FR101")


def test_the_same_file_gives_the_same_boundaries_by_path_by_file_url_and_by_http(data, session):
    path = data / "boundaries.geojson"
    by_path = fetch_boundaries(str(path), session)
    assert set(by_path) >= {"FR101", "BE100", "LU000"}
    assert fetch_boundaries(path.as_uri(), session) == by_path
    files = {"/nuts/NUTS.geojson": path.read_bytes()}
    with serving(lambda asked: (200, files[asked])) as url:
        assert fetch_boundaries(f"{url}/nuts/NUTS.geojson", session) == by_path


def test_a_genuine_region_has_its_name_and_its_polygon(data, session):
    path = data / "boundaries.geojson"
    region = pick_region(fetch_boundaries(str(path), session), "FR101")
    (genuine,) = [f for f in json.loads(path.read_text())["features"] if f["id"] == "FR101"]
    assert (region.nuts, region.name) == ("FR101", "Paris")
    assert region.boundary.equals(shape(genuine["geometry"]))
    assert region.boundary.area == pytest.approx(105e6, rel=0.05)  # the city has 105 km²; a coarse boundary


def test_a_file_that_is_not_there_may_be_there_later(tmp_path, session):
    with pytest.raises(TransientError, match="LANDPATCH_NUTS_URL"):
        fetch_boundaries(str(tmp_path / "absent.geojson"), session)


def test_a_service_without_the_file_is_permanent(session):
    with serving(lambda _: (404, b"")) as url, pytest.raises(PermanentError, match="answered 404"):
        fetch_boundaries(f"{url}/x", session)


@pytest.mark.parametrize(
    "content",
    [
        b"<html></html>",
        b"",
        b"[]",
        b"17",
        b"{}",
        b'{"features": 17}',
        b'{"features": [17]}',
        b'{"features": [{"type": "Feature"}]}',
        b'{"type": "FeatureCollection", "features": [{"id": "FR101"',
        b"\xff\xfe",
        b"[" * 100_000,
    ],
)
def test_a_file_that_is_no_feature_collection_is_permanent(tmp_path, session, content):
    path = tmp_path / "x.geojson"
    path.write_bytes(content)
    with pytest.raises(PermanentError, match=r"LANDPATCH_NUTS_URL.*not send a GeoJSON FeatureCollection"):
        fetch_boundaries(str(path), session)


CODES = ("FR101", "FR102", "FRJ27", "BE100", "LU000", "MT001")


@pytest.mark.parametrize(
    ("wrong", "near"), [("FR103", {"FR101", "FR102"}), ("LU001", {"LU000"}), ("FRJ72", {"FRJ27"})]
)
def test_an_unknown_code_is_a_wrong_request_that_names_near_codes(wrong, near):
    boundaries = {code: feature(mapping(SQUARE), code) for code in CODES}
    with pytest.raises(RequestError) as unknown:
        pick_region(boundaries, wrong)
    told, _, hint = str(unknown.value).partition("; near are ")
    assert told == f"no NUTS3 region '{wrong}' in the 2021 boundaries"
    assert set(hint.split(", ")) == near


def test_an_unknown_code_that_is_near_to_none_names_none():
    with pytest.raises(RequestError, match=r"boundaries$"):
        pick_region({"FR101": feature(mapping(SQUARE))}, "XX999")


@pytest.mark.parametrize(
    "geometry",
    [
        None,
        {},
        17,
        "POLYGON",
        {"type": "Polygon"},
        {"type": "Polygon", "coordinates": "x"},
        {"type": "Polygon", "coordinates": []},
        {"type": "Polygon", "coordinates": [[]]},
        {"type": "Polygon", "coordinates": [[[1, 2], [3, 4]]]},
        {"type": "Polygon", "coordinates": [[[1, 2], [3, None], [5, 6], [1, 2]]]},
        {"type": "MultiPolygon", "coordinates": [[[1, 2]]]},
        {"type": "Blob", "coordinates": [[[1, 2]]]},
        {"type": "GeometryCollection", "geometries": []},
        mapping(SQUARE.exterior),
        mapping(SQUARE.centroid),
        mapping(Polygon([(3e6, 3e6), (3.1e6, 3e6), (3.2e6, 3e6)])),
    ],
)
def test_a_geometry_that_is_no_polygon_is_permanent_and_names_the_region(geometry):
    with pytest.raises(PermanentError, match=r"^the boundary of FR101 (cannot be read|is no polygon)$"):
        region_of(geometry)


@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_coordinate_that_is_no_number_is_permanent(value):
    ring = [[3e6, 3e6], [3.1e6, 3e6], [value, 3.1e6], [3e6, 3e6]]
    with pytest.raises(PermanentError, match="the boundary of FR101"):
        region_of({"type": "Polygon", "coordinates": [ring]})


@pytest.mark.parametrize(
    "polygon",
    [
        box(2.2, 48.8, 2.4, 48.9).buffer(1),  # degrees
        box(-5.1, 41.3, 9.6, 51.1),  # degrees, west of Greenwich
        box(-400_000, 6_000_000, -390_000, 6_010_000),  # metres of Web Mercator
        box(250_000, 6_240_000, 260_000, 8_250_000),
    ],
)
def test_a_polygon_that_is_not_in_metres_of_epsg_3035_is_refused(polygon):
    with pytest.raises(PermanentError, match="not in EPSG:3035 metres"):
        region_of(mapping(polygon))


def test_a_polygon_that_crosses_itself_is_mended():
    x, y = 3_750_000, 2_880_000
    bow_tie = Polygon([(x, y), (x + 100, y + 100), (x + 100, y), (x, y + 100)])
    boundary = region_of(mapping(bow_tie)).boundary
    assert boundary.is_valid
    assert boundary.area == pytest.approx(5000)


def test_a_region_of_several_parts_keeps_them():
    parts = MultiPolygon([SQUARE, box(3_800_000, 2_880_000, 3_801_000, 2_881_000)])
    assert region_of(mapping(parts)).boundary.equals(parts)


@pytest.mark.parametrize("properties", [None, [], {}, "Paris"])
def test_a_region_without_a_name_is_called_by_its_code(properties):
    nameless = feature(mapping(SQUARE)) | {"properties": properties}
    assert pick_region({"FR101": nameless}, "FR101").name == "FR101"
