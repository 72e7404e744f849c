"""The quota of an EO data account, shared by all its workers through Redis.

An account may have so many connections at a time, so many bytes a second on each, so many requests a
minute and so many bytes in 30 days; beyond that it is refused, or falls to one slow connection. All
workers ask one script in Redis before each request; Redis' own clock is the only one.

Source: Copernicus Data Space Ecosystem, "Quotas and limitations".
"""

import random
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from threading import Lock, Thread
from typing import cast

import redis

from landpatch.connection import open_redis
from landpatch.errors import InfrastructureError, TransientError
from landpatch.settings import Settings

LEASE_S = 30
"""A connection of a worker that was killed is free again after this time; one that lives renews it."""
_RENEWALS = 3
"""In the time of one lease."""
_LONGEST_WAIT_S = 1800
EXHAUSTED_BYTES_PER_S = 1_000_000
"""On the one connection that is left when the volume of 30 days is used up."""

UNLIMITED_BYTES_PER_S = 10**12
"""Where a service counts something else."""

_ACQUIRE = """
local time = redis.call('TIME')
local second = tonumber(time[1])
local now = second * 1000 + math.floor(time[2] / 1000)
local held = redis.call('PTTL', KEYS[4])
if held > 0 then return {held, 0} end
local today, volume = math.floor(second / 86400), 0
local days = redis.call('HGETALL', KEYS[3])
for i = 1, #days, 2 do
  if tonumber(days[i]) <= today - 30 then redis.call('HDEL', KEYS[3], days[i])
  else volume = volume + tonumber(days[i + 1]) end
end
local exhausted = volume >= tonumber(ARGV[6]) and 1 or 0
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
local most = exhausted == 1 and 1 or tonumber(ARGV[4])
if redis.call('ZCARD', KEYS[1]) >= most then return {-1, exhausted} end
local seconds, sum, oldest = redis.call('HGETALL', KEYS[2]), 0, second
for i = 1, #seconds, 2 do
  local at = tonumber(seconds[i])
  if at < second - 60 then redis.call('HDEL', KEYS[2], seconds[i])
  else
    sum = sum + tonumber(seconds[i + 1])
    if at < oldest then oldest = at end
  end
end
local weight = tonumber(ARGV[7])
if sum > 0 and sum + weight > tonumber(ARGV[5]) then return {(oldest + 61) * 1000 - now, exhausted} end
redis.call('ZADD', KEYS[1], now + tonumber(ARGV[2]), ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
redis.call('HINCRBY', KEYS[2], second, ARGV[7])
redis.call('EXPIRE', KEYS[2], 120)
redis.call('HINCRBY', KEYS[3], today, ARGV[3])
return {0, exhausted}
"""

_COUNT = """
redis.call('HINCRBY', KEYS[1], math.floor(redis.call('TIME')[1] / 86400), ARGV[1])
"""

_HOLD = """
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[1]) then redis.call('SET', KEYS[1], '1', 'PX', ARGV[1]) end
"""

_RENEW = """
local time = redis.call('TIME')
local ends = time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[1]
for i = 2, #ARGV do
  if redis.call('ZSCORE', KEYS[1], ARGV[i]) then redis.call('ZADD', KEYS[1], ends, ARGV[i]) end
end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
"""


@dataclass(frozen=True, slots=True)
class Measure:
    """What a quota counts."""

    minute: str
    """What is counted in a minute, for a person."""
    volume: str
    """What is counted in 30 days, for a person."""
    scale: int
    """How much is counted for one `volume`."""


BYTES = Measure("requests", "GB", 10**9)
PROCESSING = Measure("processing units", "processing units", 1000)
"""Of Sentinel Hub: thousandths are counted."""


@dataclass(frozen=True, slots=True)
class Quota:
    """What an account may do."""

    connections: int
    connection_bytes_per_s: int
    requests_per_minute: int
    volume_per_30_days: int
    """Bytes, or what `measure` says."""
    measure: Measure = BYTES


@dataclass(frozen=True, slots=True)
class Left:
    """What of a quota is left."""

    connections: int
    requests: int
    """In this minute."""
    volume: int
    """In these 30 days."""
    held_s: float
    """Seconds for which the account waits because the service asked it to."""


class Governor:
    """Lets requests of one account pass as its quota allows."""

    def __init__(
        self,
        client: redis.Redis,
        account: str,
        quota: Quota,
        sleep: Callable[[float], None] = time.sleep,
        lease_s: float = LEASE_S,
    ) -> None:
        """account: names the account and tells nothing of its key; see `account_name`. lease_s: when a
        connection that was not given back is free again."""
        self._client = client
        self.quota = quota
        self._sleep = sleep
        self._lease_ms = int(lease_s * 1000)
        # Braces keep the keys of an account together on one node of a Redis cluster.
        names = ("connections", "requests", "volume", "hold")
        self._keys = [f"landpatch:quota:{{{account}}}:{name}" for name in names]
        self._acquire = client.register_script(_ACQUIRE)
        self._count = client.register_script(_COUNT)
        self._hold = client.register_script(_HOLD)
        self._renew = client.register_script(_RENEW)
        self._held: set[str] = set()
        self._renewing: Thread | None = None
        self._lock = Lock()

    @contextmanager
    def request(self, size: int, weight: int = 1) -> Iterator[float]:
        """Hold a connection for a request of so many bytes; wait for it as long as need be.

        size: bytes, or what else the quota counts in 30 days. weight: for how many requests of a minute it
        counts. Yields the bytes a second that the connection may take. Raises TransientError when half an
        hour of waiting was not enough, InfrastructureError when Redis cannot be reached.
        """
        token = uuid.uuid4().hex
        exhausted = self._wait(token, size, weight)
        self._begin_to_renew(token)
        try:
            yield EXHAUSTED_BYTES_PER_S if exhausted else self.quota.connection_bytes_per_s
        finally:
            with self._lock:
                self._held.discard(token)
            self._client.zrem(self._keys[0], token)

    def _begin_to_renew(self, token: str) -> None:
        with self._lock:
            self._held.add(token)
            if self._renewing is None:
                self._renewing = Thread(target=self._keep_renewing, name="quota", daemon=True)
                self._renewing.start()

    def _keep_renewing(self) -> None:
        """As long as the process lives."""
        while True:
            time.sleep(self._lease_ms / 1000 / _RENEWALS)
            with self._lock:
                held = list(self._held)
            if held:
                # When Redis is away, the next time is soon enough.
                with suppress(InfrastructureError, redis.RedisError):
                    self._renew(keys=self._keys[:1], args=[self._lease_ms, *held])

    def count_volume(self, size: int) -> None:
        """Count bytes that nobody knew of when the request began, or what else the quota counts."""
        self._count(keys=self._keys[2:3], args=[size])

    def _wait(self, token: str, size: int, weight: int) -> bool:
        quota = self.quota
        limits = (quota.connections, quota.requests_per_minute, quota.volume_per_30_days)
        waited_s = 0.0
        while True:
            answer = self._acquire(keys=self._keys, args=[token, self._lease_ms, size, *limits, weight])
            wait_ms, exhausted = cast("list[int]", answer)
            if wait_ms == 0:
                return bool(exhausted)
            if waited_s > _LONGEST_WAIT_S:
                raise TransientError("no connection within the account's quota")
            # A connection may be given back at any time; a hold and a minute say when they end.
            pause_s = (0.05 if wait_ms < 0 else wait_ms / 1000) * random.uniform(1, 1.5)  # noqa: S311
            self._sleep(pause_s)
            waited_s += pause_s

    def back_off(self, pause_s: float) -> None:
        """The service asked to wait: nobody of this account asks it for so long."""
        self._hold(keys=self._keys[3:], args=[max(1, int(pause_s * 1000))])

    def left(self) -> Left:
        """What is left at this moment."""
        seconds, _ = self._client.time()
        connections = self._client.zcount(self._keys[0], seconds * 1000, "+inf")
        minute, days = (cast("dict[str, str]", self._client.hgetall(key)) for key in self._keys[1:3])
        held = self._client.pttl(self._keys[3])
        requests = sum(int(count) for at, count in minute.items() if int(at) > seconds - 60)
        volume = sum(int(size) for day, size in days.items() if int(day) > seconds // 86_400 - 30)
        return Left(
            connections=max(0, self.quota.connections - connections),
            requests=max(0, self.quota.requests_per_minute - requests),
            volume=max(0, self.quota.volume_per_30_days - volume),
            held_s=max(0, held) / 1000,
        )


def account_name(endpoint: str, access_key: str) -> str:
    """Names an account by a hash of where it is and of its key or user."""
    return sha256(f"{endpoint}\n{access_key}".encode()).hexdigest()[:12]


def read_quota(settings: Settings) -> Quota:
    """The quota of the image source in the settings."""
    return read_unit_quota(settings) if settings.pixels == "sentinelhub" else read_byte_quota(settings)


def read_byte_quota(settings: Settings) -> Quota:
    """The quota of the EO data store, and of downloads."""
    return Quota(
        settings.eo_connections,
        settings.eo_connection_bytes_per_s,
        settings.eo_requests_per_minute,
        settings.eo_bytes_per_30_days,
    )


def read_unit_quota(settings: Settings) -> Quota:
    """The quota of Sentinel Hub."""
    return Quota(
        settings.eo_connections,
        UNLIMITED_BYTES_PER_S,
        settings.sentinelhub_units_per_minute,
        settings.sentinelhub_units_per_30_days * PROCESSING.scale,
        PROCESSING,
    )


def open_governor(settings: Settings) -> Governor:
    """The governor of the account in the settings. Raises ConfigurationError when no Redis is named."""
    account = settings.account
    name = account_name(account.endpoint, account.key.get_secret_value() if account.key else "")
    return Governor(open_redis(settings), name, read_quota(settings))
