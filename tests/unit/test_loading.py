"""A process loads what it needs: a dozen of them start at once, on machines of two cores."""

import os
import subprocess
import sys

import pytest

from tests.environment import ROOT

PIXELS = {"rasterio", "cv2", "shapely", "pyproj", "boto3", "pandas"}


@pytest.mark.parametrize(
    ("process", "needs_not"),
    [
        ("import services.reconciler.__main__", PIXELS),
        ("import services.metrics.__main__", PIXELS),
        ("import services.flower.app", PIXELS),
        ("import services.sandbox.__main__, services.sandbox.gate", PIXELS),
        (
            "from landpatch.cli import main; main(['retry', 'nowhere'])",
            {"starlette", "geopandas"},
        ),
    ],
)
def test_a_process_does_not_load_what_others_need(process, needs_not):
    code = f"import sys\ntry:\n    {process}\nexcept SystemExit:\n    pass\nprint(*sys.modules)"
    ran = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=os.environ | {"LANDPATCH_REDIS_URL": "redis://127.0.0.1:1/0", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(ran.stdout.split())
    assert "landpatch" in loaded
    assert loaded & needs_not == set()
