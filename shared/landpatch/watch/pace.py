"""How fast a count grows, and when it will be full. Pure."""

from collections import deque
from dataclasses import dataclass

WINDOW_S = 120.0
"""A rate is that of the last two minutes: a round begins slowly, and ends with its slowest product."""
_MOST = 256
"""Counts that are kept of the window."""


@dataclass(frozen=True, slots=True)
class Pace:
    """A rate, and what it means for the rest."""

    per_s: float
    eta_s: float | None
    """None when nothing moves, or nothing is left."""


class Tally:
    """The counts of the last minutes."""

    def __init__(self) -> None:
        self._counts: deque[tuple[float, float]] = deque(maxlen=_MOST)

    def add(self, at_s: float, count: float) -> None:
        """The count at a time; one that has fallen begins anew."""
        if self._counts and count < self._counts[-1][1]:
            self._counts.clear()
        self._counts.append((at_s, count))
        # One of before the window stays, so that there is always something to compare with.
        while len(self._counts) > 2 and self._counts[1][0] <= at_s - WINDOW_S:
            self._counts.popleft()

    def pace(self, total: float) -> Pace:
        """The rate of the last minutes, and how long what is missing in `total` will take."""
        if len(self._counts) < 2:
            return Pace(0.0, None)
        (begin_s, first), (end_s, last) = self._counts[0], self._counts[-1]
        per_s = (last - first) / (end_s - begin_s) if end_s > begin_s else 0.0
        left = total - last
        return Pace(per_s, left / per_s if per_s > 0 and left > 0 else None)
