"""What is built, as `landpatch regions` and `landpatch locate` find it in a real store."""

import json
from contextlib import contextmanager
from dataclasses import asdict

import pytest
from click.testing import CliRunner

from landpatch.cli import main
from landpatch.commands.locate import describe_location
from landpatch.commands.regions import describe_regions
from landpatch.grid import lay_grid, to_lonlat
from landpatch.index import PatchRow, build_patches
from landpatch.layout import RegionLayout
from landpatch.ledger import open_ledger
from landpatch.place import Built, locate
from landpatch.records import Outcome
from landpatch.regions import list_regions
from landpatch.settings import Settings
from landpatch.sources.gisco import fetch_boundaries, pick_region
from landpatch.sources.http import make_session
from landpatch.storage import open_store
from tests.contract.conftest import S3Server
from tests.contract.test_verify import make_bands, make_label, make_row
from tests.contract.watched import begin

pytestmark = pytest.mark.stack

AWAY = "http://127.0.0.1:1"


@pytest.fixture
def settings(s3: S3Server, redis_url, redis_client, data):
    return Settings(
        _env_file=None,
        LANDPATCH_REDIS_URL=redis_url,
        LANDPATCH_NUTS_URL=str(data / "boundaries.geojson"),
        LANDPATCH_TRAINING_SET_URL=AWAY,
        AWS_S3_ENDPOINT=s3.endpoint,
        AWS_ACCESS_KEY_ID=s3.key,
        AWS_SECRET_ACCESS_KEY=s3.secret,
        LANDPATCH_BUCKET=s3.bucket,
        LANDPATCH_PREFIX="regions",
    )


@pytest.fixture
def paris(settings):
    """Names of the patches of FR101."""
    boundary = pick_region(fetch_boundaries(settings.nuts_url, make_session()), "FR101").boundary
    return [patch.name for patch in lay_grid(boundary)]


@contextmanager
def built(settings, names, year):
    """An index of FR101: the first patch with its label, the second without, the others missing."""
    store, layout = open_store(settings), RegionLayout("regions", "FR101", year)
    classes = make_label(1)[:250, :250]
    whole, _ = make_row(names[0], make_bands(classes), classes)
    bare, _ = make_row(names[1], make_bands(classes), classes)
    rows = [
        whole,
        PatchRow(bare.patch, "partial", "", bare.image, None, "no label there"),
        *(PatchRow(name, "missing", "no product shows it", None, None, "") for name in names[2:]),
    ]
    store.put(layout.patches, build_patches(rows))
    try:
        yield store
    finally:
        store.delete(layout.patches)


def middle(name):
    xmin, ymin = map(int, name.split("_")[:2])
    return dict(zip(("lon", "lat"), to_lonlat().transform(xmin + 1250, ymin + 1250), strict=True))


def test_each_year_in_which_a_patch_is_built_is_told(settings, paris):
    layout = RegionLayout("regions", "FR101", 2021)
    with built(settings, paris, 2018) as store, built(settings, paris[::-1], 2021):
        url = store.url(layout.image(paris[0])).replace("/2021/", "/2018/")
        assert locate(**middle(paris[0]), settings=settings).built == (
            Built(2018, "complete", True, url),
            Built(2021, "missing", False, ""),
        )
        second = locate(**middle(paris[1]), settings=settings).built
        assert [(each.state, each.label, bool(each.image)) for each in second] == [
            ("partial", False, True), ("missing", False, False)
        ]  # fmt: skip


def test_a_region_that_is_built_with_other_cells_tells_so(settings, paris):
    with built(settings, paris[:5], 2021):
        found = locate(**middle(paris[20]), settings=settings)
    assert found.built == (Built(2021, "", False, ""),)
    assert "2021  the region, without this patch" in describe_location(found)


def test_what_is_not_built_says_how_to(settings, paris):
    found = locate(**middle(paris[0]), settings=settings)
    assert found.built == ()
    assert "not yet: landpatch region FR101" in describe_location(found)


def test_an_index_that_is_broken_counts_for_nothing(settings, paris):
    store, key = open_store(settings), RegionLayout("regions", "FR101", 2021).patches
    store.put(key, b"no parquet")
    try:
        assert locate(**middle(paris[0]), settings=settings).built == (Built(2021, "", False, ""),)
        assert list_regions(public=False, settings=settings).built == ()
    finally:
        store.delete(key)


def test_regions_are_listed_with_what_is_there_of_them(settings, paris):
    store = open_store(settings)
    store.put("regions/images/not-a-region/2021/x", b"")
    store.put("regions/images/FR101/observations/x", b"")
    with built(settings, paris, 2018), built(settings, paris[:3], 2021):
        found = list_regions(public=False, settings=settings)
        only = list_regions(["LU000"], public=False, settings=settings)
    assert [
        (each.year, each.patches, each.complete, each.partial, each.missing, each.failed, each.labels)
        for each in found.built
    ] == [(2018, 28, 1, 1, 26, 0, 1), (2021, 3, 1, 1, 1, 0, 1)]
    assert {each.region for each in found.built} == {"FR101"}
    assert only.built == ()
    text = describe_regions(found, patches=True)
    assert "FR101 2018  28 patches: 1 complete, 1 partial, 26 missing; 1 labels" in text
    assert f"{paris[2]}  missing, without a label: no product shows it" in text


def test_a_region_that_is_being_built_is_listed(settings):
    run = begin(open_ledger(settings), settings.nuts_url, "FR101", 10)
    run.ledger.record(run.key, run.run, "images", {run.names[0]: Outcome("complete")})
    found = list_regions(public=False, settings=settings)
    assert "FR101 2021  cutting, images 1 of 28, labels 0 of 28" in describe_regions(found)
    assert list_regions(["BE100"], public=False, settings=settings).under_way == ()


def test_a_public_training_set_that_is_away_is_said_to_be(settings):
    found = list_regions(["LU000", "MT001"], settings=settings)
    assert {(each.region, each.year) for each in found.public.regions} == {
        (region, year) for region in ("LU000", "MT001") for year in (2018, 2021, 2024)
    }
    text = describe_regions(found)
    assert "NOT CHECKED: the public training set (LANDPATCH_TRAINING_SET_URL) cannot be reached" in text
    assert "LU000  2018, 2021, 2024" in text


def test_without_a_store_nobody_knows_what_is_built(settings):
    bare = settings.model_copy(update={"store_access_key": None, "redis_url": None})
    assert list_regions(public=False, settings=bare).built is None
    assert "not known: no destination store is set" in describe_regions(
        list_regions(public=False, settings=bare)
    )


@pytest.fixture
def command(settings, monkeypatch, s3, tmp_path):
    """The command line, with every setting spelled out."""
    for name, value in {
        "LANDPATCH_REDIS_URL": settings.redis_url.get_secret_value(),
        "LANDPATCH_NUTS_URL": settings.nuts_url,
        "LANDPATCH_TRAINING_SET_URL": AWAY,
        "LANDPATCH_NOMINATIM_URL": f"{AWAY}/search",
        "LANDPATCH_CACHE_DIR": str(tmp_path),
        "AWS_S3_ENDPOINT": s3.endpoint,
        "AWS_ACCESS_KEY_ID": s3.key.get_secret_value(),
        "AWS_SECRET_ACCESS_KEY": s3.secret.get_secret_value(),
        "LANDPATCH_BUCKET": s3.bucket,
        "LANDPATCH_PREFIX": "regions",
        "EO_S3_ACCESS_KEY_ID": "an-account",
        "EO_S3_SECRET_ACCESS_KEY": "a-secret",
    }.items():
        monkeypatch.setenv(name, value)
    return lambda *words: CliRunner().invoke(main, words)


def test_the_last_line_is_json_for_machines(command, settings, paris):
    point = middle(paris[0])
    with built(settings, paris, 2021):
        place = command("locate", "--lon", str(point["lon"]), "--lat", str(point["lat"]), "--json")
        listed = command("regions", "FR101", "--json")
        patches = command("regions", "FR101", "--no-public", "--patches", "--json")
    found = json.loads(place.stdout.splitlines()[-1])
    assert (found["region"], found["patch"], found["built"][0]["year"]) == ("FR101", paris[0], 2021)
    assert found == json.loads(json.dumps(asdict(locate(**point, settings=settings)))) | {
        "built": found["built"]
    }
    told = json.loads(listed.stdout.splitlines()[-1])
    assert (told["built"][0]["patches"], told["public"]["url"]) == (28, AWAY)
    assert "states" not in told["built"][0]
    told = json.loads(patches.stdout.splitlines()[-1])
    assert [each["patch"] for each in told["built"][0]["states"]] == sorted(paris)
    assert told["public"] is None


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["locate"], 2, "name a place, or give --lon and --lat"),
        (["locate", "x", "--lon", "1", "--lat", "2"], 2, "name a place, or give --lon and --lat"),
        (["locate", "--lon", "200", "--lat", "2"], 2, "from -180 to 180"),
        (["locate", "--lon", "-74", "--lat", "40.7"], 2, "in none of the NUTS3 regions"),
        (["locate", "Paris"], 1, "the geocoder (LANDPATCH_NOMINATIM_URL) cannot be reached"),
        (["regions", "XX"], 2, "'XX' is not a NUTS3 code"),
        (["region"], 2, "which regions? Name them"),
        (["region", "FR101", "--city", "Paris"], 2, "not both"),
        (["region", "--city", "Paris"], 1, "the geocoder (LANDPATCH_NOMINATIM_URL) cannot be reached"),
        (["region", "--city", " "], 2, "a name or an address"),
        (["region", "--city", "Paris", "--year", "1999"], 2, "from 2015"),
    ],
)
def test_what_is_wrong_is_one_line(command, redis_client, words, code, says):
    ran = command(*words)
    assert (ran.exit_code, ran.stdout, len(ran.stderr.splitlines())) == (code, "", 1), ran.output
    assert says in ran.stderr
    assert redis_client.keys() == []
