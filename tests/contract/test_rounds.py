"""What happens to patches between rounds and at their end, on a real Redis and a real store."""

from dataclasses import replace

import pytest

from landpatch import celery
from landpatch.coverage import dump_scenes
from landpatch.grid import lay_grid
from landpatch.layout import RegionLayout
from landpatch.ledger import Ledger
from landpatch.messages import AdvanceRegion, CutScene, PatchWork, RegionRequest, SceneRef, SettlePatches
from landpatch.records import Outcome, Work
from landpatch.settings import Settings
from landpatch.storage import S3Store, make_s3_client
from services.dispatcher.pipeline import Dispatcher
from services.image_worker.imagery import open_imagery
from services.image_worker.pipeline import GONE, ImageWorker
from services.image_worker.turn import Turn
from tests.contract.paris import read_boundary
from tests.http_server import quick_session
from tests.unit.test_coverage import scene

pytestmark = pytest.mark.stack

REGION = "FR101/2021"
BROKEN, DARK, CLOUDY = (f"00000000-0000-0000-0000-00000000000{number}" for number in range(3))
"""Products: one that cannot be read, one that shows nothing, one that is kept."""


class World:
    """A region that is being cut; a patch may use one product."""

    def __init__(self, settings, store, ledger, data):
        self.ledger = ledger
        self.dispatcher = Dispatcher(settings, store, ledger, quick_session())
        self.worker = ImageWorker(settings, store, open_imagery(settings), ledger, Turn())
        request = RegionRequest(nuts="FR101", year=2021, start="2021-05-01", end="2021-09-30")
        self.run, _ = ledger.start(request)
        self.header = {"run": self.run, "nuts": "FR101", "year": 2021}
        self.names = sorted(patch.name for patch in lay_grid(read_boundary(data)))
        ledger.note(REGION, self.run, patches=len(self.names))
        elsewhere = [replace(scene("x"), id=id_) for id_ in (BROKEN, DARK, CLOUDY)]
        ledger.keep_scenes(REGION, self.run, dump_scenes(elsewhere))

    def cut(self, id_, *names):
        return CutScene(
            **self.header, round=1, recipe="r", composite="best",
            scene=SceneRef(id=id_, name=f"S2A_MSIL2A_{'X' * 50}", s3_path="a", baseline=(5, 0),
                           sensed="2021-06-01T00:00:00Z"),
            patches=tuple(PatchWork(name=name) for name in names),
        )  # fmt: skip

    def settle(self, *works):
        return SettlePatches(**self.header, round=2, recipe="r", composite="best", block=0, patches=works)

    def end_round(self, cuts, complete):
        """The first round: every message is done, and those patches are complete that are said to be."""
        self.ledger.open_round(REGION, self.run, 1, cuts)
        self.ledger.record(REGION, self.run, "images", dict.fromkeys(complete, Outcome("complete")))
        for message in cuts:
            failure = "B4 cannot be decoded" if message.scene.id == BROKEN else ""
            self.ledger.finish(message, Work(product=message.scene.name, failure=failure))

    def advance(self):
        self.dispatcher.advance(AdvanceRegion(**self.header, round=1))


@pytest.fixture
def world(s3, redis_client, redis_url, data, monkeypatch):
    monkeypatch.setenv("LANDPATCH_REDIS_URL", redis_url)
    celery._sender.cache_clear()
    settings = Settings(
        _env_file=None, LANDPATCH_REDIS_URL=redis_url, LANDPATCH_MAX_PRODUCTS=1,
        LANDPATCH_NUTS_URL=str(data / "boundaries.geojson"), LANDPATCH_PREFIX="rounds",
        EO_S3_ACCESS_KEY_ID="key", EO_S3_SECRET_ACCESS_KEY="secret",
    )  # fmt: skip
    store = S3Store(make_s3_client(s3.endpoint, s3.key, s3.secret), s3.bucket, s3.endpoint)
    yield World(settings, store, Ledger(redis_client), data)
    celery._sender.cache_clear()


def test_a_patch_that_no_product_has_shown_is_settled_with_its_reason_and_without_a_task(world):
    unread, unseen, uncovered, kept, *rest = world.names
    world.end_round([world.cut(BROKEN, unread), world.cut(DARK, unseen), world.cut(CLOUDY, kept)], rest)
    world.ledger.keep_observation(REGION, world.run, kept, CLOUDY)
    world.advance()
    found = world.ledger.outcomes(REGION, "images")
    assert {name: found[name] for name in found if name not in rest} == {
        unread: Outcome("failed", "B4 cannot be decoded"),
        unseen: Outcome("missing", "no valid pixel in any of 1 products"),
        uncovered: Outcome("missing", "no product in the catalogue covers it"),
    }
    assert world.ledger.patches_of(REGION, "images", ["2:settle-0"]) == {"2:settle-0": [kept]}
    assert world.ledger.pending(REGION, "images") == 1
    assert not world.ledger.is_pending(REGION, "control", "index")


def test_a_region_of_which_nothing_is_left_to_settle_goes_to_the_indexer(world):
    unseen, *rest = world.names
    world.end_round([world.cut(DARK, unseen)], rest)
    world.advance()
    assert len(world.ledger.outcomes(REGION, "images")) == len(world.names)
    assert world.ledger.is_pending(REGION, "control", "index")


def test_to_settle_patches_nothing_is_read_of_the_other_tasks_of_the_region(world, redis_client):
    works = [PatchWork(name=name) for name in world.names[:3]]
    world.ledger.open_round(REGION, world.run, 1, [world.cut(DARK, *world.names), world.settle(*works)])
    redis_client.config_resetstat()
    world.worker.settle(world.settle(*works))
    commands = redis_client.info("commandstats").keys()
    assert "cmdstat_zrem" in commands
    assert not {"cmdstat_hgetall", "cmdstat_hvals", "cmdstat_hscan", "cmdstat_smembers"} & commands


@pytest.mark.parametrize("stored", [None, b"", b"not an observation"])
def test_a_patch_whose_observations_are_gone_or_broken_fails_so_that_a_retry_makes_it(world, stored):
    name = world.names[0]
    kept = world.cut(CLOUDY, name).scene
    settle = world.settle(PatchWork(name=name, earlier=(kept,)))
    key = RegionLayout("rounds", "FR101", 2021).observation(name, CLOUDY, settle.recipe)
    if stored is not None:
        world.worker.store.put(key, stored)
    world.ledger.open_round(REGION, world.run, 1, [settle, world.cut(DARK, name)])
    world.worker.settle(settle)
    assert world.ledger.outcomes(REGION, "images") == {name: Outcome("failed", GONE)}
