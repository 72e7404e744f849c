"""One contract for every image source: the same product, through real servers, by each of them.

The product's pixels tell where they are, so that what is expected is known without any of them.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest

from landpatch.errors import ConfigurationError, InfrastructureError, LandpatchError, PermanentError
from landpatch.grid import Patch
from landpatch.settings import Settings
from landpatch.sources.product_files import LoadedFiles, RemoteFiles
from services.image_worker.imagery import FIXED_BYTES, Imagery, ProductImagery
from services.image_worker.turn import Turn
from tests.contract.conftest import free_port
from tests.faults.conftest import (
    ACCOUNT,
    PATCH,
    PRODUCT,
    SCENE,
    downloads,
    eo,
    files,
    open_download,
    open_eodata,
    product_root,
)
from tests.unit.services.test_cut import OFFSET, POSITION_ERROR_M, position_errors_m

__all__ = ["downloads", "eo", "files", "open_download", "open_eodata", "product_root"]

pytestmark = pytest.mark.stack

FAR_AWAY = Patch(1, 2_662_500, 1_947_500, 0)
"""In Lisbon."""
ABSENT = SCENE.model_copy(
    update={"id": "00000000-0000-0000-0000-0000000000ff", "s3_path": SCENE.s3_path.replace("06/01", "06/02")}
)


@dataclass(frozen=True)
class Source:
    """An image source: how it is opened, with other settings or of another endpoint."""

    open: Callable[..., Imagery]
    error_m: float
    """How far a pixel may be from where it should be."""


@pytest.fixture
def sources(open_eodata, open_download) -> dict[str, Source]:
    def settings(**given) -> Settings:
        return Settings(_env_file=None).model_copy(update={"threads": 2} | given)

    def eodata(endpoint=None, **given):
        return ProductImagery(settings(**given), open_eodata(*[endpoint] if endpoint else []))

    def zipped(parts):
        def make(endpoint=None, **given):
            return ProductImagery(settings(**given), open_download(parts, endpoint)[0])

        return make

    return {
        "eodata": Source(eodata, POSITION_ERROR_M),
        "odata-zip": Source(zipped("ignored"), POSITION_ERROR_M),
        "odata-zip, in parts": Source(zipped("given"), POSITION_ERROR_M),
    }


EVERY = ["eodata", "odata-zip", "odata-zip, in parts"]


@pytest.fixture(params=EVERY)
def source(sources, request) -> Source:
    return sources[request.param]


def observe(imagery, scene=SCENE, patches=(PATCH,)):
    """What is seen of each patch, by name."""
    return dict(imagery.observe(scene, patches, lambda patch, seen: (patch.name, seen), Turn()))


def test_every_pixel_of_every_band_is_where_it_says_it_is(source):
    seen = observe(source.open())[PATCH.name]
    assert (seen.clarity == 2).all()
    assert seen.scene_id == SCENE.id
    for errors in position_errors_m(SimpleNamespace(reflectance=seen.reflectance), PATCH, OFFSET).values():
        assert np.abs(errors).max() <= source.error_m


def test_products_give_the_same_bits_by_whichever_way_they_come(sources):
    first, *others = (observe(sources[name].open())[PATCH.name] for name in EVERY)
    for other in others:
        assert other.reflectance.tobytes() == first.reflectance.tobytes()
        assert other.clarity.tobytes() == first.clarity.tobytes()


def test_a_patch_beyond_the_scene_is_told_to_show_nothing_and_the_others_are_seen(source):
    seen = observe(source.open(), patches=(PATCH, FAR_AWAY))
    assert seen[FAR_AWAY.name] is None
    assert seen[PATCH.name] is not None


def test_what_it_took_is_counted(source, files):
    imagery = source.open()
    with imagery.counting() as first:
        observe(imagery)
    with imagery.counting() as again:
        observe(imagery)
    assert 0 < first.bytes < 3 * sum(map(len, files.values()))
    assert first.requests > 0
    assert (first.bytes, first.requests) == (again.bytes, again.requests)


def test_a_scene_that_is_not_there_is_named(source):
    with pytest.raises(PermanentError, match=re.escape(PRODUCT)) as absent:
        observe(source.open(), scene=ABSENT)
    assert len(str(absent.value).splitlines()) == 1


def test_a_service_that_cannot_be_reached_is_waited_for(source):
    with pytest.raises(InfrastructureError, match="cannot be reached"):
        observe(source.open(f"http://127.0.0.1:{free_port()}"))


def test_what_fails_afterwards_is_raised_and_nothing_goes_on(source):
    def fail(patch, seen):
        raise LandpatchError("afterwards")

    with pytest.raises(LandpatchError, match=r"^afterwards$"):
        list(source.open().observe(SCENE, (PATCH,), fail, Turn()))


def test_a_product_that_does_not_fit_into_memory_is_refused_with_a_reason(source):
    with pytest.raises(PermanentError, match=r"needs .* of memory .* left of LANDPATCH_MEMORY_BYTES"):
        observe(source.open(memory_bytes=FIXED_BYTES + 10**6))


# the download


def test_the_download_gives_parts_where_the_service_does_and_wholes_where_it_does_not(open_download, files):
    remote = open_download("given")[0].open_product(SCENE, 10**9)
    loaded = open_download("ignored")[0].open_product(SCENE, 10**9)
    assert isinstance(remote, RemoteFiles)
    assert isinstance(loaded, LoadedFiles)
    assert loaded.bands == files
    for band, key in remote.files.bands.items():
        assert remote.read(key, 0, remote.files.sizes[key]) == files[band]
    assert remote.read(remote.files.metadata, 0, remote.files.sizes[remote.files.metadata]) == loaded.metadata


def test_a_wrong_password_is_a_matter_of_the_settings_and_is_not_told(open_download, monkeypatch):
    monkeypatch.setitem(ACCOUNT, "LANDPATCH_CDSE_PASSWORD", "an0ther-s3cr3t")
    source, _ = open_download("ignored")
    for ask in (source.check, lambda: source.open_product(SCENE, 10**9)):
        with pytest.raises(ConfigurationError, match="LANDPATCH_CDSE_PASSWORD") as refused:
            ask()
        assert "an0ther-s3cr3t" not in str(refused.value)


def test_user_and_password_are_looked_at_before_anything_is_queued(open_download):
    open_download("ignored")[0].check()


def test_an_archive_that_has_been_replaced_is_not_mixed_with_the_one_before(
    open_download, product_root, files
):
    remote = open_download("given")[0].open_product(SCENE, 10**9)
    key = remote.files.bands["B2"]
    assert remote.read(key, 0, 1000) == files["B2"][:1000]
    metadata = product_root / "eodata" / SCENE.s3_path / "MTD_MSIL2A.xml"
    metadata.touch()  # the service packs what is new
    with pytest.raises(LandpatchError, match="has been replaced while it was read"):
        remote.read(key, 1000, 1000)
