"""Many regions on a real Redis: so many at once, each to its end, and on from where it was left."""

import json
from datetime import date

import pytest
from pydantic import SecretStr

from landpatch.batch import Batch
from landpatch.build import Building
from landpatch.errors import InfrastructureError
from landpatch.ledger import Ledger, open_ledger
from landpatch.messages import RegionRequest
from landpatch.settings import Settings

pytestmark = pytest.mark.stack

RESULT = {
    "region": "", "year": 2021, "patches": 4, "images": 4, "labels": 4, "complete": 4, "partial": 0,
    "missing": [], "products": [], "bytes_downloaded": 10, "requests": 2, "index": "s3://",
}  # fmt: skip


def ask(nuts: str, **fields: object) -> RegionRequest:
    days = {"start": date(2021, 5, 1), "end": date(2021, 9, 30)}
    return RegionRequest(**({"nuts": nuts, "year": 2021} | days | fields))


@pytest.fixture
def building(redis_url, redis_client, monkeypatch):
    monkeypatch.setenv("LANDPATCH_REDIS_URL", redis_url)
    settings = Settings(LANDPATCH_REDIS_URL=SecretStr(redis_url))
    return Building(settings, open_ledger(settings))


def end(ledger: Ledger, nuts: str) -> None:
    """What the indexer does at the end of a region."""
    region = f"{nuts}/2021"
    assert ledger.close(region, ledger.facts(region)["run"], json.dumps(RESULT | {"region": nuts}))


def test_no_more_regions_are_under_way_than_asked_for(building):
    batch = Batch(building, [ask("FR101"), ask("LU000"), ask("MT001")], at_once=2)
    batch.step()
    assert building.ledger.active() == ["FR101/2021", "LU000/2021"]
    assert set(batch.step()) == {"FR101/2021", "LU000/2021"}
    end(building.ledger, "FR101")
    batch.step()
    assert building.ledger.active() == ["LU000/2021", "MT001/2021"]
    assert list(batch.results) == ["FR101/2021"]
    assert batch.results["FR101/2021"].images == 4


def test_a_region_that_fails_holds_up_no_other(building):
    batch = Batch(building, [ask("FR101"), ask("LU000")], at_once=1)
    batch.step()
    building.ledger.fail("FR101/2021", building.ledger.facts("FR101/2021")["run"], "no catalogue")
    batch.step()
    end(building.ledger, "LU000")
    batch.step()
    assert batch.failures == {"FR101/2021": "no catalogue"}
    assert list(batch.results) == ["LU000/2021"]
    assert batch.ended == batch.total == 2


def test_a_run_under_way_is_joined_not_begun_again(building):
    Batch(building, [ask("FR101")]).step()
    run = building.ledger.facts("FR101/2021")["run"]
    again = Batch(building, [ask("FR101"), ask("LU000")])
    again.step()
    assert building.ledger.facts("FR101/2021")["run"] == run
    assert set(again.running) == {"FR101/2021", "LU000/2021"}


def test_a_region_that_somebody_builds_with_other_options_is_named_and_the_rest_goes_on(building):
    building.start(ask("FR101", max_cloud=10))
    batch = Batch(building, [ask("FR101"), ask("LU000")])
    batch.step()
    assert "other options" in batch.failures["FR101/2021"]
    assert set(batch.running) == {"LU000/2021"}


def test_when_redis_has_lost_everything_what_was_under_way_begins_anew(building, redis_client):
    batch = Batch(building, [ask("FR101"), ask("LU000")])
    batch.step()
    redis_client.flushall()
    batch.step()
    assert building.ledger.active() == ["FR101/2021", "LU000/2021"]
    assert set(batch.step()) == {"FR101/2021", "LU000/2021"}


def test_without_redis_a_step_fails_and_nothing_of_the_batch_is_lost(building, silent_port):
    away = Settings(LANDPATCH_REDIS_URL=SecretStr(f"redis://127.0.0.1:{silent_port}/0"))
    batch = Batch(Building(away, open_ledger(away)), [ask("FR101")])
    for _ in range(2):
        with pytest.raises(InfrastructureError):
            batch.step()
    assert (batch.ended, batch.running) == (0, {})
