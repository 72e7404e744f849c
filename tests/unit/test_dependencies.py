"""Dependencies: pinned with hashes, and an audit that never calls unchecked packages sound."""

import json
import os
import re
import subprocess
import sys
import tomllib
from importlib.util import find_spec
from itertools import chain
from pathlib import Path

import pytest

from tests.environment import ROOT

LOCK = (ROOT / "requirements.lock").read_text()


def canonical(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def pins():
    """Name and the lines of each pinned package."""
    entries = re.split(r"\n(?=\S)", re.sub(r"^#.*\n", "", LOCK, flags=re.MULTILINE).strip())
    return [(canonical(re.match(r"[A-Za-z0-9._-]+", entry)[0]), entry) for entry in entries]


def test_every_package_is_pinned_with_hashes():
    assert len(pins()) > 100
    for name, entry in pins():
        first, *hashes = entry.replace("\\\n", "\n").splitlines()
        assert re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+( ; .+)?", first.strip()), name
        assert hashes, name
        assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", line.strip()) for line in hashes), name


@pytest.mark.parametrize("module", ["celery.app", "rasterio.io", "landpatch.ledger", "services.stack"])
def test_what_is_set_up_is_compiled(module):
    # Else every process compiles it at its start, where Python may not keep what it compiles.
    assert Path(find_spec(module).cached).exists(), "run `make setup`"


def test_every_dependency_of_the_project_is_in_the_lock():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]
    asked = chain(project["project"]["dependencies"], extras["maps"], *project["dependency-groups"].values())
    names = {canonical(re.match(r"[A-Za-z0-9._-]+", text)[0]) for text in asked}
    assert names <= {name for name, _ in pins()}


def test_the_lock_names_no_address_to_fetch_from():
    assert not re.search(r"https?://|--index-url|--extra-index-url|--find-links|--trusted-host", LOCK)


def audit(tmp_path, says, code=0, **extra):
    tool = tmp_path / "tool"
    (tmp_path / "answer").write_text(says)
    tool.write_text(f'#!/bin/sh\ncat "{tmp_path}/answer"\nexit {code}\n')
    tool.chmod(0o755)
    return subprocess.run(
        [sys.executable, ROOT / "scripts" / "audit.py", "--tool", tool],
        env={name: value for name, value in os.environ.items() if name != "AUDIT"} | extra,
        capture_output=True,
        text=True,
        check=False,
    )


SOUND = {"name": "affine", "version": "3.0.1", "vulns": []}
SKIPPED = {"name": "affine", "skip_reason": "not found"}
VULNERABLE = {
    "name": "redis", "version": "1.0", "vulns": [{"id": "PYSEC-1", "fix_versions": ["1.1"], "aliases": []}]
}  # fmt: skip


@pytest.mark.parametrize(
    ("packages", "code", "says"),
    [
        ([SOUND], 0, "0 known vulnerabilities in 1 packages"),
        ([SOUND, VULNERABLE], 1, "redis 1.0: PYSEC-1 (mended in 1.1)"),
        ([SOUND, SKIPPED], 0, "NOT AUDITED: 1 packages"),
        ([SKIPPED, SKIPPED], 0, "NOT AUDITED: no database"),
        ([], 0, "NOT AUDITED: no database"),
    ],
)
def test_the_audit_says_what_is_known_and_what_is_not(tmp_path, packages, code, says):
    ran = audit(tmp_path, json.dumps({"dependencies": packages, "fixes": []}), code)
    assert ran.returncode == code, ran.stderr
    assert says in ran.stdout


@pytest.mark.parametrize("says", ["", "Traceback: the name cannot be resolved"])
def test_without_a_database_the_audit_says_so_and_fails_where_it_is_required(tmp_path, says):
    ran = audit(tmp_path, says, 1)
    assert (ran.returncode, "NOT AUDITED: no database" in ran.stdout) == (0, True)
    assert audit(tmp_path, says, 1, AUDIT="required").returncode == 1
