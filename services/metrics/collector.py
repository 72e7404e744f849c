"""Ledger, queues and quota -> metrics, read from Redis at each scrape."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import redis
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from landpatch.broker import count_in_hand, count_waiting, oldest_waiting
from landpatch.celery import QUEUES
from landpatch.errors import InfrastructureError
from landpatch.ledger import Ledger
from landpatch.quota import PROCESSING, Governor
from landpatch.records import Progress

STATES = ("queued", "planning", "cutting", "indexing", "done", "failed")
"""Of a region."""
OVER = {"done", "failed"}


class LandpatchCollector(Collector):
    """Asks Redis when Prometheus asks; holds no state of its own."""

    def __init__(self, client: redis.Redis, ledger: Ledger, governor: Governor) -> None:
        """client: of the Redis that is broker and ledger."""
        self._redis = client
        self._ledger = ledger
        self._governor = governor

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Every metric; while Redis is away, that alone."""
        about = "Whether Redis answers; while it does not, all that follows is missing."
        try:
            found = [*self._collect_quota(), *self._collect_queues(), *self._collect_regions()]
        except InfrastructureError:
            yield GaugeMetricFamily("landpatch_redis_up", about, value=0)
            return
        yield GaugeMetricFamily("landpatch_redis_up", about, value=1)
        yield from found

    def _collect_queues(self) -> Iterator[GaugeMetricFamily]:
        yield _family(
            "queue_waiting_messages",
            "Messages that no worker has taken yet.",
            "queue",
            count_waiting(self._redis, QUEUES),
        )
        yield _family(
            "queue_oldest_seconds",
            "For how long the message that was sent first has been waiting.",
            "queue",
            oldest_waiting(self._redis, QUEUES),
        )
        yield GaugeMetricFamily(
            "landpatch_in_hand_messages",
            "Messages that workers have taken and not acknowledged.",
            value=count_in_hand(self._redis),
        )
        yield _family(
            "pending_tasks",
            "Tasks that are waiting or running, of all regions.",
            "kind",
            self._ledger.pending_everywhere(),
        )

    def _collect_regions(self) -> Iterator[GaugeMetricFamily]:
        every = self._ledger.progress_of(self._ledger.regions())
        states = Counter(at.state for at in every)
        yield _family(
            "regions", "Regions, by the state of their last run.", "state", {s: states[s] for s in STATES}
        )
        yield from _count_parts([at for at in every if at.state not in OVER])
        yield GaugeMetricFamily(
            "landpatch_dead_letters",
            "Tasks that were given up in the last run of each region.",
            value=sum(at.dead_letters for at in every),
        )

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
                "month_left_ratio",
                "Share that is left in these 30 days.",
                left.volume / quota.volume_per_30_days,
            ),
            (
                "hold_seconds",
                "How long the account still waits because the service asked it to.",
                left.held_s,
            ),
        ):
            yield GaugeMetricFamily(f"landpatch_quota_{name}", about, value=value)


def _count_parts(running: Iterable[Progress]) -> Iterator[GaugeMetricFamily]:
    """Products and patches of the regions that are being built."""
    products: Counter[str] = Counter()
    patches: Counter[tuple[str, str]] = Counter()
    for at in running:
        products["done"] += at.products_done
        products["open"] += at.products_total - at.products_done
        for kind, done, total in (
            ("images", at.images_done, at.images_total),
            ("labels", at.labels_done, at.labels_total),
        ):
            patches[kind, "done"] += done
            patches[kind, "open"] += total - done
    about = "Products of the rounds so far, of regions that are being built."
    yield _family("building_products", about, "state", {s: products[s] for s in ("done", "open")})
    family = GaugeMetricFamily(
        "landpatch_building_patches", "Patches of regions that are being built.", labels=["kind", "state"]
    )
    for kind in ("images", "labels"):
        for state in ("done", "open"):
            family.add_metric([kind, state], patches[kind, state])
    yield family


def _family(name: str, about: str, label: str, values: Mapping[Any, float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"landpatch_{name}", about, labels=[label])
    for value, count in values.items():
        family.add_metric([value], count)
    return family
