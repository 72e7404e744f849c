"""What the tests of the services share."""

from collections.abc import Callable, Mapping, Sequence

import pytest

from landpatch.composite import Observation
from landpatch.patch import Patch
from landpatch.radiometry import Radiometry
from services.image_worker.cut import cut_patches, locate_patches, needed_tiles
from services.image_worker.loader import Room
from services.image_worker.product import MemoryProduct

Cut = Callable[[Mapping[str, bytes], Radiometry, Sequence[Patch]], dict[str, Observation | None]]


@pytest.fixture(scope="session")
def cut() -> Cut:
    """The whole cut: JP2 bytes of the 12 bands and SCL, by name, to each patch's observation, by name."""

    def run(
        files: Mapping[str, bytes], radiometry: Radiometry, patches: Sequence[Patch], threads: int = 2
    ) -> dict[str, Observation | None]:
        memory = MemoryProduct("S2A_MSIL2A_TEST.SAFE", radiometry, files)
        sites = locate_patches(memory.product, patches)
        bands = memory.open(needed_tiles(memory.product, sites))
        pairs = cut_patches(memory.product, bands, sites, "scene", _pair, threads, Room(2**31))
        return {patch.name: seen for patch, seen in pairs}

    return run


def _pair(patch: Patch, seen: Observation | None) -> tuple[Patch, Observation | None]:
    return patch, seen


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("jp2")
