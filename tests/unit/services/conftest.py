"""What the tests of the services share."""

from collections.abc import Callable, Mapping, Sequence

import pytest

from landpatch.composite import Observation
from landpatch.grid import Patch
from landpatch.radiometry import Radiometry
from services.image_worker.bands import ProductBytes
from services.image_worker.cut import cut_patches

Cut = Callable[[Mapping[str, bytes], Radiometry, Sequence[Patch]], dict[str, Observation | None]]


@pytest.fixture(scope="session")
def cut() -> Cut:
    """The whole cut: JP2 bytes of the 12 bands and SCL, by name, to each patch's observation, by name."""

    def run(
        bands: Mapping[str, bytes], radiometry: Radiometry, patches: Sequence[Patch]
    ) -> dict[str, Observation | None]:
        files = ProductBytes("S2A_MSIL2A_TEST.SAFE", radiometry, bands, 0, 0)
        return {patch.name: seen for patch, seen in cut_patches(files, "scene", patches, 32_000_000)}

    return run
