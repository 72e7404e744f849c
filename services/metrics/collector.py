"""Ledger, queues and quota -> metrics, read from Redis at each scrape."""

from collections.abc import Iterator

import redis
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from landpatch.broker import count_waiting
from landpatch.celery import QUEUES
from landpatch.ledger import Ledger
from landpatch.quota import PROCESSING, Governor


class LandpatchCollector(Collector):
    """Asks Redis when Prometheus asks; holds no state of its own."""

    def __init__(self, client: redis.Redis, ledger: Ledger, governor: Governor) -> None:
        """client: of the Redis that is broker and ledger."""
        self._redis = client
        self._ledger = ledger
        self._governor = governor

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Every metric. Raises InfrastructureError when Redis cannot be reached."""
        yield from self._collect_quota()
        waiting = GaugeMetricFamily(
            "landpatch_queue_waiting_messages", "Messages that no worker has taken yet.", labels=["queue"]
        )
        for queue, count in count_waiting(self._redis, QUEUES).items():
            waiting.add_metric([queue], count)
        yield waiting
        pending = GaugeMetricFamily(
            "landpatch_pending_tasks", "Tasks that are waiting or running, of all regions.", labels=["kind"]
        )
        for kind, count in self._ledger.pending_everywhere().items():
            pending.add_metric([kind], count)
        yield pending

    def _collect_counts(self) -> Iterator[tuple[str, str, float]]:
        """What is counted in a minute and in 30 days, which the image source decides."""
        left, quota = self._governor.left(), self._governor.quota
        if quota.measure == PROCESSING:
            scale = PROCESSING.scale
            yield "minute_units_left", "Processing units left in this minute.", left.requests
            yield "minute_units_limit", "Processing units of the account a minute.", quota.requests_per_minute
            yield "month_units_left", "Processing units left in these 30 days.", left.volume / scale
            limit = quota.volume_per_30_days / scale
            yield "month_units_limit", "Processing units of the account in 30 days.", limit
            return
        yield "minute_requests_left", "Requests left in this minute.", left.requests
        yield "minute_requests_limit", "Requests of the account in a minute.", quota.requests_per_minute
        yield "month_bytes_left", "Bytes left in these 30 days.", left.volume
        yield "month_bytes_limit", "Bytes that the account may move in 30 days.", quota.volume_per_30_days

    def _collect_quota(self) -> Iterator[GaugeMetricFamily]:
        left, quota = self._governor.left(), self._governor.quota
        for name, about, value in (
            ("connections_left", "Connections to the image source that are free.", left.connections),
            ("connections_limit", "Connections that the account may have.", quota.connections),
            *self._collect_counts(),
            (
                "hold_seconds",
                "How long the account still waits because the service asked it to.",
                left.held_s,
            ),
        ):
            yield GaugeMetricFamily(f"landpatch_quota_{name}", about, value=value)
