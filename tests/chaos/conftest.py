"""Stacks to be disturbed; what an undisturbed run gives; and what has been done in all."""

import os
import random
import shutil
import time
from collections.abc import Callable, Iterator

import pytest
from rich.console import Console

from services.stack.state import state_folder
from tests.chaos.stage import Stage, Undisturbed
from tests.chaos.tally import Tally
from tests.sandbox_products import take_products

FOLDER = state_folder() / "chaos"
RESULTS = FOLDER / "results.json"
TALLY = pytest.StashKey[Tally]()
StageMaker = Callable[..., Stage]


def pytest_terminal_summary(config: pytest.Config) -> None:
    """Say what has been done and found, and keep it as JSON."""
    tally = config.stash.get(TALLY, None)
    if tally:
        tally.write(RESULTS)
        tally.show(Console())
        print(f"written to {RESULTS}")


@pytest.fixture(scope="session")
def tally(pytestconfig: pytest.Config) -> Tally:
    """Counts over all tests; its seed is LANDPATCH_CHAOS_SEED, or taken from the clock."""
    seed = int(os.environ.get("LANDPATCH_CHAOS_SEED") or time.time_ns() % 1_000_000)
    print(f"\nchaos: seed {seed}; run again with LANDPATCH_CHAOS_SEED={seed}")
    return pytestconfig.stash.setdefault(TALLY, Tally(seed))


@pytest.fixture
def chance(tally: Tally, request: pytest.FixtureRequest) -> random.Random:
    """The random source of a test: the same for the same seed, whichever other tests run."""
    return random.Random(f"{tally.seed} {request.node.name}")  # noqa: S311  # to be repeated, not to be secret


@pytest.fixture(scope="session")
def make_stage(tally: Tally) -> Iterator[StageMaker]:
    """Make stages, each with the products of a region (FR101 if none is named) and with settings of its
    own; they are stopped at the end. Their folders stay until the next session, for whoever looks."""
    stages = FOLDER / "stages"
    for left in stages.glob("*"):
        # A session that was killed has left its stacks running.
        Stage(left, tally).down()
    shutil.rmtree(stages, ignore_errors=True)
    made: list[Stage] = []

    def make(name: str, region: str = "FR101", **settings: str) -> Stage:
        made.append(Stage(stages / f"{len(made):02d}_{name}", tally, **settings))
        take_products(region, made[-1].state / "sandbox")
        return made[-1]

    yield make
    for stage in made:
        stage.down()


@pytest.fixture(scope="session")
def shared_stage(make_stage: StageMaker) -> Stage:
    """One stack for the tests that leave it as it was."""
    return make_stage("shared")


@pytest.fixture(scope="session")
def paris(shared_stage: Stage) -> Undisturbed:
    """What an undisturbed run of FR101 gives."""
    shared_stage.make_ready()
    undisturbed = shared_stage.build("FR101")
    shared_stage.spoilt = False
    return undisturbed


@pytest.fixture
def stage(shared_stage: Stage, paris: Undisturbed) -> Stage:
    """The shared stack, running and empty. A test that passes says so by `stage.spoilt = False`."""
    shared_stage.make_ready()
    return shared_stage
