"""Many regions: so many at once, until each has ended."""

from collections import deque
from collections.abc import Sequence

from landpatch.build import Building, Result
from landpatch.errors import RequestError
from landpatch.messages import RegionRequest
from landpatch.records import Progress

AT_ONCE = 20
"""Regions under way: enough that workers have something to do while some wait for their last products, few
enough that the ledger stays small and regions end one after the other."""


class Batch:
    """Regions that are built so many at once. What it needs is in the ledger and in the store: begun again,
    it takes up what is missing."""

    def __init__(self, building: Building, requests: Sequence[RegionRequest], at_once: int = AT_ONCE) -> None:
        """requests: of different regions, in the order in which they begin."""
        self._building = building
        self._waiting = deque(requests)
        self.total = len(requests)
        self.running: dict[str, RegionRequest] = {}
        self.results: dict[str, Result] = {}
        self.failures: dict[str, str] = {}
        """Regions that could not be built, and why."""
        self._at_once = at_once

    @property
    def ended(self) -> int:
        """How many regions have ended."""
        return len(self.results) + len(self.failures)

    def step(self) -> dict[str, Progress]:
        """Take what has ended and start what there is room for. Returns how far each is that is under way.

        Raises InfrastructureError when Redis cannot be reached; another step goes on from there.
        """
        progress = {}
        for key, request in list(self.running.items()):
            at = self._building.progress(request)
            if at.state in {"done", "failed"}:
                self._take(request, at)
            elif at.state == "absent":
                self._building.start(request)  # Redis has lost everything; the store has not
            else:
                progress[key] = at
        while self._waiting and len(self.running) < self._at_once:
            self._start(self._waiting[0])
            self._waiting.popleft()
        return progress

    def _start(self, request: RegionRequest) -> None:
        try:
            self._building.start(request)
        except RequestError as error:  # somebody builds it with other options
            self.failures[request.key] = str(error)
        else:
            self.running[request.key] = request

    def _take(self, request: RegionRequest, at: Progress) -> None:
        if at.state == "failed":
            self.failures[request.key] = at.message or "no reason"
        else:
            self.results[request.key] = self._building.result(request)
        del self.running[request.key]
