"""PyTorch, which is not among the locked packages: a plain resolution takes some GB of it."""

import importlib.util
import os

import pytest


def need_torch() -> None:
    """What a machine lacks skips here and fails in CI, which installs it: `make torch`."""
    if importlib.util.find_spec("torch") is None:
        if os.environ.get("CI") or os.environ.get("TORCH") == "required":
            pytest.fail("PyTorch is not installed: make torch")
        pytest.skip("needs PyTorch: make torch")
