"""The sandbox's products of a region, made once for all stacks of the tests."""

import fcntl
import os
import shutil
import subprocess
import sys
from functools import cache
from hashlib import sha256
from pathlib import Path

from services.stack.state import ROOT, state_folder
from tests.environment import clean_environment


def _folder() -> Path:
    """Where they are kept from session to session, for as long as the sandbox is the same."""
    code = sha256()
    for path in sorted((ROOT / "services" / "sandbox").rglob("*.py")):
        code.update(path.read_bytes())
    return state_folder() / "test-products" / code.hexdigest()[:12]


@cache
def make_products(nuts: str) -> Path:
    """Have the sandbox make a region's products of 2021; where they lie."""
    root = _folder()
    command = [sys.executable, "-m", "services.sandbox", "prepare", nuts, "--root", str(root)]
    subprocess.run(command, cwd=ROOT, env=clean_environment(), check=True, capture_output=True)
    return root


def take_products(nuts: str, sandbox: Path) -> None:
    """Let a sandbox, whose folder is named, begin with a region's products."""
    state_folder().mkdir(parents=True, exist_ok=True)
    # Tests run in several processes; one that looks what is there writes down that it does.
    with (state_folder() / "test-products.lock").open("w") as alone:
        fcntl.flock(alone, fcntl.LOCK_EX)
        # A link to each file: the sandbox replaces files, it does not change them. Of a lock it would be the
        # same lock.
        no_lock = shutil.ignore_patterns(".*.lock")
        shutil.copytree(make_products(nuts), sandbox, ignore=no_lock, copy_function=_link, dirs_exist_ok=True)


def _link(source: str, target: str) -> None:
    """Link a file, over one that is there; copy it where a link cannot reach."""
    Path(target).unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
