"""What Prometheus finds: the exporter as a process of its own, on a real Redis."""

import sys

import pytest
import redis
import requests
from prometheus_client.parser import text_string_to_metric_families

from landpatch.broker import queue_keys
from landpatch.ledger import Ledger
from landpatch.messages import FetchLabels, PatchWork, RegionRequest, SettlePatches
from landpatch.quota import Governor, Quota, account_name
from landpatch.records import Work
from tests.contract.conftest import REDIS_PASSWORD, free_port, running

pytestmark = pytest.mark.stack

ENDPOINT, KEY = "https://eo.example.org", "the-access-key"
QUOTA = Quota(3, 10**6, 100, 10_000)


@pytest.fixture
def scrape(redis_url, redis_client):
    """Every sample by name and labels."""
    port = free_port()
    environment = {
        "LANDPATCH_REDIS_URL": redis_url,
        "LANDPATCH_EO_S3_ENDPOINT": ENDPOINT,
        "EO_S3_ACCESS_KEY_ID": KEY,
        "LANDPATCH_EO_CONNECTIONS": "3",
        "LANDPATCH_EO_REQUESTS_PER_MINUTE": "100",
        "LANDPATCH_EO_BYTES_PER_30_DAYS": "10000",
    }

    def read():
        answer = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=10)
        assert answer.ok
        assert KEY not in answer.text
        assert REDIS_PASSWORD not in answer.text
        return {
            " ".join([sample.name, *sample.labels.values()]): sample.value
            for family in text_string_to_metric_families(answer.text)
            for sample in family.samples
        }

    with running([sys.executable, "-m", "services.metrics", "--port", str(port)], port, environment):
        yield read


def test_the_quota_that_is_left_is_told(scrape, redis_client):
    governor = Governor(redis_client, account_name(ENDPOINT, KEY), QUOTA)
    with governor.request(4000), governor.request(1000):
        found = scrape()
    assert {
        name.removeprefix("landpatch_quota_"): value for name, value in found.items() if "quota" in name
    } == {
        "connections_left": 1,
        "connections_limit": 3,
        "minute_requests_left": 98,
        "minute_requests_limit": 100,
        "month_bytes_left": 5000,
        "month_bytes_limit": 10_000,
        "hold_seconds": 0,
    }
    governor.back_off(60)
    assert 55 < scrape()["landpatch_quota_hold_seconds"] <= 60


def test_queues_and_pending_tasks_of_all_regions_are_told(scrape, redis_client: redis.Redis):
    ledger = Ledger(redis_client)
    for nuts in ("FR101", "LU000"):
        request = RegionRequest(nuts=nuts, year=2021, start="2021-05-01", end="2021-09-30")
        run, _ = ledger.start(request)
        labels = [
            FetchLabels(
                run=run, nuts=nuts, year=2021, round=1, label_year=2021, block=block, patches=("0_0_0_0",)
            )
            for block in range(2)
        ]
        ledger.add_labels(request.key, run, labels)
        settle = SettlePatches(
            run=run, nuts=nuts, year=2021, round=1, recipe="r", composite="best", block=0,
            patches=(PatchWork(name="0_0_0_0"),),
        )  # fmt: skip
        ledger.open_round(request.key, run, 1, [settle])
    ledger.finish(labels[0], Work())
    redis_client.rpush("images", "a message")
    redis_client.rpush(queue_keys("images")[-1], "another, of the lowest priority")
    found = scrape()
    assert found["landpatch_queue_waiting_messages images"] == 2
    assert found["landpatch_queue_waiting_messages labels"] == 0
    assert found["landpatch_pending_tasks labels"] == 3
    assert found["landpatch_pending_tasks images"] == 2
    assert found["landpatch_pending_tasks control"] == 2
