"""Two training sets in a folder: one of landpatch, and one as the public one is."""

from pathlib import Path

import pytest

import landpatch
from landpatch.dataset import Dataset
from tests.training_sets import LUXEMBOURG, PARIS, write_own, write_public


@pytest.fixture(scope="session")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """FR101 of two years, in the first with a patch without a label, and in all but one without water."""
    root = tmp_path_factory.mktemp("own")
    write_own(root, "FR101", 2021, PARIS, clear=[1, 0.97, 0.5, 0.9], unlabelled=PARIS[3:], water=PARIS[1:2])
    write_own(root, "FR101", 2018, PARIS[:2])
    return root / "data"


@pytest.fixture(scope="session")
def public(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """LU000 as the public training set has it, of a year with labels and of one without; and UKRAINE."""
    root = tmp_path_factory.mktemp("public")
    write_public(root, "LU000", 2021, LUXEMBOURG)
    write_public(root, "LU000", 2024, LUXEMBOURG, labels=False)
    write_public(root, "UKRAINE", 2018, ["5900010_3000020_2_7"])
    return root / "data"


@pytest.fixture(scope="session")
def other_map(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """FR101 of two years: of 2021 with labels of a map that names two classes itself, of 2018 with CLC+'s."""
    root = tmp_path_factory.mktemp("other_map")
    told = {"source": "raster=city.tif;classes=0123;nearest", "names": {1: "Bäume & hedges", 2: "Roofs"}}
    write_own(root, "FR101", 2021, PARIS, unlabelled=PARIS[3:], **told)
    write_own(root, "FR101", 2018, PARIS[:1])
    return root / "data"


@pytest.fixture
def paris(own: Path) -> Dataset:
    """FR101 of 2021."""
    return landpatch.open(own, "FR101/2021")


@pytest.fixture
def luxembourg(public: Path) -> Dataset:
    """LU000 of 2021, without what landpatch adds."""
    return landpatch.open(public, "LU000/2021")
