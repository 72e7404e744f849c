"""What Prometheus finds: the exporter as a process of its own, on a real Redis."""

import json
import sys
import time

import pytest
import redis
import requests
from prometheus_client.parser import text_string_to_metric_families

from landpatch.broker import SENT_AT, queue_keys
from landpatch.celery import QUEUES, make_app
from landpatch.ledger import Ledger
from landpatch.messages import FetchLabels, PatchWork, RegionRequest, SettlePatches
from landpatch.quota import Governor, Quota, account_name
from landpatch.records import DeadLetter, Outcome, Work
from landpatch.settings import Settings
from services.stack.ports import free_port
from tests.contract.conftest import REDIS_PASSWORD
from tests.processes import listening
from tests.waiting import LONG_S

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
        answer = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=LONG_S)
        assert answer.ok
        assert KEY not in answer.text
        assert REDIS_PASSWORD not in answer.text
        return {
            " ".join([sample.name, *sample.labels.values()]): sample.value
            for family in text_string_to_metric_families(answer.text)
            for sample in family.samples
        }

    with listening([sys.executable, "-m", "services.metrics", "--port", str(port)], port, **environment):
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
        "month_left_ratio": 0.5,
        "hold_seconds": 0,
    }
    governor.back_off(60)
    assert 55 < scrape()["landpatch_quota_hold_seconds"] <= 60


def begin_regions(ledger, *codes):
    """Regions of two blocks of labels and one of images each; the labels' messages."""
    every = []
    for nuts in codes:
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
        ledger.note(request.key, run, patches=10, labels=10)
        every += labels
    return every


def test_queues_and_pending_tasks_of_all_regions_are_told(scrape, redis_client: redis.Redis):
    ledger = Ledger(redis_client)
    labels = begin_regions(ledger, "FR101", "LU000")
    ledger.finish(labels[-1], Work())
    redis_client.rpush("images", "a message")
    redis_client.rpush(queue_keys("images")[-1], "another, of the lowest priority")
    redis_client.hset("unacked", "tag", "a third, in hand")
    found = scrape()
    assert found["landpatch_queue_waiting_messages images"] == 2
    assert found["landpatch_queue_waiting_messages labels"] == 0
    assert found["landpatch_in_hand_messages"] == 1
    assert found["landpatch_pending_tasks labels"] == 3
    assert found["landpatch_pending_tasks images"] == 2
    assert found["landpatch_pending_tasks control"] == 2


def test_the_parts_of_the_regions_that_are_being_built_are_told(scrape, redis_client: redis.Redis):
    ledger = Ledger(redis_client)
    labels = begin_regions(ledger, "FR101", "LU000", "MT001", "BE100")
    ledger.record(
        "FR101/2021", labels[0].run, "images", {f"0_0_0_{n}": Outcome("complete") for n in range(3)}
    )
    ledger.record("LU000/2021", labels[2].run, "labels", {"0_0_0_0": Outcome("failed", "none there")})
    ledger.bury(labels[0], DeadLetter("the service answered 503", 5))
    ledger.bury(labels[4], DeadLetter("the service answered 503", 5))
    ledger.close("MT001/2021", labels[4].run, "{}")
    ledger.fail("BE100/2021", labels[6].run, "the store is full")
    found = scrape()
    regions = {name.split()[1]: value for name, value in found.items() if "landpatch_regions" in name}
    assert regions == {"queued": 0, "planning": 0, "cutting": 2, "indexing": 0, "done": 1, "failed": 1}
    parts = {
        tuple(name.split()[1:]): value
        for name, value in found.items()
        if "landpatch_building_patches" in name
    }
    assert parts == {
        ("images", "done"): 3, ("images", "open"): 17, ("labels", "done"): 1, ("labels", "open"): 19,
    }  # fmt: skip
    assert found["landpatch_building_products open"] == 2
    assert found["landpatch_building_products done"] == 0
    assert found["landpatch_dead_letters"] == 2


def test_the_age_of_the_oldest_message_of_a_queue_is_told(scrape, redis_client: redis.Redis, redis_url):
    app = make_app("tests", Settings(_env_file=None, LANDPATCH_REDIS_URL=redis_url))
    now = time.time()
    for age, priority in ((40, 0), (500, 9), (20, 0), (300, 9)):
        app.send_task("a.task", queue="labels", priority=priority, headers={SENT_AT: now - age})
    for odd in ({}, {SENT_AT: "long ago"}, {SENT_AT: None}, {SENT_AT: now + 1000}, {SENT_AT: [1]}):
        app.send_task("a.task", queue="index", headers=odd)
    redis_client.lpush("dispatch", "no message", json.dumps([[]]), json.dumps({"headers": 7}))
    told = scrape()
    found = {queue: told[f"landpatch_queue_oldest_seconds {queue}"] for queue in QUEUES}
    assert 500 <= found.pop("labels") < 560
    assert found == {"dispatch": 0, "images": 0, "index": 0}


def test_while_redis_is_away_that_is_told_and_nothing_else(redis_url):
    port = free_port()
    environment = {"LANDPATCH_REDIS_URL": "redis://127.0.0.1:1/0"}
    with listening([sys.executable, "-m", "services.metrics", "--port", str(port)], port, **environment):
        answer = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=LONG_S)
    assert answer.ok
    assert "landpatch_redis_up 0.0" in answer.text
    assert "landpatch_pending_tasks" not in answer.text
