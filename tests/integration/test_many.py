"""Many regions by one command: whole, resumable, with one view of how far they are."""

import json

import pandas as pd
import pytest

from tests.boundaries import write_boundaries
from tests.integration.conftest import stack_running
from tests.sandbox_products import take_products

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
def many(tmp_path_factory, data):
    """A stack whose boundaries are three small regions out of Paris, and every setting to use it with."""
    state = tmp_path_factory.mktemp("many")
    boundaries = state / "boundaries.geojson"
    write_boundaries(data / "boundaries.geojson", boundaries, 3)
    take_products("FR101", state / "sandbox")
    with stack_running(state, LANDPATCH_NUTS_URL=str(boundaries)) as stack:
        # With every setting spelled out the sandbox is not asked for products of regions it does not know.
        yield stack, stack.settings() | {"LANDPATCH_NUTS_URL": str(boundaries)}


@pytest.fixture(scope="module")
def listed(tmp_path_factory):
    path = tmp_path_factory.mktemp("listed") / "regions.txt"
    path.write_text("# out of Paris\nFRX00\nfrx01  # the second\n\nFRX02\n")
    return str(path)


@pytest.fixture(scope="module")
def built(many, listed):
    """Three regions, of which one is there already."""
    stack, settings = many
    assert stack.landpatch("region", "FRX01", **settings).returncode == 0
    return stack.landpatch("region", "--file", listed, "--at-once", "2", "--json", **settings)


def test_every_region_is_built_and_summed_up(built):
    assert built.returncode == 0, built.stderr
    total = json.loads(built.stdout.splitlines()[-1])
    assert sorted(each["region"] for each in total["regions"]) == ["FRX00", "FRX01", "FRX02"]
    assert total["failed"] == {}
    for name in ("patches", "images", "labels"):
        assert total[name] == sum(each[name] for each in total["regions"])
    for each in total["regions"]:
        assert len(pd.read_parquet(each["index"])) == each["images"] == each["patches"]


def test_what_is_seen_names_each_region_as_it_ends_and_the_sum_at_last(built):
    lines = built.stderr.splitlines()
    for nuts in ("FRX00", "FRX01", "FRX02"):
        assert sum(line.startswith(f"{nuts}/2021 ") and "images" in line for line in lines) == 1
    assert any(line.startswith("regions 3/3, images ") for line in lines)
    assert lines[-1].startswith("3 regions: ")


def test_again_downloads_nothing(many, built, listed):
    stack, settings = many
    again = stack.landpatch("region", "--file", listed, "--json", **settings)
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout.splitlines()[-1])["bytes_downloaded"] == 0


def test_one_wrong_code_among_many_stops_before_anything_is_queued(many, tmp_path):
    stack, settings = many
    path = tmp_path / "regions.txt"
    path.write_text("FRX00\nFRX09\n")
    before = stack.redis.hgetall("landpatch:{FRX00/2021}:run")
    run = stack.landpatch("region", "--file", str(path), **settings)
    assert run.returncode == 2
    assert "'FRX09'" in run.stderr.splitlines()[-1]
    assert stack.redis.hgetall("landpatch:{FRX00/2021}:run") == before


def test_all_is_every_region_of_the_boundaries(many, built):
    stack, settings = many
    run = stack.landpatch("region", "all", "--json", **settings)
    assert run.returncode == 0, run.stderr
    total = json.loads(run.stdout.splitlines()[-1])
    assert sorted(each["region"] for each in total["regions"]) == ["FRX00", "FRX01", "FRX02"]


def test_all_of_europe_is_refused_where_the_sandbox_would_have_to_make_it(many):
    stack, _ = many
    run = stack.landpatch("region", "all", LANDPATCH_NUTS_URL=str(stack.state / "boundaries.geojson"))
    assert run.returncode == 2
    assert "the sandbox cannot make all of Europe" in run.stderr
