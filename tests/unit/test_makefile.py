"""Options of `make` that are not passed on to a command as options."""

import shutil
import subprocess

import pytest

from tests.environment import ROOT, clean_environment
from tests.waiting import LONG_S

MAKE = shutil.which("make") or "make"


def make(*words, state):
    return subprocess.run(
        [MAKE, *words], cwd=ROOT, env=clean_environment(LANDPATCH_STATE_DIR=str(state)),
        capture_output=True, text=True, timeout=LONG_S, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("name", ["IMAGE_SOURCE", "LABEL_SOURCE"])
def test_a_source_reaches_the_settings(name, tmp_path):
    ran = make("region", "NUTS=FR101", f"{name}=of another world", state=tmp_path)
    assert ran.returncode == 2
    assert f"LANDPATCH_{name}" in ran.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_source_for_workers_elsewhere_is_refused(tmp_path):
    ran = make("region", "NUTS=FR101", "STACK=compose", "IMAGE_SOURCE=odata-zip", state=tmp_path)
    assert ran.returncode == 2
    assert "IMAGE_SOURCE and LABEL_SOURCE are for this machine" in ran.stderr
    assert ran.stdout == ""
