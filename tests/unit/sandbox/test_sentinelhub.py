"""Sentinel Hub as the sandbox has it: what is found, what is refused, what is counted."""

import pytest

from landpatch.quota import PROCESSING, Quota
from landpatch.sources.sentinelhub import write_request, write_script
from services.sandbox.process import read_order
from services.sandbox.sentinelhub import Meter
from services.sandbox.stac import RefusedError, search
from tests.unit.sandbox.test_odata import CLOUDS, PRODUCTS
from tests.unit.sentinelhub.test_rendered import BOUNDS, SCENE

COLLECTION = {"collections": ["sentinel-2-l2a"]}
YEAR = COLLECTION | {"datetime": "2021-01-01T00:00:00Z/2021-12-31T23:59:59Z", "bbox": [2.2, 48.8, 2.4, 48.9]}


def names(**query):
    return [feature["id"] for feature in search(YEAR | {"limit": 100} | query, PRODUCTS)["features"]]


def test_products_that_are_online_are_found_the_latest_first():
    online = sorted((entry for entry in PRODUCTS if entry["Online"]), key=lambda entry: entry["Name"])
    found = names()
    assert len(found) == len(online) == 8
    stamps = [name[11:26] for name in found]
    assert stamps == sorted(stamps, reverse=True)


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("eo:cloud_cover <= 12", lambda cloud: cloud <= 12),
        ("eo:cloud_cover < 12.0", lambda cloud: cloud < 12),
        ("eo:cloud_cover > 28", lambda cloud: cloud > 28),
        ("eo:cloud_cover>=3.5", lambda cloud: cloud >= 3.5),
        ("eo:cloud_cover = 15", lambda cloud: cloud == 15),
    ],
)
def test_the_cloud_cover_is_filtered_as_the_query_says(text, holds):
    expected = {
        entry["Name"]
        for entry, cloud in zip(PRODUCTS, CLOUDS, strict=True)
        if entry["Online"] and holds(cloud)
    }
    assert set(names(filter=text, **{"filter-lang": "cql2-text"})) == expected


def test_pages_follow_each_other_and_end():
    first = search(YEAR | {"limit": 3}, PRODUCTS)
    assert first["context"] == {"limit": 3, "returned": 3, "next": 3}
    last = search(YEAR | {"limit": 3, "next": 6}, PRODUCTS)
    assert last["context"] == {"limit": 3, "returned": 2}
    middle = search(YEAR | {"limit": 3, "next": 3}, PRODUCTS)
    listed = [feature["id"] for page in (first, middle, last) for feature in page["features"]]
    assert listed == names()


@pytest.mark.parametrize(
    "changed",
    [
        {"collections": ["sentinel-1-grd"]}, {"limit": 101}, {"limit": 0}, {"next": -1}, {"datetime": None},
        {"datetime": "yesterday"}, {"intersects": {"type": "Point"}}, {"bbox": [1, 2]},
        {"filter": "cloud <= 3"}, {"fields": {}},
    ],
)  # fmt: skip
def test_a_search_that_is_not_understood_is_refused(changed):
    with pytest.raises(RefusedError):
        search(YEAR | changed, PRODUCTS)


def damaged(**changed):
    order = write_request(SCENE, BOUNDS)
    for path, value in changed.items():
        *into, last = path.split("__")
        place = order
        for key in into:
            place = place[int(key) if key.isdigit() else key]
        place[last] = value
    return order


def test_a_request_to_render_is_understood():
    order = read_order(write_request(SCENE, BOUNDS))
    assert order.bounds == BOUNDS
    assert (order.width, order.height) == (500, 500)
    assert order.product == SCENE.name.removesuffix(".SAFE")
    assert (order.bands.kernel.name, order.classes.kernel.name) == ("bilinear", "nearest")
    assert not order.bands.harmonize
    assert order.units == pytest.approx(8.2652, rel=1e-4)


@pytest.mark.parametrize(
    "changed",
    [
        {"output__width": 2501}, {"output__height": 0}, {"input__bounds__bbox": [1, 2, 3]},
        {"input__bounds__bbox": [5, 0, 1, 9]}, {"input__bounds__properties": {"crs": "EPSG:4326"}},
        {"input__data__0__type": "sentinel-1-grd"}, {"input__data__0__id": "other"},
        {"input__data__1__processing": {"upsampling": "LANCZOS"}}, {"output__responses": []},
        {"evalscript": write_script(SCENE.name) + " "}, {"evalscript": "//VERSION=3"},
    ],
)  # fmt: skip
def test_a_request_that_is_not_understood_is_refused(changed):
    with pytest.raises(RefusedError):
        read_order(damaged(**changed))


def test_processing_units_are_counted_by_the_minute_and_in_all():
    meter = Meter(Quota(4, 10**9, 300, 500_000, PROCESSING))
    assert meter.spend(200) is None
    assert 59_000 < meter.spend(200) <= 60_001
    assert meter.spend(100) is None
    with pytest.raises(RefusedError) as refused:
        meter.spend(201)
    assert refused.value.status == 403
    assert refused.value.body["error"]["code"] == "ACCESS_INSUFFICIENT_PROCESSING_UNITS"
