"""What is asked of the ledger, of one region unless said."""

from concurrent.futures import ThreadPoolExecutor
from datetime import date
from threading import Barrier

from landpatch.messages import FetchLabels, PatchWork, RegionRequest, SettlePatches
from tests.waiting import LONG_S

REGION = "FR101/2021"
THREADS = 8


def cut(run: str, block: int = 0, number: int = 1, nuts: str = "FR101") -> SettlePatches:
    """A message that asks for the task `{number}:settle-{block}`."""
    return SettlePatches(
        run=run, nuts=nuts, year=2021, round=number, recipe="r", composite="best", block=block,
        patches=(PatchWork(name="0_0_0_0"),),
    )  # fmt: skip


def label(run: str, block: int = 0, nuts: str = "FR101") -> FetchLabels:
    """A message that asks for the labels of a block."""
    return FetchLabels(
        run=run, nuts=nuts, year=2021, round=1, label_year=2021, block=block, patches=("0_0_0_0",)
    )


def open_round(ledger, run, number, blocks):
    """Open a round of so many tasks."""
    return ledger.open_round(REGION, run, number, [cut(run, block, number) for block in range(blocks)])


def request(**fields: object) -> RegionRequest:
    return RegionRequest(
        **{"nuts": "FR101", "year": 2021, "start": date(2021, 5, 1), "end": date(2021, 9, 30)} | fields
    )


def race(action, items):
    """Call the action with every item, from threads that start together."""
    barrier = Barrier(THREADS)
    shares = [items[n::THREADS] for n in range(THREADS)]

    def take(share):
        barrier.wait(LONG_S)
        return [action(item) for item in share]

    with ThreadPoolExecutor(THREADS) as pool:
        return [answer for answers in pool.map(take, shares) for answer in answers]
