"""Messages are put on their queue, also when the connection to Redis is lost just then."""

import pytest
from kombu.transport.redis import Channel

from landpatch import celery
from landpatch.messages import PlanRegion
from tests.contract.ledger.asked import request

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
