"""From a point to its region and patch, against the genuine boundaries of all of Europe."""

import gzip
import json
import subprocess
import sys

import pytest
import shapely

import landpatch
from landpatch.errors import InfrastructureError, RequestError
from landpatch.grid import from_lonlat, lay_grid, to_lonlat
from landpatch.patch import parse_patch
from landpatch.place import find_region_of, locate
from landpatch.settings import Settings
from landpatch.sources.gisco import fetch_boundaries, find_regions, pick_region
from landpatch.sources.http import make_session
from services.sandbox.landscape import NUTS_FILE
from tests.http_server import serving

WEICKER = (6.1695145, 49.6335945)


@pytest.fixture(scope="module")
def nuts_file(tmp_path_factory):
    """The boundaries of all regions."""
    path = tmp_path_factory.mktemp("nuts") / "nuts.geojson"
    path.write_bytes(gzip.decompress(NUTS_FILE.read_bytes()))
    return path


@pytest.fixture(scope="module")
def boundaries(nuts_file):
    return fetch_boundaries(str(nuts_file), make_session())


@pytest.fixture
def settings(nuts_file, tmp_path):
    """No store, no Redis; a geocoder that knows the address of the course."""
    found = [
        {"lat": str(WEICKER[1]), "lon": str(WEICKER[0]), "display_name": "5, Rue Weicker", "licence": "©"}
    ]
    with serving(lambda request: request.send(200, json.dumps(found).encode()), "/search") as server:
        yield Settings(
            _env_file=None,
            LANDPATCH_NUTS_URL=str(nuts_file),
            LANDPATCH_NOMINATIM_URL=server.url,
            LANDPATCH_CACHE_DIR=tmp_path / "cache",
        )


def at(lon, lat, settings):
    return locate(lon=lon, lat=lat, settings=settings)


def test_the_address_of_the_course_lies_where_the_course_says(settings):
    found = locate("5, rue Alphonse Weicker Luxembourg", settings=settings)
    assert (found.lon, found.lat, found.name, found.credit) == (*WEICKER, "5, Rue Weicker", "©")
    assert (found.region, found.region_name) == ("LU000", "Luxembourg")
    assert (round(found.x), round(found.y)) == (4044386, 2953974)
    assert found.bounds == (4042500, 2952500, 4045000, 2955000)
    assert found.off_region_m == 0
    assert found.built is None, "no store is set, so nobody knows"


def test_the_patch_is_the_one_of_the_regions_own_grid(settings, boundaries):
    found = locate("anything", settings=settings)
    patches = {patch.name for patch in lay_grid(pick_region(boundaries, "LU000").boundary)}
    assert found.patch in patches
    assert parse_patch(found.patch).bounds == found.bounds


@pytest.mark.parametrize("nuts", ["FR101", "MT001", "FI1D7", "PT16I", "CY000", "NO0B1"])
def test_the_middle_of_each_patch_lies_in_it(settings, boundaries, nuts):
    patches = lay_grid(pick_region(boundaries, nuts).boundary, "within")
    for patch in patches[:: max(1, len(patches) // 2)]:
        lon, lat = to_lonlat().transform(patch.xmin + 1250, patch.ymin + 1250)
        found = at(lon, lat, settings)
        assert (found.region, found.patch) == (nuts, patch.name)
        assert found.neighbours == ()
        west, south, east, north = found.bounds_lonlat
        assert west < lon < east
        assert south < lat < north


def test_a_cell_on_a_border_names_the_other_regions_it_belongs_to(settings, boundaries):
    paris, beside = (pick_region(boundaries, nuts).boundary for nuts in ("FR101", "FR105"))
    shared = next(
        patch for patch in lay_grid(paris) if shapely.box(*patch.bounds).intersection(beside).area > 1e5
    )
    inside = shapely.box(*shared.bounds).intersection(paris).representative_point()
    found = at(*to_lonlat().transform(inside.x, inside.y), settings)
    assert (found.region, found.patch) == ("FR101", shared.name)
    assert "FR105" in found.neighbours


def test_a_point_just_off_the_coast_is_of_the_nearest_region_and_that_is_said(settings):
    # In the sea off Valletta, some hundred metres from the simplified boundary.
    found = at(14.53, 35.905, settings)
    assert found.region == "MT001"
    assert 0 < found.off_region_m < 3000


@pytest.mark.parametrize(
    ("lon", "lat"),
    [(-74.006, 40.713), (14.6, 34.9), (0, 90), (180, 0), (-180, -90), (55.45, -20.88)],
    ids=["New York", "sea", "pole", "antimeridian", "south pole", "La Réunion"],
)
def test_a_point_in_no_region_is_a_wrong_request(settings, lon, lat):
    with pytest.raises(RequestError, match="in none of the NUTS3 regions"):
        at(lon, lat, settings)


@pytest.mark.parametrize(
    ("place", "lon", "lat"),
    [(None, None, None), (None, 6.1, None), (None, None, 49.6), ("x", 6.1, 49.6), ("x", None, 49.6)],
)
def test_one_of_name_and_point_is_asked_for(settings, place, lon, lat):
    with pytest.raises(RequestError, match="--lon and --lat"):
        locate(place, lon=lon, lat=lat, settings=settings)


@pytest.mark.parametrize(("lon", "lat"), [(181, 0), (0, -91), (float("nan"), 0), (0, float("inf"))])
def test_what_is_no_point_is_a_wrong_request(settings, lon, lat):
    with pytest.raises(RequestError, match="from -180 to 180"):
        at(lon, lat, settings)


def test_a_geocoder_that_is_away_is_the_infrastructures_fault(settings):
    away = settings.model_copy(update={"nominatim_url": "http://127.0.0.1:1/search"})
    with pytest.raises(InfrastructureError, match="LANDPATCH_NOMINATIM_URL"):
        locate("somewhere", settings=away)
    with pytest.raises(InfrastructureError, match="LANDPATCH_NOMINATIM_URL"):
        find_region_of("somewhere", away)


def test_the_region_of_a_city_is_that_of_its_point(settings):
    assert find_region_of("Luxembourg", settings).nuts == "LU000"


def test_the_regions_that_touch_a_rectangle_are_those_a_look_at_all_of_them_finds(boundaries):
    x, y = from_lonlat().transform(*WEICKER)
    box = (x - 40_000, y - 40_000, x + 40_000, y + 40_000)
    found = [region.nuts for region in find_regions(boundaries, box)]
    wanted = shapely.box(*box)
    expected = [
        nuts
        for nuts, feature in sorted(boundaries.items())
        if shapely.from_geojson(json.dumps(feature["geometry"])).intersects(wanted)
    ]
    assert found == expected
    assert len(found) > 3


def test_features_that_are_broken_are_in_no_rectangle(boundaries):
    broken = {
        "LU000": boundaries["LU000"],
        "XX001": {"geometry": None},
        "XX002": {},
        "XX003": {"geometry": {"type": "Polygon", "coordinates": [[["a", 1]]]}},
        "XX004": {"geometry": {"type": "Polygon", "coordinates": []}},
        "XX005": {"geometry": {"type": "MultiPolygon", "coordinates": [[]]}},
        "XX006": {"geometry": {"type": "Point", "coordinates": [4044386, 2953974]}},
    }
    x, y = from_lonlat().transform(*WEICKER)
    assert [region.nuts for region in find_regions(broken, (x, y, x, y))] == ["LU000"]


def test_the_calls_of_the_package_are_those_of_its_modules_and_cost_nothing_until_they_are_made():
    assert landpatch.locate is locate
    assert {"locate", "list_regions"} <= set(dir(landpatch))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        landpatch.nothing  # noqa: B018
    code = "import sys, landpatch; print([name for name in sys.modules if name.startswith('landpatch.')])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
