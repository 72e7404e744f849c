"""Workers of a benchmark that run in turns."""

import subprocess
import sys
from itertools import pairwise

from benchmarks.stage import take_answer, take_turns

TICKS = """
import json, os, signal, sys, time
if sys.argv[1] == "stops":
    os.kill(os.getpid(), signal.SIGSTOP)
ticks = []
for _ in range(60):
    ticks.append(time.monotonic())
    time.sleep(0.01)
print(json.dumps(ticks))
"""


def start(script: str, word: str = "") -> "subprocess.Popen[str]":
    return subprocess.Popen([sys.executable, "-c", script, word], stdout=subprocess.PIPE, text=True)


def test_one_worker_runs_at_a_time_and_all_come_to_their_end():
    first, second = start(TICKS), start(TICKS, "stops")
    take_turns((first, 0.2), (second, 0.1))
    ticks = [(tick, name) for name, worker in (("a", first), ("b", second)) for tick in take_answer(worker)]
    assert len(ticks) == 120
    names = [name for _, name in sorted(ticks)]
    # At the same time they would take turns at nearly each tick.
    assert 2 <= sum(before != after for before, after in pairwise(names)) <= 30


def test_a_worker_that_fails_before_its_turn_leaves_the_other_to_its_end():
    first, second = start(TICKS), start("raise SystemExit(3)")
    take_turns((first, 0.2), (second, 0.1))
    assert len(take_answer(first)) == 60
    assert second.wait() == 3
