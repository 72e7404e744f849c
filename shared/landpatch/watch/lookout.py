"""Asks the ledger, once for all who look. Reads only."""

import time
from collections import defaultdict
from collections.abc import Callable, Collection
from dataclasses import replace

import redis
import structlog

from landpatch.broker import count_waiting
from landpatch.celery import QUEUES
from landpatch.connection import open_redis
from landpatch.errors import LandpatchError
from landpatch.ledger import Ledger
from landpatch.quota import PROCESSING, Governor, open_governor
from landpatch.settings import Settings
from landpatch.storage import open_store
from landpatch.watch.closeup import OVER, CloseUp
from landpatch.watch.maps import Atlas
from landpatch.watch.pace import Tally
from landpatch.watch.sights import Account, Row, Snapshot

UNREADABLE = (ValueError, LookupError, TypeError, AttributeError)
"""What an entry of the ledger may be refused with that landpatch has not written."""
log = structlog.get_logger()


class Lookout:
    """Looks when it is told to; one look at a time."""

    def __init__(
        self,
        client: redis.Redis,
        governor: Governor | None,
        make_close_up: Callable[[str, Ledger], CloseUp],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """client: of the Redis of the ledger. governor: None where no account is named. make_close_up: for a
        region and year."""
        self._redis = client
        self._ledger = Ledger(client)
        self._governor = governor
        self._make_close_up = make_close_up
        self._clock = clock
        self._rows: dict[str, Row] = {}
        self._close_ups: dict[str, CloseUp] = {}
        self._tallies: defaultdict[str, Tally] = defaultdict(Tally)
        """Of the regions that are being built."""
        self._volume = Tally()
        self._last = Snapshot()

    def look(self, wanted: Collection[str]) -> Snapshot:
        """How everything is now. wanted: regions and years of which each patch is told.

        Raises nothing that Redis, the store or their content may be at fault for: the snapshot says so.
        """
        try:
            seen = self._look(wanted)
        except LandpatchError as error:
            seen = replace(self._last, fault=str(error))
        except (*UNREADABLE, redis.RedisError) as error:
            fault = f"the ledger cannot be read: {type(error).__name__}"
            if fault != self._last.fault:
                log.warning("the ledger cannot be read", exc_info=error)
            seen = replace(self._last, fault=fault)
        self._last = replace(seen, number=self._last.number + 1)
        return self._last

    def _look(self, wanted: Collection[str]) -> Snapshot:
        now_s = self._clock()
        self._look_at_rows(self._ledger.regions(), set(wanted), now_s)
        shown = sorted(self._rows.keys() & set(wanted))
        self._close_ups = {
            key: self._close_ups.get(key) or self._make_close_up(key, self._ledger) for key in shown
        }
        return Snapshot(
            rows=tuple(self._rows[key] for key in sorted(self._rows)),
            views={key: each.look(self._rows[key], now_s) for key, each in self._close_ups.items()},
            waiting=count_waiting(self._redis, QUEUES),
            account=self._look_at_account(now_s),
            refused=self._ledger.count_refused(),
        )

    def _look_at_rows(self, regions: Collection[str], wanted: Collection[str], now_s: float) -> None:
        """Ask how far each region is, but for those that are known to be over."""
        active = set(self._ledger.active())
        self._rows = {key: self._rows[key] for key in self._rows.keys() & set(regions)}
        for key in regions:
            known = self._rows.get(key)
            if known is None or known.at.state not in OVER or key in active or key in wanted:
                self._rows[key] = self._look_at_row(key, now_s)
        for key in self._tallies.keys() - active:
            del self._tallies[key]

    def _look_at_row(self, key: str, now_s: float) -> Row:
        at = self._ledger.progress(key)
        if at.state in OVER:
            return Row(key, at)
        tally = self._tallies[key]
        tally.add(now_s, at.images_done)
        pace = tally.pace(at.images_total)
        return Row(key, at, pace.per_s, pace.eta_s)

    def _look_at_account(self, now_s: float) -> Account | None:
        if self._governor is None:
            return None
        left, quota = self._governor.left(), self._governor.quota
        self._volume.add(now_s, quota.volume_per_30_days - left.volume)
        return Account(
            connections=left.connections,
            connections_limit=quota.connections,
            requests=left.requests,
            requests_limit=quota.requests_per_minute,
            volume=left.volume,
            volume_limit=quota.volume_per_30_days,
            held_s=left.held_s,
            volume_per_s=self._volume.pace(0).per_s,
            processing=quota.measure == PROCESSING,
        )


def open_lookout(settings: Settings, atlas: Atlas, clock: Callable[[], float] = time.monotonic) -> Lookout:
    """A lookout on the Redis and the store of the settings; without a store, of regions that are done no
    patches are told, and without an account no quota. Raises ConfigurationError when no Redis is named."""
    store = open_store(settings) if settings.store_access_key is not None else None
    governor = open_governor(settings) if settings.has_account else None

    def make_close_up(key: str, ledger: Ledger) -> CloseUp:
        return CloseUp(key, ledger, store, settings.prefix, atlas)

    return Lookout(open_redis(settings), governor, make_close_up, clock)
