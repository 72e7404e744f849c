"""The catalogue's query language."""

from urllib.parse import parse_qsl, urlsplit

import pytest

from services.sandbox.catalogue import describe_product
from services.sandbox.odata import BadQueryError, answer, parse_filter, parse_query
from services.sandbox.scenes import load_tiles, plan_scenes

URL = "http://127.0.0.1:1/odata/v1/Products"
TILE = next(tile for tile in load_tiles() if tile.id == "31UDQ")
SCENES = plan_scenes(TILE, 2021)
CLOUDS = (3.5, 8.0, 10.0, 15.0, 15.0, 12.0, 12.5, 28.0, 65.0)
PRODUCTS = [
    describe_product(scene, cover, 1000, b"manifest") for scene, cover in zip(SCENES, CLOUDS, strict=True)
]
PRODUCT_TYPE = (
    "Attributes/OData.CSC.StringAttribute/any(att:att/Name eq 'productType' and "
    "att/OData.CSC.StringAttribute/Value eq 'S2MSI2A')"
)


def _cloud(compare, value):
    return (
        "Attributes/OData.CSC.DoubleAttribute/any(att:att/Name eq 'cloudCover' and "
        f"att/OData.CSC.DoubleAttribute/Value {compare} {value})"
    )


def _count(text):
    matches = parse_filter(text)
    return sum(matches(product) for product in PRODUCTS)


def _ask(**options):
    parameters = {f"${name}": value for name, value in options.items()}
    return answer(parse_query(parameters), PRODUCTS, URL, parameters)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("Collection/Name eq 'SENTINEL-2'", 9),
        ("Collection/Name eq 'SENTINEL-1'", 0),
        (PRODUCT_TYPE, 9),
        (PRODUCT_TYPE.replace("S2MSI2A", "S2MSI1C"), 0),
        (_cloud("le", "12.00"), 4),
        (_cloud("lt", "12.00"), 3),
        (_cloud("gt", "28"), 1),
        (_cloud("ge", "28"), 2),
        ("Online eq false", 1),
        ("not Online eq true", 1),
        ("ContentDate/Start ge 2021-09-01T00:00:00.000Z", 1),
        ("ContentDate/Start lt 2021-06-01T00:00:00Z or ContentDate/Start gt 2021-09-01T00:00:00.000000Z", 2),
        ("contains(Name,'N0510')", 2),
        ("startswith(Name,'S2') and contains(Name,'_N0510_')", 2),
        (f"Name eq '{SCENES[0].name}'", 1),
        ("OData.CSC.Intersects(area=geography'SRID=4326;POINT(2.2 48.85)')", 8),
        ("OData.CSC.Intersects(area=geography'SRID=4326;POINT(2.9 48.85)')", 7),
        ("OData.CSC.Intersects(area=geography'SRID=4326;POLYGON((10 50,11 50,11 51,10 51,10 50))')", 0),
        (
            "OData.CSC.Intersects(area=geography'SRID=4326;MULTIPOLYGON(((10 50,11 50,11 51,10 50)),"
            "((2.3 48.8,2.4 48.8,2.4 48.9,2.3 48.8)))')",
            9,
        ),
        (f"({_cloud('lt', 5)} or {_cloud('gt', 60)}) and Online eq true", 2),
    ],
)
def test_a_filter_finds_what_it_says(text, count):
    assert _count(text) == count


@pytest.mark.parametrize(
    "text",
    [
        "cloudCover le 30",
        "Collection/Name eq SENTINEL-2",
        "Online eq true and",
        "ContentDate/Start ge 2021-13-01T00:00:00Z",
        "OData.CSC.Intersects(area=geography'SRID=4326;POLYGON((1 2,3 4))')",
        PRODUCT_TYPE.replace("att/Name", "other/Name"),
    ],
)
def test_a_filter_that_is_not_understood_is_refused(text):
    with pytest.raises(BadQueryError) as refused:
        parse_filter(text)
    assert refused.value.status == 400
    assert "message" in refused.value.detail


def test_attributes_come_only_when_asked_for():
    assert all("Attributes" not in product for product in _ask()["value"])
    names = {attribute["Name"] for attribute in _ask(expand="Attributes")["value"][0]["Attributes"]}
    assert names >= {"cloudCover", "productType", "tileId", "processorVersion", "relativeOrbitNumber"}


def test_pages_follow_each_other_to_the_end():
    seen, page = [], _ask(top="4", orderby="ContentDate/Start desc", count="true")
    assert page["@odata.count"] == 9
    while True:
        seen += [product["Name"] for product in page["value"]]
        if "@odata.nextLink" not in page:
            break
        query = dict(parse_qsl(urlsplit(page["@odata.nextLink"]).query))
        page = answer(parse_query(query), PRODUCTS, URL, query)
    starts = [name[11:26] for name in seen]
    assert len(set(seen)) == 9
    assert starts == sorted(starts, reverse=True)


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({"top": "1001"}, 422),
        ({"top": "many"}, 422),
        ({"skip": "10001"}, 422),
        ({"skip": "-1"}, 422),
        ({"orderby": "Name asc"}, 400),
        ({"select": "Name"}, 400),
        ({"expand": "Everything"}, 400),
    ],
)
def test_an_option_out_of_bounds_is_refused(options, status):
    with pytest.raises(BadQueryError) as refused:
        _ask(**options)
    assert refused.value.status == status
    assert isinstance(refused.value.detail, list if status == 422 else dict)
