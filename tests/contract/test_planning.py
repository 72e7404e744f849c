"""`landpatch plan` against a real store and catalogue and boundaries over HTTP; nothing is written."""

import json
from datetime import date

import pytest
from shapely.geometry import mapping

from landpatch.build import prepare_request
from landpatch.codec import encode_image
from landpatch.errors import InfrastructureError, RequestError
from landpatch.grid import lay_grid
from landpatch.layout import RegionLayout
from landpatch.planning import Planner
from landpatch.settings import Settings
from landpatch.sources.gisco import fetch_boundaries, pick_region
from landpatch.storage import S3Store, make_s3_client
from tests.contract.test_verify import TAGS, make_bands, make_label
from tests.http_server import Request, quick_session, serving
from tests.unit.test_coverage import scene

pytestmark = pytest.mark.stack

PREFIX = "planned"


def ask(nuts):
    return prepare_request(nuts, 2021, 2021, 30, "05-01", "09-30", "intersects", "best", date(2026, 1, 1))


def product(number, patches, cloud=0.0, baseline="N0512"):
    """A product over all patches, as the catalogue lists it."""
    from shapely import union_all

    from landpatch.grid import patch_boxes

    seen = scene("x", cloud, union_all(patch_boxes(patches)).envelope.buffer(5000), number)
    return {
        "Id": f"00000000-0000-0000-0000-{number:012d}",
        "Name": (name := seen.name.replace("N0510", baseline)),
        "S3Path": f"/eodata/Sentinel-2/{name}",
        "Online": True,
        "ContentLength": 600_000_000,
        "GeoFootprint": mapping(seen.footprint),
        "Attributes": [{"Name": "cloudCover", "Value": cloud}],
    }


@pytest.fixture
def store(s3):
    return S3Store(make_s3_client(s3.endpoint, s3.key, s3.secret), s3.bucket, s3.endpoint)


@pytest.fixture
def regions(data):
    boundaries = fetch_boundaries(str(data / "boundaries.geojson"), quick_session())
    return {nuts: lay_grid(pick_region(boundaries, nuts).boundary) for nuts in ("FR101", "BE100", "LU000")}


def planner(store, data, server):
    settings = Settings(
        _env_file=None,
        LANDPATCH_NUTS_URL=str(data / "boundaries.geojson"),
        LANDPATCH_ODATA_URL=server.url,
        LANDPATCH_PREFIX=PREFIX,
        LANDPATCH_SOURCE="sandbox",
    )
    return Planner(settings, store, quick_session())


def catalogue(products):
    def answer(request: Request) -> None:
        body = json.dumps({"value": products}).encode()
        request.send(200, body, Content_Length=str(len(body)))

    return serving(answer, "/odata/v1/Products")


def test_a_region_of_which_nothing_is_there_takes_all_its_patches(store, data, regions):
    patches = regions["FR101"]
    before = [entry.key for entry in store.find("")]
    with catalogue([product(1, patches), product(2, patches, 20)]) as server:
        ((request, made),) = planner(store, data, server).forecast([ask("FR101")])
    assert request.nuts == "FR101"
    assert (made.patches, made.images, made.labels, made.uncovered) == (28, 28, 28, 0)
    assert (made.products, made.rounds, made.label_requests) == (1, 1, 1)
    assert 0.01 < made.bytes / 600e6 < 0.15
    with catalogue([product(1, patches, baseline="N0511")]) as server:
        ((_, whole),) = planner(store, data, server).forecast([ask("FR101")])
    # Files that do not say where their tiles lie are fetched whole: some three quarters of a product.
    assert 0.7 < whole.bytes / 600e6 < 0.8
    assert whole.cpu_s == made.cpu_s
    assert [entry.key for entry in store.find("")] == before


def test_images_that_are_there_are_left_out(store, data, regions):
    patches, request = regions["FR101"], ask("FR101")
    layout = RegionLayout(PREFIX, "FR101", 2021)
    label = make_label(0)[5:255, 5:255]
    tags = TAGS | {"RECIPE": request.image_recipe("sandbox")}
    other = TAGS | {"RECIPE": "another recipe"}
    keys = [layout.image(patch.name) for patch in patches[:3]]
    try:
        for patch, key, given in zip(patches, keys, (tags, tags, other), strict=False):
            store.put(key, encode_image(make_bands(label), patch, given))
        with catalogue([product(1, patches)]) as server:
            ((_, made),) = planner(store, data, server).forecast([request])
    finally:
        for key in keys:
            store.delete(key)
    assert (made.patches, made.images) == (28, 26)


def test_the_catalogue_is_asked_once_a_country(store, data, regions):
    every = [patch for patches in regions.values() for patch in patches]
    with catalogue([product(1, every)]) as server:
        asked = [ask(nuts) for nuts in ("LU000", "FR101", "BE100")]
        made = {request.nuts: forecast for request, forecast in planner(store, data, server).forecast(asked)}
        assert len(server.asked) == 3
    assert {nuts: forecast.patches for nuts, forecast in made.items()} == {
        nuts: len(patches) for nuts, patches in regions.items()
    }


def test_a_region_that_there_is_not_is_a_wrong_request_that_names_the_near_ones(store, data):
    with catalogue([]) as server, pytest.raises(RequestError, match="FR101"):
        planner(store, data, server).check([ask("FR10Z")])


def test_a_region_that_no_product_covers_is_told_so(store, data):
    with catalogue([]) as server:
        ((_, made),) = planner(store, data, server).forecast([ask("FR101")])
    assert (made.images, made.uncovered, made.products, made.bytes) == (0, 28, 0, 0)


def test_a_catalogue_that_is_down_is_a_failure_of_the_infrastructure(store, data):
    with serving(lambda request: request.send(503)) as server, pytest.raises(InfrastructureError):
        list(planner(store, data, server).forecast([ask("FR101")]))
