"""The height of a process's memory while it cuts, against what is counted beforehand."""

import json
import os
import subprocess
import sys

import numpy as np

from landpatch.patch import Patch
from tests.environment import ROOT
from tests.memory import measured
from tests.scenes import IN_THREE_TILES, TILES, hills, write_product
from tests.waiting import LONG_S


def test_what_many_threads_take_is_foreseen_and_is_more_than_the_product(cache, tmp_path):
    with measured():
        pass  # skips where that cannot be
    field = [lambda x, y: np.round(hills(x, y))]
    for name, data in write_product(TILES["31UGR"], Patch(0, *IN_THREE_TILES, 0), field, cache).items():
        (tmp_path / f"{name}.jp2").write_bytes(data)
    cutting = subprocess.run(
        [sys.executable, "-m", "tests.unit.services.cut_many", str(tmp_path), "8"],
        cwd=ROOT,
        env=os.environ | {"MALLOC_ARENA_MAX": "2"},  # as workers are started
        capture_output=True,
        text=True,
        timeout=LONG_S,
        check=False,
    )
    assert cutting.returncode == 0, cutting.stderr
    found = json.loads(cutting.stdout.splitlines()[-1])
    assert found["foreseen"] - found["making"] < found["taken"] <= found["foreseen"]
