"""One contract for every image source: the same product, through real servers, by each of them.

The product's pixels tell where they are, so that what is expected is known without any of them.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from types import SimpleNamespace

import numpy as np
import pytest
import structlog
from shapely.geometry import box

from landpatch.errors import ConfigurationError, InfrastructureError, LandpatchError, PermanentError
from landpatch.patch import Patch
from landpatch.quota import PROCESSING, Governor, Quota
from landpatch.settings import Settings
from landpatch.sources.product_files import LoadedFiles, RemoteFiles
from landpatch.sources.stac import SentinelHubCatalogue
from services.image_worker.imagery import Imagery, ProductImagery
from services.image_worker.memory import FIXED_BYTES, making_bytes
from services.image_worker.rendered import RenderedImagery
from services.image_worker.turn import Turn
from services.stack.ports import free_port
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
    open_hub,
    product_root,
)
from tests.scenes import OFFSET, POSITION_ERROR_M, position_errors_m

__all__ = ["downloads", "eo", "files", "open_download", "open_eodata", "open_hub", "product_root"]

pytestmark = pytest.mark.stack

FAR_AWAY = Patch(1, 2_662_500, 1_947_500, 0)
"""In Lisbon."""
OTHER = PRODUCT.replace("165000", "165001")
ABSENT = SCENE.model_copy(
    update={
        "id": "00000000-0000-0000-0000-0000000000ff",
        "name": OTHER,
        "s3_path": SCENE.s3_path.replace(PRODUCT, OTHER),
    }
)
RENDERED_ERROR_M = 0.15
"""Rendered by GDAL, and rounded to whole DN twice."""


@dataclass(frozen=True)
class Source:
    """An image source: how it is opened, with other settings or of another endpoint."""

    open: Callable[..., Imagery]
    error_m: float
    """How far a pixel may be from where it should be."""


@pytest.fixture
def sources(open_eodata, open_download, open_hub) -> dict[str, Source]:
    def settings(**given) -> Settings:
        return Settings(_env_file=None).model_copy(update={"threads": 2} | given)

    def eodata(endpoint=None, **given):
        return ProductImagery(settings(**given), open_eodata(*[endpoint] if endpoint else []))

    def zipped(parts):
        def make(endpoint=None, **given):
            return ProductImagery(settings(**given), open_download(parts, endpoint)[0])

        return make

    def rendered(endpoint=None, **given):
        given = settings(**given)
        return RenderedImagery(open_hub(endpoint), given.threads, given.memory_bytes - FIXED_BYTES)

    return {
        "eodata": Source(eodata, POSITION_ERROR_M),
        "odata-zip": Source(zipped("ignored"), POSITION_ERROR_M),
        "odata-zip, in parts": Source(zipped("given"), POSITION_ERROR_M),
        "sentinelhub": Source(rendered, RENDERED_ERROR_M),
    }


PRODUCTS = ["eodata", "odata-zip", "odata-zip, in parts"]
"""Sources of products, of which we make the pixels."""
EVERY = [*PRODUCTS, "sentinelhub"]


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
    first, *others = (observe(sources[name].open())[PATCH.name] for name in PRODUCTS)
    for other in others:
        assert other.reflectance.tobytes() == first.reflectance.tobytes()
        assert other.clarity.tobytes() == first.clarity.tobytes()


def test_a_patch_beyond_the_scene_is_told_to_show_nothing_and_the_others_are_seen(source):
    seen = observe(source.open(), patches=(PATCH, FAR_AWAY))
    assert seen[FAR_AWAY.name] is None
    assert seen[PATCH.name] is not None


def test_what_is_said_while_a_patch_is_made_says_of_which_task_and_patch_it_is(source):
    with structlog.contextvars.bound_contextvars(task="images:1:0"):
        made = source.open().observe(
            SCENE, [PATCH], lambda patch, _: (patch.name, structlog.contextvars.get_contextvars()), Turn()
        )
        assert dict(made) == {PATCH.name: {"task": "images:1:0", "patch": PATCH.name}}


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
    with pytest.raises(PermanentError, match=re.escape(OTHER.removesuffix(".SAFE"))) as absent:
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


@pytest.mark.parametrize("name", PRODUCTS)
def test_a_product_that_does_not_fit_into_memory_is_refused_with_a_reason(sources, name):
    with pytest.raises(PermanentError, match=r"needs .* of memory .* left of LANDPATCH_MEMORY_BYTES"):
        observe(sources[name].open(memory_bytes=FIXED_BYTES + 10**6))


def test_the_tags_say_how_pixels_are_made_and_not_by_which_way_products_came(sources):
    tags = {name: dict(sources[name].open().tags) for name in EVERY}
    assert len({frozenset(tags[name].items()) for name in PRODUCTS}) == 1
    assert tags["eodata"]["PIXELS"] == "products"
    assert tags["sentinelhub"]["PIXELS"] == "sentinelhub"
    for name in EVERY:
        assert {"RESAMPLING", "OFFSET"} <= tags[name].keys()
    assert "2.07 processing units" in tags["sentinelhub"]["COST"]


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


# Sentinel Hub


def test_what_is_rendered_is_what_is_cut_but_for_the_resampling(sources):
    cut, rendered = (observe(sources[name].open())[PATCH.name] for name in ("eodata", "sentinelhub"))
    apart = np.abs(cut.reflectance - rendered.reflectance)
    # A metre is ten DN in this product.
    assert apart.max() <= 10 * RENDERED_ERROR_M / 10_000
    assert np.median(apart) <= 0.5 / 10_000
    assert np.array_equal(cut.clarity, rendered.clarity)


def test_a_rectangle_of_patches_is_one_request_and_each_gets_its_own_pixels(open_hub):
    places = [(east, north) for east in (0, 2500) for north in (0, 2500)]
    patches = [Patch(0, PATCH.xmin + east, PATCH.ymin + north, 0) for east, north in places]
    imagery = RenderedImagery(open_hub(), 2, 10**9)
    with imagery.counting() as traffic:
        together = observe(imagery, patches=patches)
    assert traffic.requests == 1
    alone = observe(imagery)[PATCH.name]
    apart = np.abs(together[PATCH.name].reflectance - alone.reflectance)
    assert apart.max() <= 1.001 / 10_000  # a rounding: GDAL interpolates places within what it renders
    assert (apart > 0).mean() < 0.05


def test_with_less_memory_less_is_asked_for_at_once(open_hub):
    patches = [Patch(0, PATCH.xmin + east, PATCH.ymin, 0) for east in (0, 2500, 5000)]
    for most_bytes, requests in ((10**9, 1), (making_bytes(1) + 45_000_000, 2), (10**6, 3)):
        imagery = RenderedImagery(open_hub(), 2, most_bytes)
        with imagery.counting() as traffic:
            observe(imagery, patches=patches)
        assert traffic.requests == requests


def test_processing_units_are_counted_and_those_of_a_minute_are_waited_for(open_hub, redis_client):
    waits = []

    def wait(pause_s):
        waits.append(pause_s)
        redis_client.delete("landpatch:quota:{metered}:requests")

    quota = Quota(4, 10**12, 5, 10_000_000, PROCESSING)
    governor = Governor(redis_client, "metered", quota, sleep=wait)
    hub = open_hub(governor=governor)
    for _ in range(2):
        hub.render(SCENE, PATCH.bounds)  # of 2.07 units, which count for three
    assert len(waits) == 1
    assert 50 < waits[0] <= 92
    assert governor.left().volume == 10_000_000 - 2 * 2066


def test_a_wrong_secret_of_the_client_is_a_matter_of_the_settings_and_is_not_told(open_hub, monkeypatch):
    monkeypatch.setitem(ACCOUNT, "LANDPATCH_SENTINELHUB_CLIENT_SECRET", "an0ther-s3cr3t")
    hub = open_hub()
    for ask in (hub.check, lambda: hub.render(SCENE, PATCH.bounds)):
        with pytest.raises(ConfigurationError, match="LANDPATCH_SENTINELHUB_CLIENT_SECRET") as refused:
            ask()
        assert "an0ther-s3cr3t" not in str(refused.value)


def test_the_catalogue_finds_the_product_by_place_time_and_clouds(open_hub):
    catalogue = SentinelHubCatalogue(open_hub())
    around, days = box(2.2, 48.8, 2.4, 48.9), (date(2023, 6, 1), date(2023, 6, 1))
    (scene,) = catalogue.find(around, *days, 3.5).scenes
    assert (scene.name, scene.tile, scene.sensed, scene.baseline) == (PRODUCT, "31UDQ", SCENE.sensed, (5, 10))
    assert catalogue.find(around, *days, 3.4).scenes == ()
    assert catalogue.find(box(9, 48, 10, 49), *days, 100).scenes == ()
    assert catalogue.find(around, date(2023, 6, 2), date(2023, 6, 9), 100).scenes == ()
