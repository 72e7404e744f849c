"""What a service counts and how long things take, added up over all its processes, for Prometheus.

The children of a Celery worker are forked from it, so they share the memory that it has made for that. Each
adds in a row of its own, and the parent adds the rows up when it is asked. No process waits for another,
nothing lies on a disk that could be full or read-only, and whoever takes the place of a child that was killed
goes on with its row (docs/adr/0005-metrics-in-shared-memory.md).
"""

import mmap
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate, product
from threading import Lock
from time import perf_counter

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

ROWS = 128
"""How many processes count side by side; of more, some share a row, and may lose what they add at once."""
SLOTS = 1024
"""Numbers in a row."""
_BYTES = 8


class Tally(Collector):
    """The numbers of a process and of the children that are forked from it."""

    def __init__(self) -> None:
        """To be made before the children are."""
        self._numbers = memoryview(mmap.mmap(-1, ROWS * SLOTS * _BYTES)).cast("d")
        self._row = 0
        self._used = 0
        self._families: list[Count | Durations] = []
        self._lock = Lock()

    def take_row(self, child: int) -> None:
        """This process is a child, and this is its number among those of its parent that live."""
        self._row = (1 + child % (ROWS - 1)) * SLOTS

    def enter(self, family: "Count | Durations", slots: int) -> int:
        """Keep so many numbers for a family; the place of the first."""
        first, self._used = self._used, self._used + slots
        if self._used > SLOTS:
            raise ValueError(f"more than {SLOTS} numbers")
        self._families.append(family)
        return first

    def add(self, slot: int, amount: float) -> None:
        """Add to a number. May be called from several threads."""
        with self._lock:
            self._numbers[self._row + slot] += amount

    def read(self, slot: int) -> float:
        """A number, over all processes."""
        return sum(self._numbers[slot::SLOTS])

    def collect(self) -> Iterator[Metric]:
        """Every family, also what is still 0."""
        for family in self._families:
            yield family.tell()


TALLY = Tally()
"""Of this process and its children; made when it is imported, which a worker does before it forks."""


class Count:
    """Something that is counted; `_total` is put behind its name."""

    def __init__(self, name: str, about: str, tally: Tally = TALLY, **labels: Sequence[str]) -> None:
        """labels: every value that each may have."""
        self._name, self._about, self._labels = name, about, list(labels)
        self._tally = tally
        kinds = list(product(*labels.values()))
        first = tally.enter(self, len(kinds))
        self._slots = {kind: first + number for number, kind in enumerate(kinds)}

    def add(self, *kind: str, amount: float = 1) -> None:
        """Count so many of a kind: the values of its labels, in order."""
        self._tally.add(self._slots[kind], amount)

    def tell(self) -> Metric:
        """As Prometheus is told."""
        family = CounterMetricFamily(self._name, self._about, labels=self._labels)
        for kind, slot in self._slots.items():
            family.add_metric(kind, self._tally.read(slot))
        return family


class Durations:
    """How long something takes: seconds, and how often up to which bound."""

    def __init__(
        self, name: str, about: str, bounds: Sequence[float], tally: Tally = TALLY, **labels: Sequence[str]
    ) -> None:
        """bounds: seconds, ascending. labels: every value that each may have."""
        self._name, self._about, self._labels = name, about, list(labels)
        self._bounds = list(bounds)
        self._tally = tally
        kinds = list(product(*labels.values()))
        # Of each kind: the sum, then how often up to each bound and no less, then how often beyond.
        width = len(self._bounds) + 2
        first = tally.enter(self, width * len(kinds))
        self._slots = {kind: first + width * number for number, kind in enumerate(kinds)}

    def add(self, seconds: float, *kind: str) -> None:
        """Something of a kind, the values of its labels in order, took so long."""
        first = self._slots[kind]
        self._tally.add(first, seconds)
        self._tally.add(first + 1 + bisect_left(self._bounds, seconds), 1)

    @contextmanager
    def timing(self, *kind: str) -> Iterator[None]:
        """Something of a kind takes as long as the context lasts, whether it fails or not."""
        begin = perf_counter()
        try:
            yield
        finally:
            self.add(perf_counter() - begin, *kind)

    def tell(self) -> Metric:
        """As Prometheus is told: a histogram."""
        family = HistogramMetricFamily(self._name, self._about, labels=self._labels)
        names = [*(str(float(bound)) for bound in self._bounds), "+Inf"]
        for kind, first in self._slots.items():
            counts = accumulate(self._tally.read(first + 1 + number) for number in range(len(names)))
            family.add_metric(
                kind, buckets=list(zip(names, counts, strict=True)), sum_value=self._tally.read(first)
            )
        return family
