"""The examples of the pages run as they stand, on a region that was built through real processes."""

from pathlib import Path

import pytest
from sybil import Sybil
from sybil.document import Document
from sybil.parsers.markdown import PythonCodeBlockParser, SkipParser

from tests.environment import ROOT
from tests.integration.conftest import Built, Stack
from tests.torch_needed import need_torch

pytestmark = pytest.mark.stack


def parse(page: str) -> Document:
    """A page and its examples."""
    return Sybil([PythonCodeBlockParser(), SkipParser()]).parse(ROOT / "docs" / page)


def trains(example) -> bool:
    """Whether an example needs PyTorch."""
    return "torch" in str(example.parsed)


@pytest.fixture
def beside(paris: Built, stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a reader of the pages is: beside `.state`, with nothing set."""
    (tmp_path / ".state").symlink_to(stack.state)
    monkeypatch.chdir(tmp_path)
    for name in ("AWS_S3_ENDPOINT", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)


def test_the_examples_of_reading_run(beside):
    page = parse("reading.md")
    ran = [example for example in page if not trains(example) and (example.evaluate() or True)]
    assert len(ran) >= 5
    found = page.namespace
    assert len(found["dataset"]) == 28
    assert found["pair"].image.shape == (14, 250, 250)
    assert sum(map(len, found["parts"].values())) == 28
    assert Path("items.parquet").stat().st_size > 0


def test_the_loss_of_the_training_loop_falls(beside, capsys):
    need_torch()
    import torch

    torch.manual_seed(0)
    (loop,) = [example for example in parse("reading.md") if trains(example)]
    assert sum(bool(line.strip()) for line in loop.parsed.splitlines()) == 10
    loop.evaluate()
    losses = [float(line) for line in capsys.readouterr().out.split()]
    epoch = len(losses) // 8
    first, last = (sum(part) / epoch for part in (losses[:epoch], losses[-epoch:]))
    assert epoch >= 3
    assert last < 0.8 * first
