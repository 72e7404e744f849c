"""Observations that are in the store already are taken from there, and the product is left alone."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date

import numpy as np
import pytest

from landpatch.codec import decode_observation, encode_observation
from landpatch.composite import Observation
from landpatch.errors import LandpatchError
from landpatch.layout import RegionLayout
from landpatch.ledger import Ledger
from landpatch.messages import CutScene, PatchWork, RegionRequest, SceneRef
from landpatch.patch import Patch
from landpatch.radiometry import OBSCURED
from landpatch.settings import Settings
from services.image_worker.imagery import ProductImagery
from services.image_worker.pipeline import ImageWorker
from services.image_worker.turn import Turn
from tests.faults.conftest import PATCH, SCENE, Faulty
from tests.faults.proxy import Rule, says
from tests.scenes import assert_in_place

pytestmark = pytest.mark.stack

NEXT = Patch(1, PATCH.xmin + 2500, PATCH.ymin, 0)
LAYOUT = RegionLayout("data", "FR101", 2023)
REQUEST = RegionRequest(nuts="FR101", year=2023, start=date(2023, 5, 1), end=date(2023, 9, 30))
ANYTHING = "GET /eodata"


@pytest.fixture
def store(open_store, destination):
    """The destination, empty."""
    store = open_store(destination.server.endpoint)
    for entry in list(store.find("data/")):
        store.delete(entry.key)
    yield store
    for entry in list(store.find("data/")):
        store.delete(entry.key)


@pytest.fixture
def cut(store, open_eodata, redis_client):
    """Cuts patches in a run that knows nothing of an earlier one; gives what it has done, and its ledger."""

    def run(*patches: Patch, recipe: str = "test", composite: str = "median"):
        redis_client.flushall()
        ledger = Ledger(redis_client)
        message = CutScene(
            run=ledger.start(REQUEST)[0], nuts="FR101", year=2023, round=1, recipe=recipe,
            composite=composite, scene=SCENE, patches=[PatchWork(name=patch.name) for patch in patches],
        )  # fmt: skip
        # Another is pending, so that nobody is asked for the next step.
        other = SceneRef(**SCENE.model_dump() | {"id": "00000000-0000-0000-0000-000000000002"})
        messages = [message, message.model_copy(update={"scene": other})]
        assert ledger.open_round(REQUEST.key, message.run, 1, messages)
        settings = Settings(_env_file=None).model_copy(update={"threads": 2})
        ImageWorker(settings, store, ProductImagery(settings, open_eodata()), ledger, Turn()).cut(message)
        return ledger.work(REQUEST.key)[f"images:{message.task}"], ledger

    return run


def key_of(patch: Patch, recipe: str = "test") -> str:
    return LAYOUT.observation(patch.name, SCENE.id, recipe)


@contextmanager
def untouched(eo: Faulty) -> Iterator[None]:
    """Fail when the EO data store is asked for anything meanwhile."""
    rule = Rule(ANYTHING, says(503))
    eo.proxy.rules.append(rule)
    try:
        yield
    finally:
        eo.proxy.rules.remove(rule)
    assert rule.met == 0


def assert_every_pixel_is_in_its_place(data: bytes) -> None:
    assert_in_place(decode_observation(data, SCENE.id).reflectance, PATCH)


def test_what_is_stored_is_kept_and_no_byte_of_the_product_is_asked_for(cut, store, eo):
    first, _ = cut(PATCH)
    assert (first.requests > 0, first.bytes_downloaded > 0) == (True, True)
    data = store.get(key_of(PATCH))
    assert_every_pixel_is_in_its_place(data)
    with untouched(eo):
        work, ledger = cut(PATCH)
    assert (work.requests, work.bytes_downloaded, work.product) == (0, 0, SCENE.name)
    assert ledger.kept_observations(REQUEST.key) == {(PATCH.name, SCENE.id)}
    assert store.get(key_of(PATCH)) == data


def test_what_is_stored_becomes_the_image_that_the_product_gives(cut, store):
    cut(PATCH, composite="best")
    image = store.get(LAYOUT.image(PATCH.name))
    assert image is not None
    cut(PATCH)
    store.delete(LAYOUT.image(PATCH.name))
    work, ledger = cut(PATCH, composite="best")
    assert work.requests == 0
    assert store.get(LAYOUT.image(PATCH.name)) == image
    assert ledger.outcomes(REQUEST.key, "images")[PATCH.name].state == "complete"


def test_only_what_is_not_stored_is_cut(cut, store):
    cut(PATCH)
    data = store.get(key_of(PATCH))
    store.delete(key_of(PATCH))
    # Nothing in the product looks like this.
    told = Observation(SCENE.id, np.full((12, 250, 250), 0.25), np.full((250, 250), OBSCURED, "uint8"))
    store.put(key_of(NEXT), encode_observation(told))
    work, ledger = cut(PATCH, NEXT)
    assert work.requests > 0
    assert store.get(key_of(PATCH)) == data
    assert store.get(key_of(NEXT)) == encode_observation(told)
    assert ledger.kept_observations(REQUEST.key) == {(patch.name, SCENE.id) for patch in (PATCH, NEXT)}


def test_what_another_recipe_has_stored_is_not_taken(cut, store):
    cut(PATCH)
    store.put(key_of(PATCH), b"of the first recipe")
    work, _ = cut(PATCH, recipe="other")
    assert work.requests > 0
    assert_every_pixel_is_in_its_place(store.get(key_of(PATCH, "other")))
    assert store.get(key_of(PATCH)) == b"of the first recipe"


@pytest.mark.parametrize(
    "spoil", [lambda data: data[:-100], lambda data: b"", lambda data: data[:5000] + b"x" + data[5001:]]
)
def test_what_is_not_whole_is_cut_again(cut, store, spoil):
    cut(PATCH)
    data = store.get(key_of(PATCH))
    store.put(key_of(PATCH), spoil(data))
    work, _ = cut(PATCH)
    assert work.requests > 0
    assert store.get(key_of(PATCH)) == data


def test_what_is_stored_is_kept_when_the_product_cannot_be_read_any_more(cut, store, eo, redis_client):
    cut(PATCH)
    with eo.proxy.doing(ANYTHING, says(404)), pytest.raises(LandpatchError):
        cut(PATCH, NEXT)
    assert Ledger(redis_client).kept_observations(REQUEST.key) == {(PATCH.name, SCENE.id)}
