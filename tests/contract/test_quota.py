"""The quota governor on a real Redis: threads, processes and the dead share one account."""

import multiprocessing
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate

import pytest
import redis

from landpatch.errors import TransientError
from landpatch.quota import Governor, Left, Quota, account_name
from tests.waiting import LONG_S, wait_until

pytestmark = pytest.mark.stack

QUOTA = Quota(
    connections=4, connection_bytes_per_s=20_000_000, requests_per_minute=2000, volume_per_30_days=10**12
)


class WaitedError(Exception):
    """Ends a wait; holds its length in seconds."""


def stop(pause_s):
    raise WaitedError(pause_s)


@pytest.fixture
def govern(redis_client):
    """Makes governors of an account."""

    def make(account="account", quota=QUOTA, **options):
        return Governor(redis_client, account, quota, **options)

    return make


def waited_s(governor, size=0):
    """Seconds for which a request would have to wait first; None when it need not wait."""
    governor._sleep = stop
    try:
        with governor.request(size):
            return None
    except WaitedError as wait:
        return wait.args[0]


def most_at_a_time(intervals):
    changes = sorted([(begin, 1) for begin, _ in intervals] + [(end, -1) for _, end in intervals])
    return max(accumulate(change for _, change in changes))


def hold(governor):
    with governor.request(1000):
        begin = time.monotonic()
        time.sleep(0.03)
        return begin, time.monotonic()


def hold_in_threads(url, count, found):
    governor = Governor(redis.Redis.from_url(url, decode_responses=True), "account", QUOTA)
    with ThreadPoolExecutor(6) as pool:
        found.put(list(pool.map(lambda _: hold(governor), range(count))))


def test_processes_and_their_threads_hold_together_no_more_connections_than_there_are(redis_url, govern):
    context = multiprocessing.get_context("spawn")
    found = context.Queue()
    workers = [context.Process(target=hold_in_threads, args=(redis_url, 20, found)) for _ in range(3)]
    for worker in workers:
        worker.start()
    intervals = [interval for _ in workers for interval in found.get(timeout=LONG_S)]
    for worker in workers:
        worker.join(LONG_S)
    assert len(intervals) == 60
    assert most_at_a_time(intervals) == 4
    left = govern().left()
    assert (left.connections, left.requests, left.volume) == (4, 2000 - 60, 10**12 - 60 * 1000)


def hold_for_ever(url, lease_s, ready):
    governor = Governor(redis.Redis.from_url(url, decode_responses=True), "account", QUOTA, lease_s=lease_s)
    with governor.request(0), governor.request(0), governor.request(0), governor.request(0):
        ready.set()
        time.sleep(600)


def test_the_connections_of_a_worker_that_was_killed_are_free_when_its_leases_end(redis_url, govern):
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    worker = context.Process(target=hold_for_ever, args=(redis_url, 5.0, ready))
    worker.start()
    assert ready.wait(LONG_S)
    os.kill(worker.pid, signal.SIGKILL)
    worker.join(LONG_S)
    assert govern().left().connections == 0
    assert waited_s(govern()) is not None
    begin = time.monotonic()
    with govern().request(0):
        took_s = time.monotonic() - begin
    assert took_s > 0.5
    wait_until(lambda: govern().left().connections == 4)


def test_a_connection_that_is_used_for_long_stays_taken(govern, redis_url):
    client = redis.Redis.from_url(redis_url, decode_responses=True)
    governor = Governor(client, "account", QUOTA, lease_s=0.6)
    with governor.request(0):
        begin = time.monotonic()
        while time.monotonic() - begin < 2:
            assert govern().left().connections == 3
            time.sleep(0.05)
    assert govern().left().connections == 4


def test_a_connection_is_given_back_when_its_request_fails(govern):
    governor = govern()
    with pytest.raises(ZeroDivisionError), governor.request(0):
        assert governor.left().connections == 3
        raise ZeroDivisionError
    assert governor.left().connections == 4


def test_a_request_beyond_those_of_a_minute_waits_until_the_minute_is_over(govern):
    few = Quota(4, 10**6, 3, 10**12)
    for _ in range(3):
        assert waited_s(govern(quota=few)) is None
    assert govern(quota=few).left().requests == 0
    assert 55 < waited_s(govern(quota=few)) < 62 * 1.5


def test_requests_of_more_than_a_minute_ago_do_not_count(govern, redis_client):
    few = Quota(4, 10**6, 3, 10**12)
    seconds, _ = redis_client.time()
    redis_client.hset("landpatch:quota:{account}:requests", mapping={seconds - 62: 3, seconds - 30: 2})
    assert govern(quota=few).left().requests == 1
    assert waited_s(govern(quota=few)) is None
    assert 25 < waited_s(govern(quota=few)) < 32 * 1.5


def test_when_the_service_asks_one_to_wait_all_of_the_account_wait_and_no_other(govern):
    govern().back_off(30)
    assert 29 < waited_s(govern()) < 30 * 1.5
    assert 29 < govern().left().held_s <= 30
    assert waited_s(govern("other")) is None


def test_a_shorter_pause_does_not_end_a_longer_one(govern):
    govern().back_off(30)
    govern().back_off(1)
    assert waited_s(govern()) > 28


def test_a_pause_ends_by_itself(govern):
    govern().back_off(0.2)
    assert waited_s(govern()) is not None
    time.sleep(0.25)
    assert waited_s(govern()) is None


def test_when_the_volume_is_used_up_one_slow_connection_is_left(govern):
    small = Quota(4, 20_000_000, 2000, 5000)
    with govern(quota=small).request(5000) as bytes_per_s:
        assert bytes_per_s == 20_000_000
        assert waited_s(govern(quota=small)) is not None  # the one connection is taken
    with govern(quota=small).request(1) as bytes_per_s:
        assert bytes_per_s == 1_000_000
    assert govern(quota=small).left().volume == 0


def test_the_volume_is_that_of_the_last_30_days(govern, redis_client):
    small = Quota(4, 20_000_000, 2000, 5000)
    today = redis_client.time()[0] // 86_400
    redis_client.hset("landpatch:quota:{account}:volume", mapping={today - 30: 4000, today - 29: 3000})
    assert govern(quota=small).left().volume == 2000
    with govern(quota=small).request(2000) as bytes_per_s:
        assert bytes_per_s == 20_000_000
    with govern(quota=small).request(1) as bytes_per_s:
        assert bytes_per_s == 1_000_000
    assert set(redis_client.hkeys("landpatch:quota:{account}:volume")) == {str(today - 29), str(today)}


def test_an_account_that_nobody_used_has_all_of_its_quota(govern):
    assert govern().left() == Left(connections=4, requests=2000, volume=10**12, held_s=0)


def test_a_request_that_never_gets_a_connection_fails_in_passing(govern):
    pauses = []
    governor = govern(sleep=pauses.append)
    with (
        governor.request(0),
        governor.request(0),
        governor.request(0),
        governor.request(0),
        pytest.raises(TransientError, match="within the account's quota"),
        governor.request(0),
    ):
        pass
    assert 1800 < sum(pauses) < 1810


def test_the_name_of_an_account_tells_it_from_others_and_nothing_of_its_key():
    names = {account_name(endpoint, key) for endpoint in ("https://a", "https://b") for key in ("k1", "k2")}
    assert len(names) == 4
    assert not any("k1" in name or "k2" in name for name in names)


def test_what_is_kept_of_an_account_ends_with_it(govern, redis_client):
    with govern().request(10):
        pass
    govern().back_off(1)
    lasting = {key for key in redis_client.scan_iter("landpatch:quota:*") if redis_client.ttl(key) < 0}
    assert lasting <= {"landpatch:quota:{account}:volume"}


def test_a_heavy_request_counts_for_several_and_passes_even_when_it_is_heavier_than_a_minute(govern):
    governor = govern(quota=Quota(4, 10**6, 100, 10**12))
    with governor.request(0, weight=300):
        assert governor.left().requests == 0
    assert waited_s(govern(quota=governor.quota)) > 50
    other = govern("another", quota=governor.quota)
    with other.request(0, weight=60):
        assert other.left().requests == 40
    with other.request(0, weight=40):
        assert other.left().requests == 0


def test_volume_that_nobody_knew_of_is_counted(govern):
    governor = govern()
    with governor.request(1000):
        governor.count_volume(5000)
    assert governor.left().volume == 10**12 - 6000
