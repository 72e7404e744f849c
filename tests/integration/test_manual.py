"""The examples of the pages run as they stand, on a region that was built through real processes.

Only addresses that name no place on this machine are replaced, each by a place with the same objects.
"""

import ast
import io
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sybil import Sybil
from sybil.document import Document
from sybil.parsers.markdown import PythonCodeBlockParser

from landpatch.legend import LAND_COVER
from tests.environment import ROOT, clean_environment
from tests.integration.conftest import Built, Stack
from tests.torch_needed import need_torch
from tests.training_sets import LUXEMBOURG, bands_at, centres, write_public
from tests.unit.test_links import PAGES

pytestmark = pytest.mark.stack

RUN = {"README.md", "docs/finding.md", "docs/looking.md", "docs/reading.md"}
"""Pages whose examples run here."""
RUN_ELSEWHERE = {"docs/tutorial.md"}
"""Pages whose examples run in `test_tutorial`."""
PRINTED = "http://127.0.0.1:PORT/landpatch/data/images/FR101/2021/"
"""What stands in a page for the address that `make region` prints."""
PUBLIC = "https://minio.lab.sspcloud.fr/projet-funathon/2026/project3/data"
"""The public training set."""


def parse(page: str, folder: Path, places: Mapping[str, str] | None = None) -> Document:
    """A page and its examples.

    folder: for the page with the places in it. places: what is put in the place of an address, by address;
    each address must be there.
    """
    text = (ROOT / page).read_text()
    for address, place in (places or {}).items():
        assert address in text, f"{page} no longer names {address}"
        text = text.replace(address, place)
    path = folder / Path(page).name
    path.write_text(text)
    return Sybil([PythonCodeBlockParser()]).parse(path)


def run(page: Document) -> dict:
    """Run the examples of a page from top to bottom in one namespace; what they leave behind."""
    for example in page:
        example.evaluate()
    return page.namespace


def trains(example) -> bool:
    """Whether an example needs PyTorch."""
    return "torch" in str(example.parsed)


@pytest.fixture
def beside(paris: Built, stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a reader of the pages is: beside `.state`, with nothing set."""
    (tmp_path / ".state").symlink_to(stack.state)
    monkeypatch.chdir(tmp_path)
    for name in os.environ.keys() - clean_environment().keys():
        monkeypatch.delenv(name)


def test_no_page_has_examples_that_nothing_runs(tmp_path):
    assert {page for page in PAGES if list(parse(page, tmp_path))} == RUN | RUN_ELSEWHERE


def test_the_example_of_the_readme_reads_a_pair_over_http(beside, paris, tmp_path):
    folder = paris.result["index"].rpartition("/")[0] + "/"
    assert folder.startswith("http://127.0.0.1:")
    found = run(parse("README.md", tmp_path, {PRINTED: folder}))
    assert len(found["index"]) == 28
    assert found["colours"].shape == (3, 250, 250)
    assert found["label"].shape == (250, 250)
    assert set(np.unique(found["label"])) <= {0, *(cover.number for cover in LAND_COVER)}


def test_the_examples_of_finding_give_what_stands_behind_them(beside, stack, tmp_path, monkeypatch):
    monkeypatch.setenv("LANDPATCH_STATE_DIR", str(stack.state))
    page = parse("docs/finding.md", tmp_path)
    found = run(page)
    said = [
        line.split("  # ") for example in page for line in str(example.parsed).splitlines() if "  # " in line
    ]
    assert len(said) == 2
    for expression, value in said:
        assert eval(expression, found) == ast.literal_eval(value), expression  # noqa: S307  # our own page
    assert ("FR101", 2021, 28) in [(each.region, each.year, each.complete) for each in found["built"]]


def test_the_example_of_looking_draws_a_patch(beside, tmp_path):
    drawn = run(parse("docs/looking.md", tmp_path))["drawn"]
    with Image.open(io.BytesIO(drawn)) as picture:
        assert (picture.size, picture.mode) == ((250, 250), "RGBA")


@pytest.fixture
def published(tmp_path: Path) -> str:
    """A folder with patches as the public training set has them."""
    write_public(tmp_path / "published", "LU000", 2021, LUXEMBOURG)
    return str(tmp_path / "published" / "data")


def test_the_examples_of_reading_run(beside, tmp_path, published):
    page = parse("docs/reading.md", tmp_path, {PUBLIC: published})
    ran = [example for example in page if not trains(example) and (example.evaluate() or True)]
    assert len(ran) >= 6
    found = page.namespace
    assert len(found["dataset"]) == 28
    assert sum(map(len, found["parts"].values())) == 28
    assert found["items"][0].assets["label"].title.startswith("CLC+ Backbone")
    assert Path("items.parquet").stat().st_size > 0
    assert found["pair"].patch == LUXEMBOURG[0]  # of the public training set, the last example
    np.testing.assert_allclose(found["pair"].image, bands_at(*centres(4042000, 2951690)), rtol=0, atol=1e-12)


def test_the_loss_of_the_training_loop_falls(beside, tmp_path, capsys):
    need_torch()
    import torch

    torch.manual_seed(0)
    (loop,) = [example for example in parse("docs/reading.md", tmp_path) if trains(example)]
    assert sum(bool(line.strip()) for line in loop.parsed.splitlines()) == 10
    loop.evaluate()
    losses = [float(line) for line in capsys.readouterr().out.split()]
    epoch = len(losses) // 8
    first, last = (sum(part) / epoch for part in (losses[:epoch], losses[-epoch:]))
    assert epoch >= 3
    assert last < 0.8 * first
