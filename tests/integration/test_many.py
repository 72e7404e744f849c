"""Many regions by one command: whole, resumable, with one view of how far they are."""

import json

import pandas as pd
import pytest

pytestmark = pytest.mark.stack

# Neighbours of Paris, in the same tile: the sandbox has their products in no time.
LISTED = "# around Paris\nFR101\nFR105  # Hauts-de-Seine\nFR106\n"


@pytest.fixture(scope="module")
def listed(tmp_path_factory):
    path = tmp_path_factory.mktemp("many") / "regions.txt"
    path.write_text(LISTED)
    return str(path)


@pytest.fixture(scope="module")
def built(stack, paris, listed):
    """Three regions, of which one is there already."""
    return stack.landpatch("region", "--file", listed, "--at-once", "2", "--json")


def test_every_region_is_built_and_summed_up(built):
    assert built.returncode == 0, built.stderr
    total = json.loads(built.stdout.splitlines()[-1])
    assert sorted(each["region"] for each in total["regions"]) == ["FR101", "FR105", "FR106"]
    assert total["failed"] == {}
    for name in ("patches", "images", "labels"):
        assert total[name] == sum(each[name] for each in total["regions"])
    for each in total["regions"]:
        assert len(pd.read_parquet(each["index"])) == each["images"] == each["patches"]


def test_what_is_seen_names_each_region_as_it_ends_and_the_sum_at_last(built):
    lines = built.stderr.splitlines()
    for nuts in ("FR101", "FR105", "FR106"):
        assert sum(line.startswith(f"{nuts}/2021 ") and "images" in line for line in lines) == 1
    assert any(line.startswith("regions 3/3, images ") for line in lines)
    assert lines[-1].startswith("3 regions: ")


def test_again_downloads_nothing(stack, built, listed):
    again = stack.landpatch("region", "--file", listed, "--json")
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout.splitlines()[-1])["bytes_downloaded"] == 0


def test_one_wrong_code_among_many_stops_before_anything_is_queued(stack, tmp_path):
    path = tmp_path / "regions.txt"
    path.write_text("BE100\nFR109\n")
    before = stack.redis.smembers("landpatch:regions")
    run = stack.landpatch("region", "--file", str(path))
    assert run.returncode == 2
    assert "'FR109'" in run.stderr.splitlines()[-1]
    assert stack.redis.smembers("landpatch:regions") == before


def test_all_of_europe_is_refused_on_the_sandbox(stack):
    run = stack.landpatch("region", "all")
    assert run.returncode == 2
    assert "the sandbox cannot make all of Europe" in run.stderr
