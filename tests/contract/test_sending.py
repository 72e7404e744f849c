"""Messages are put on their queue, also when the connection to Redis is lost just then."""

import pytest
import redis
from kombu.transport.redis import Channel

from landpatch import celery
from landpatch.build import Building
from landpatch.ledger import Ledger, Overdue
from landpatch.messages import PlanRegion
from landpatch.settings import Settings
from tests.contract.ledger.asked import REGION, request
from tests.waiting import wait_until

pytestmark = pytest.mark.stack


@pytest.fixture
def send(redis_client, redis_url, monkeypatch):
    """Sends a message, by a process that has sent none; how many wait then."""
    monkeypatch.setenv("LANDPATCH_REDIS_URL", redis_url)
    celery._sender.cache_clear()

    def put():
        celery.send(PlanRegion(run="r" * 32, request=request()))
        return redis_client.llen(celery.TASKS[PlanRegion][1])

    yield put
    celery._sender.cache_clear()


def test_a_message_is_sent_once_though_kombu_has_closed_the_channel_that_it_publishes_over(send, monkeypatch):
    assert send() == 1
    put, closed = Channel._put, []

    def lose(self, *arguments, **options):
        if not closed:
            closed.append(self)
            self.close()
        return put(self, *arguments, **options)

    monkeypatch.setattr(Channel, "_put", lose)
    assert send() == 2
    assert closed
    assert send() == 3


def test_a_region_whose_first_message_cannot_be_sent_is_begun_and_its_message_falls_due(
    send, redis_client, monkeypatch
):
    def refuse(*_, **__):
        raise redis.ConnectionError("Connection closed by server.")

    monkeypatch.setattr(Channel, "_put", refuse)
    ledger = Ledger(redis_client)
    assert not Building(Settings(_env_file=None, LANDPATCH_LEASE_S=1), ledger).start(request())
    run = ledger.facts(REGION)["run"]
    assert wait_until(ledger.overdue) == [Overdue(REGION, run, "control", "plan")]
