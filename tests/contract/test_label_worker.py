"""The label worker on a real Redis, a real store and an ImageServer that refuses in the known ways."""

import io
import json
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from rasterio.io import MemoryFile
from rasterio.transform import from_bounds, from_origin

from landpatch.errors import InfrastructureError, OverloadedError
from landpatch.inventory import take_inventory
from landpatch.layout import RegionLayout
from landpatch.ledger import Ledger
from landpatch.messages import FetchLabels, RegionRequest
from landpatch.patch import Patch
from landpatch.settings import Settings
from landpatch.sources.label_source import open_label_source
from landpatch.storage import S3Store, make_s3_client
from services.label_worker.pipeline import LabelWorker
from tests.faults.proxy import proxying, says
from tests.http_server import Request, quick_session, serving
from tests.unit.labels.rasters import open_labels, write_raster
from tests.unit.test_clcplus import OVERSIZE

pytestmark = pytest.mark.stack

PATCHES = [Patch(row * 10 + col, 3_750_000 + 2500 * col, 2_880_000 + 2500 * row, 0)
           for col in range(6) for row in range(4)]  # fmt: skip
LAYOUT = RegionLayout("labels", "FR101", 2021)
FAULT = b'{"error":{"code":500,"message":"Error exporting image"}}'


def code_at(east, north):
    """What the service has at a place: a class from 1 to 11 that tells row and column of the pixel."""
    return ((east // 10) * 7 + (north // 10) * 3) % 11 + 1


def expected(patch):
    east = patch.xmin + 10 * np.arange(250) + 5
    north = patch.ymin + 2500 - 10 * np.arange(250) - 5
    return code_at(east[None, :], north[:, None]).astype("uint8")


class ImageServer:
    """Renders codes of the place; refuses windows with more pixels than it may have at the moment."""

    def __init__(self, most_px, refusal):
        self.most_px, self.refusal, self.sizes = most_px, refusal, []

    def answer(self, request: Request) -> None:
        query = parse_qs(urlsplit(request.path).query)
        west, south, east, north = (int(part) for part in query["bbox"][0].split(","))
        width, height = (int(part) for part in query["size"][0].split(","))
        self.sizes.append((width, height))
        if width * height > self.most_px:
            status, body = self.refusal
            return request.send(status, body, Content_Length=str(len(body)))
        codes = code_at(
            (west + 10 * np.arange(width) + 5)[None, :], (north - 10 * np.arange(height) - 5)[:, None]
        )
        with MemoryFile() as memory:
            with memory.open(
                driver="GTiff", count=1, width=width, height=height, dtype="uint8", crs="EPSG:3035",
                transform=from_bounds(west, south, east, north, width, height),
            ) as raster:  # fmt: skip
                raster.write(codes.astype("uint8"), 1)
            body = bytes(memory.getbuffer())
        return request.send(200, body, Content_Length=str(len(body)))


@pytest.fixture
def world(s3, redis_client):
    """A store, a ledger and a run of a region with one block of labels."""
    store = S3Store(make_s3_client(s3.endpoint, s3.key, s3.secret), s3.bucket, s3.endpoint)
    for entry in store.find("labels/"):
        store.delete(entry.key)
    ledger = Ledger(redis_client)
    request = RegionRequest(nuts="FR101", year=2021, start="2021-05-01", end="2021-09-30")
    run, _ = ledger.start(request)
    message = FetchLabels(
        run=run, nuts="FR101", year=2021, round=0, label_year=2021, block=0,
        patches=tuple(patch.name for patch in PATCHES),
    )  # fmt: skip
    other = message.model_copy(update={"block": 1})
    last = message.model_copy(update={"block": 2})
    ledger.add_labels("FR101/2021", run, [message, other, last])
    return store, ledger, message, other


def make_worker(world, url, prefix="labels"):
    store, ledger, _, _ = world
    settings = Settings(_env_file=None, LANDPATCH_CLCPLUS_URL=f"{url}?{{year}}", LANDPATCH_PREFIX=prefix)
    return LabelWorker(settings, store, ledger, open_label_source(settings, quick_session()))


def stored(store):
    return {
        entry.key.rsplit("/", 1)[-1].removesuffix(".npy"): np.load(io.BytesIO(store.get(entry.key)))
        for entry in store.find(LAYOUT.labels)
    }


def known(store, edition=2021, source="clcplus"):
    """Labels that the store alone tells of."""
    return set(take_inventory(store, LAYOUT).labels_of(edition, source))


@pytest.mark.parametrize(
    ("most_px", "refusal", "requests"),
    [
        (10**9, None, 1),
        (700_000, (200, OVERSIZE), 6),  # 1500 x 1000, 750 x 1000, and 750 x 500 four times
        (800_000, (200, FAULT), 3),
        (700_000, (200, FAULT), 7),
        (800_000, (504, b"<html></html>"), 3),
    ],
)
def test_labels_are_those_of_the_place_however_much_the_service_gives_at_once(
    world, most_px, refusal, requests
):
    store, ledger, message, _ = world
    service = ImageServer(most_px, refusal)
    with serving(service.answer) as server:
        make_worker(world, server.url).fetch(message)
    labels = stored(store)
    assert set(labels) == {patch.name for patch in PATCHES}
    for patch in PATCHES:
        assert np.array_equal(labels[patch.name], expected(patch))
    assert {outcome.state for outcome in ledger.outcomes("FR101/2021", "labels").values()} == {"complete"}
    assert ledger.work("FR101/2021")[f"labels:{message.task}"].requests == requests
    assert ledger.pending("FR101/2021", "labels") == 2


def test_a_run_that_is_over_writes_no_labels(world):
    store, ledger, message, _ = world
    ledger.fail("FR101/2021", message.run, "the store was away for too long")
    ledger.start(RegionRequest(nuts="FR101", year=2021, start="2021-06-01", end="2021-09-30"))
    with serving(ImageServer(10**9, None).answer) as server:
        make_worker(world, server.url).fetch(message)
    assert stored(store) == {}
    assert ledger.outcomes("FR101/2021", "labels") == {}


def test_what_was_refused_once_is_not_asked_for_again(world, redis_client):
    _, _, message, other = world
    service = ImageServer(700_000, (200, OVERSIZE))
    with serving(service.answer) as server:
        worker = make_worker(world, server.url)
        worker.fetch(message)
        before = len(service.sizes)
        # As if these labels were still to be fetched, in another block.
        redis_client.delete("landpatch:{FR101/2021}:labels")
        worker.fetch(other)
    assert service.sizes[:3] == [(1500, 1000), (750, 1000), (750, 500)]
    assert len(service.sizes) - before == 4
    assert max(width * height for width, height in service.sizes[before:]) <= 700_000


def test_a_service_that_fails_over_everything_is_left_alone_after_a_few_halves(world):
    store, ledger, message, _ = world
    service = ImageServer(0, (200, FAULT))
    with serving(service.answer) as server, pytest.raises(OverloadedError, match="Error exporting image"):
        make_worker(world, server.url).fetch(message)
    assert len(service.sizes) == 4
    assert stored(store) == {}
    assert ledger.pending("FR101/2021", "labels") == 3


def test_what_is_stored_before_a_failure_is_not_fetched_again(world):
    store, ledger, message, _ = world
    service = ImageServer(800_000, (200, FAULT))

    def fail_in_the_east(request: Request) -> None:
        if "bbox=3757500" in request.path:
            request.send(200, FAULT, Content_Length=str(len(FAULT)))
        else:
            service.answer(request)

    with serving(fail_in_the_east) as server:
        worker = make_worker(world, server.url)
        with pytest.raises(OverloadedError):
            worker.fetch(message)
        west = stored(store)
        assert len(west) == 12
        worker.give_up(message, "the service fails")
    outcomes = ledger.outcomes("FR101/2021", "labels")
    assert {name for name, outcome in outcomes.items() if outcome.state == "complete"} == set(west)
    assert {outcome.reason for outcome in outcomes.values()} == {"", "the service fails"}
    assert json.dumps(sorted(outcomes)) == json.dumps(sorted(patch.name for patch in PATCHES))


def test_labels_are_known_by_what_is_stored_alone(world):
    store, _, message, _ = world
    with serving(ImageServer(700_000, (200, OVERSIZE)).answer) as server:
        make_worker(world, server.url).fetch(message)
    assert known(store) == set(message.patches)
    assert known(store, edition=2018) == known(store, source="raster=city.tif") == set()


def test_labels_are_known_when_storing_them_has_broken_off(world, s3):
    store, ledger, message, other = world
    with serving(ImageServer(10**9, None).answer) as server, proxying(s3.endpoint) as proxy:
        client = make_s3_client(proxy.url, s3.key, s3.secret, retries=0)
        hindered = S3Store(client, s3.bucket, proxy.url), ledger, message, other
        with proxy.doing(rf"PUT /.*{PATCHES[9].name}\.npy", says(500)), pytest.raises(InfrastructureError):
            make_worker(hindered, server.url).fetch(message)
    # The proxy had passed on the last put before it said that it failed.
    assert known(store) == set(stored(store)) == {patch.name for patch in PATCHES[:10]}


def test_labels_come_out_of_a_raster_and_a_patch_with_an_unknown_code_is_named(world, tmp_path):
    store, ledger, message, _ = world
    codes = code_at(
        (3_750_000 + 10 * np.arange(1500) + 5)[None, :], (2_890_000 - 10 * np.arange(1000) - 5)[:, None]
    ).astype("uint8")
    codes[999, 0] = 77  # in the south-west
    place = from_origin(3_750_000, 2_890_000, 10, 10)
    (tmp_path / "map.tif").write_bytes(write_raster(codes, place, "EPSG:3035"))
    source = open_labels(tmp_path / "map.tif")
    LabelWorker(Settings(_env_file=None, LANDPATCH_PREFIX="labels"), store, ledger, source).fetch(message)
    labels = stored(store)
    assert set(labels) == {patch.name for patch in PATCHES[1:]}
    for patch in PATCHES[1:]:
        assert np.array_equal(labels[patch.name], expected(patch))
    failed = ledger.outcomes("FR101/2021", "labels")[PATCHES[0].name]
    assert failed.state == "failed"
    assert "codes 77 are not in the table" in failed.reason
    assert ledger.work("FR101/2021")[f"labels:{message.task}"].requests == 0
