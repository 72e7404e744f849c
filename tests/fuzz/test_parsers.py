"""Whatever comes from outside, a parser gives valid values or an error of landpatch: no other error, no
hang, no more memory than the genuine thing takes.

The inputs are genuine ones, broken; see mutate.py. Those in corpus/ are tried whole as well: what has been
found to break a parser is kept there.
"""

import json
import math
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import date
from functools import lru_cache
from itertools import count
from pathlib import Path
from socketserver import BaseRequestHandler, ThreadingTCPServer
from threading import Thread

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from shapely.geometry import MultiPolygon, Polygon, box

from landpatch.celery import TASKS
from landpatch.codec import (
    decode_class_raster,
    decode_image,
    decode_label,
    decode_observation,
    decode_published_image,
    encode_label,
    encode_observation,
)
from landpatch.composite import Observation
from landpatch.errors import LandpatchError
from landpatch.grid import lay_grid
from landpatch.index import BANDS, read_filename2bbox, read_patches, read_states
from landpatch.inventory import describe_image
from landpatch.jp2 import HEAD_BYTES, TileParts, describe_only, isolate_tile, parse_head
from landpatch.label_notes import LabelNote, parse_note
from landpatch.layout import PublishedLayout, RegionLayout, patch_of_key, split_index_folder
from landpatch.metadata import parse_checksums, parse_radiometry
from landpatch.patch import PATCH_SIZE_M, parse_patch
from landpatch.radiometry import REFLECTANCE_BANDS
from landpatch.sources.clcplus import fetch_codes, read_limits
from landpatch.sources.gisco import MAX_BOX_M2, fetch_boundaries, find_regions, pick_region
from landpatch.sources.http import fetch
from landpatch.sources.nominatim import Clock, find_place
from landpatch.sources.odata import find_scenes
from landpatch.sources.training_set import count_rows
from services.image_worker.bands import Band, open_head
from services.image_worker.loader import MemoryBytes
from tests.fuzz.conftest import FUZZ
from tests.fuzz.mutate import broken_bytes, broken_json
from tests.http_server import quick_session, serving
from tests.memory import measured

# GDAL's messages may repeat bytes of the file that are no text; rasterio says so on stderr and goes on.
pytestmark = [
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::RuntimeWarning:shapely"),
]
CORPUS = Path(__file__).parent / "corpus"
LONGEST_S = 20.0
"""For one input, on a machine that is busy; a hang takes for ever."""
MOST_BYTES = 300 * 2**20
PATCH = parse_patch("3757500_2887500_0_20")
Parse = Callable[[bytes], object]


def kept(name: str) -> list[bytes]:
    """The inputs that are kept for a parser."""
    found = [path.read_bytes() for path in sorted((CORPUS / name).iterdir())]
    assert found
    return found


def attempt(parse: Parse, data: bytes) -> None:
    """Parse; anything but a value or an error of landpatch fails the test."""
    begin = time.thread_time()
    with suppress(LandpatchError):
        parse(data)
    assert time.thread_time() - begin < LONGEST_S


def look(parse: Parse, broken: st.SearchStrategy[bytes], whole: list[bytes]) -> None:
    """Try what is kept, then what Hypothesis makes of it."""

    @FUZZ
    @given(broken)
    def run(data: bytes) -> None:
        attempt(parse, data)

    with measured() as peak:
        for data in whole:
            attempt(parse, data)
        run()
    assert peak.taken < MOST_BYTES


@contextmanager
def answering(body: list[bytes]) -> Iterator[str]:
    """A real server that answers with what `body` holds at the time; yields its address."""
    with serving(lambda request: request.send(200, body[0], Content_Type="image/tiff")) as server:
        yield server.base


# The EO data store: JP2 files and their metadata.


def walk(data: bytes) -> None:
    """The head of a band's file, and where its tiles lie."""
    size = max(len(data), 2_500_000)
    head = parse_head(data[:HEAD_BYTES], size, "band")
    assert 0 < head.begin <= head.end <= size
    for parts in (head.spans or {}).values():
        assert all(head.begin <= offset and offset + length <= head.end for offset, length in parts)
    assert len(describe_only(head)) < 2 * HEAD_BYTES
    parts = TileParts(head, lambda offset, length: data[offset : offset + length], "band")
    for tile in (head.tiling.count - 1, 0):
        isolate_tile(head, tile, parts.read(tile))


def test_heads_of_bands():
    look(walk, broken_bytes(kept("jp2")), kept("jp2"))


def test_numbers_of_a_bands_head():
    """Each field of the markers takes each of its hostile values."""
    genuine = kept("jp2")[0]
    begin = genuine.index(b"\xff\x4f\xff\x51")
    for at in range(begin, min(begin + 120, len(genuine) - 4)):
        for number in (0, 1, 0x10, 0x7F, 0xFF, 0xFFFFFFFF):
            for form in (">B", ">I"):
                data = bytearray(genuine)
                struct.pack_into(form, data, at, number % 2 ** (8 * struct.calcsize(form)))
                attempt(walk, bytes(data))


@lru_cache(maxsize=1)
def genuine_band() -> tuple[bytes, int]:
    """A genuine file up to the end of its first tile, and the size of the whole."""
    path = next((CORPUS.parents[1] / "data").rglob("*_B09_60m.jp2"))
    data = path.read_bytes()
    head = parse_head(data[:HEAD_BYTES], len(data), "band")
    ((offset, length),) = TileParts(head, lambda at, most: data[at : at + most], "band").locate(0)
    return data[: offset + length], len(data)


def decode_first_tile(data: bytes) -> None:
    """A band from its first bytes to the pixels of its first tile."""
    head = open_head(data[:HEAD_BYTES], max(len(data), genuine_band()[1]), "B9", "product")
    assert (head.grid.width, head.grid.height) == (1830, 1830)
    pixels = Band(head, MemoryBytes(data), [0]).decode(0)
    assert pixels.shape == head.head.tiling.box(0)[:1:-1]
    assert pixels.dtype == np.uint16


def test_bands():
    genuine, _ = genuine_band()
    look(decode_first_tile, broken_bytes([genuine]), [genuine])


def test_numbers_of_how_a_band_is_coded():
    """The decoder itself, given each hostile value in each byte of COD and QCD."""
    genuine, _ = genuine_band()
    begin, end = genuine.index(b"\xff\x52"), genuine.index(b"\xff\x64")
    with measured() as peak:
        for at in range(begin + 2, end):
            for number in (0, 1, 0x0F, 0x11, 0x40, 0x7F, 0xFF):
                attempt(decode_first_tile, genuine[:at] + bytes([number]) + genuine[at + 1 :])
    assert peak.taken < MOST_BYTES


def read_metadata(data: bytes) -> None:
    radiometry = parse_radiometry(data, "product")
    assert 1 <= radiometry.quantification <= 1e6
    assert set(radiometry.offsets) == set(REFLECTANCE_BANDS)
    assert all(isinstance(offset, int) and abs(offset) <= 10_000 for offset in radiometry.offsets.values())


_WORDS = (
    "nan", "inf", "-inf", "1e999", "", "-1000.5", "1_0", "0x10", "١٠", "99", "-1", "9" * 5000,
    "<a>" * 20_000, "&lt;", "&x;", "<!DOCTYPE a [<!ENTITY x 'y'>]>", "utf-7", "utf-16", "no-such-encoding",
)  # fmt: skip


@st.composite
def broken_metadata(draw: st.DrawFn) -> bytes:
    """Metadata in which a number or a word is another."""
    data = draw(broken_bytes(kept("metadata"))) if draw(st.booleans()) else kept("metadata")[0]
    for _ in range(draw(st.integers(0, 3))):
        old = draw(st.sampled_from((b"-1000", b"10000", b'"7"', b"UTF-8", b"BOA_ADD_OFFSET ", b"?>")))
        word = draw(st.sampled_from(_WORDS)).encode()
        data = data.replace(old, b'"%s"' % word if old.startswith(b'"') else word, draw(st.integers(1, 3)))
    return data


def test_metadata():
    look(read_metadata, broken_metadata(), kept("metadata"))


def read_manifest(data: bytes) -> None:
    for checksum in parse_checksums(data, "product").values():
        digest = checksum.begin()
        digest.update(data)
        assert len(digest.hexdigest()) in {32, 64}
        assert checksum.digest == checksum.digest.lower()


@st.composite
def broken_manifests(draw: st.DrawFn) -> bytes:
    """Manifests in which a word is another."""
    data = draw(broken_bytes(kept("manifest"))) if draw(st.booleans()) else kept("manifest")[0]
    for _ in range(draw(st.integers(0, 3))):
        old = draw(
            st.sampled_from((b"SHA3-256", b"./", b"href", b"byteStream", b"UTF-8", b"checksum", b"?>"))
        )
        data = data.replace(old, draw(st.sampled_from(_WORDS)).encode(), draw(st.integers(1, 3)))
    return data


def test_manifests():
    look(read_manifest, broken_manifests(), kept("manifest"))


# The public services, over HTTP.


def test_pages_of_the_catalogue():
    body = [b""]
    session = quick_session()

    def find(data: bytes) -> None:
        body[0] = data
        area = box(2.2, 48.8, 2.4, 48.9)
        findings = find_scenes(f"{base}/Products", session, area, date(2021, 5, 1), date(2021, 9, 30), 30)
        for scene in findings.scenes:
            assert 0 <= scene.cloud_cover <= 30
            assert 0 <= scene.size < 10**15
            assert scene.s3_path.endswith(scene.name)
            if scene.footprint is not None:
                assert isinstance(scene.footprint, Polygon | MultiPolygon)
                assert scene.footprint.is_valid
                assert all(map(math.isfinite, scene.footprint.bounds))

    with answering(body) as base:
        seeds = kept("catalogue")
        look(find, st.one_of(broken_json(seeds), broken_bytes(seeds)), seeds)


def test_boundaries():
    body = [b""]
    session = quick_session()

    def pick(data: bytes) -> None:
        body[0] = data
        region = pick_region(fetch_boundaries(f"{base}/nuts.geojson", session), "FR101")
        assert isinstance(region.name, str)
        assert region.boundary.is_valid
        assert 0 < len(lay_grid(region.boundary)) <= MAX_BOX_M2 / PATCH_SIZE_M**2

    with answering(body) as base:
        seeds = kept("boundaries")
        look(pick, st.one_of(broken_json(seeds), broken_bytes(seeds)), seeds)


def test_regions_that_touch_a_rectangle():
    """As of `test_boundaries`; of a region that is broken, the others are found all the same."""

    def look_up(data: bytes) -> None:
        try:
            features = json.loads(data)["features"]
            boundaries = {str(feature["id"]): feature for feature in features}
        except (ValueError, LookupError, TypeError, RecursionError):
            return
        for region in find_regions(boundaries, (3_750_000, 2_880_000, 3_770_000, 2_900_000)):
            assert region.boundary.is_valid

    seeds = kept("boundaries")
    look(look_up, broken_json(seeds), seeds)


def test_answers_of_the_geocoder(tmp_path):
    body, numbers = [b""], count()
    session = quick_session()
    clock = Clock(sleep=lambda _: None)

    def find(data: bytes) -> None:
        body[0] = data
        place = find_place(f"{base}/search", f"place {next(numbers)}", session, tmp_path, clock)
        assert -180 <= place.lon <= 180
        assert -90 <= place.lat <= 90
        assert (place.name + place.licence).isprintable()

    with answering(body) as base:
        seeds = kept("geocoder")
        look(find, st.one_of(broken_json(seeds), broken_bytes(seeds)), seeds)


def test_indexes_of_the_public_training_set():
    seeds = kept("training_set")

    def tally(data: bytes) -> None:
        assert 0 <= count_rows(data) < 10_000_000

    look(tally, broken_bytes(seeds), seeds)


def test_descriptions_of_the_label_service():
    body = [b""]
    session = quick_session()

    def ask(data: bytes) -> None:
        body[0] = data
        limits = read_limits(f"{base}/{{year}}/exportImage", session, 2021)
        assert 250 <= limits.width <= 15_000
        assert 250 <= limits.height <= 15_000

    with answering(body) as base:
        seeds = kept("service")
        look(ask, st.one_of(broken_json(seeds), broken_bytes(seeds)), seeds)


def test_answers_of_the_label_service():
    body = [b""]
    session = quick_session()

    def ask(data: bytes) -> None:
        body[0] = data
        bounds = (3757500, 2887700, 3757900, 2888000)
        codes = fetch_codes(f"{base}/{{year}}/exportImage", session, 2021, bounds)
        assert (codes.shape, codes.dtype) == ((30, 40), np.uint8)

    with answering(body) as base:
        seeds = kept("labels")
        documents = [seed for seed in seeds if seed.startswith(b"{")]
        look(ask, st.one_of(broken_json(documents), broken_bytes(seeds)), seeds)


def test_windows_of_labels():
    tiffs = [seed for seed in kept("labels") if seed[:2] == b"II"]
    look(lambda data: decode_class_raster(data, 40, 30, "window"), broken_bytes(tiffs), tiffs)


class Raw(BaseRequestHandler):
    """Answers any request with bytes as they are."""

    def handle(self) -> None:
        self.request.settimeout(5)
        self.request.recv(65_536)
        self.request.sendall(self.server.body)
        self.request.shutdown(socket.SHUT_WR)


def test_answers_that_are_hardly_http():
    session = quick_session()

    def ask(data: bytes) -> None:
        server.body = data
        address = f"http://127.0.0.1:{server.server_address[1]}/x"
        assert len(fetch(session, address, None, "the service", 1000)) <= 1000

    with ThreadingTCPServer(("127.0.0.1", 0), Raw) as server:
        server.daemon_threads = True
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            look(ask, broken_bytes(kept("http")), kept("http"))
        finally:
            server.shutdown()


# The queues and the store, which others may have written to.


@pytest.mark.parametrize("kind", TASKS, ids=lambda kind: kind.__name__)
def test_messages(kind):
    seed = (CORPUS / "messages" / f"{kind.__name__}.json").read_bytes()
    kind.model_validate(json.loads(seed))

    def read(data: bytes) -> None:
        try:
            fields = json.loads(data)
        except (ValueError, RecursionError):
            return
        try:
            message = kind.model_validate(fields)
        except ValidationError:
            return
        text = message.model_dump_json()
        assert kind.model_validate_json(text) == message
        for part in (message, getattr(message, "request", None)):
            if part is not None and hasattr(part, "nuts"):
                RegionLayout("data", part.nuts, part.year)
        for work in getattr(message, "patches", ()):
            RegionLayout("data", "FR101", 2021).image(getattr(work, "name", work))
            for scene in getattr(work, "earlier", ()):
                assert scene.sensed.utcoffset() is not None
                RegionLayout("data", "FR101", 2021).observation(work.name, scene.id, "best")

    look(read, broken_json([seed]), [seed])


def check_bands(bands: np.ndarray) -> None:
    assert (bands.shape, bands.dtype) == ((len(BANDS), 250, 250), np.float64)
    assert np.isfinite(bands).all()


def test_images():
    seeds = kept("image")

    def read(data: bytes) -> None:
        check_bands(decode_image(data, PATCH).bands)

    def describe(data: bytes) -> None:
        facts = describe_image(data, PATCH.name, "etag")
        assert all(0 <= share <= 1 for share in (facts.valid_fraction, facts.clear_fraction, *facts.shares))
        assert all(map(math.isfinite, (*facts.band_mean, *facts.band_var)))

    look(read, broken_bytes(seeds), seeds)
    look(describe, broken_bytes(seeds), seeds)


def test_images_of_other_training_sets():
    seeds = kept("image") + kept("published_image")

    def read(data: bytes) -> None:
        check_bands(decode_published_image(data, PATCH.name, PATCH.bounds).bands)

    look(read, broken_bytes(seeds), seeds)


@pytest.mark.parametrize(
    ("tag", "value"),
    [(tag, value) for tag in ("1.0", "0.97", "0.25,0.75") for value in ("nan", "inf", "9e9", "-1.", "x", "")],
)
def test_tags_of_images(tag, value):
    (seed,) = kept("image")
    changed = seed.replace(f">{tag}<".encode(), f">{value:<{len(tag)}.{len(tag)}}<".encode())
    assert changed != seed

    def describe(data: bytes) -> None:
        facts = describe_image(data, PATCH.name, "etag")
        assert all(0 <= share <= 1 for share in (facts.valid_fraction, facts.clear_fraction, *facts.shares))

    attempt(describe, changed)


def test_labels():
    seed = encode_label((np.arange(62_500) % 12).astype("uint8").reshape(250, 250))

    def read(data: bytes) -> None:
        classes = decode_label(data, "label")
        assert (classes.shape, classes.dtype) == ((250, 250), np.uint8)
        assert classes.max() <= 11

    look(read, broken_bytes([seed]), [seed])


def test_label_notes():
    note = LabelNote(edition=2021, source="clcplus", checksums={PATCH.name: "0" * 64})
    seeds = [note.model_dump_json().encode()]

    def read(data: bytes) -> None:
        read_back = parse_note(data)
        assert 2000 <= read_back.edition <= 2100
        assert all(len(bytes.fromhex(checksum)) == 32 for checksum in read_back.checksums.values())

    look(read, broken_json(seeds), seeds)
    look(read, broken_bytes(seeds), seeds)


def test_observations():
    bands = np.full((len(REFLECTANCE_BANDS), 250, 250), 0.25)
    seed = encode_observation(Observation("id", bands, np.ones((250, 250), "uint8")))
    # What matters of a zip stands at its ends; what lies between is not carried around.
    first, pixels, last = seed[:300], seed[300:-700], seed[-700:]

    def join(data: bytes) -> None:
        head, _, tail = data.partition(b"<pixels>")
        read(head + pixels + tail)

    def read(data: bytes) -> None:
        seen = decode_observation(data, "id")
        assert (seen.reflectance.shape, seen.reflectance.dtype) == (bands.shape, np.float64)
        assert np.isfinite(seen.reflectance).all()
        assert (seen.clarity.shape, seen.clarity.max() <= 2) == ((250, 250), True)

    joined = [first + b"<pixels>" + last]
    look(join, broken_bytes(joined), joined)


def test_the_states_in_the_last_index():
    seeds = kept("patches")

    def read(data: bytes) -> None:
        for row in read_states(data):
            assert row.patch == parse_patch(row.patch).name
            assert isinstance(row.state, str)

    look(read, broken_bytes(seeds), seeds)


def test_the_last_index():
    seeds = kept("patches")

    def read(data: bytes) -> None:
        for name, row in read_patches(data).items():
            assert row.patch == name == parse_patch(name).name
            assert row.image is None or len(row.image.band_mean) == len(BANDS)

    look(read, broken_bytes(seeds), seeds)


def test_the_list_of_patches():
    seeds = kept("filename2bbox")

    def read(data: bytes) -> None:
        for name, (xmin, ymin, xmax, ymax) in read_filename2bbox(data).items():
            assert abs(xmax - xmin - PATCH_SIZE_M) < 0.1
            assert abs(ymax - ymin - PATCH_SIZE_M) < 0.1
            key = PublishedLayout("FR101", 2021).image(name)
            assert key == f"images/FR101/2021/{name}.tif"
            assert ".." not in key

    look(read, broken_bytes(seeds), seeds)


@FUZZ
@given(st.one_of(st.text(), st.from_regex(r"[a-z/:.]*images/[A-Z0-9]{1,9}/\d{4}[/a-z.0-9]{0,25}")))
def test_folders_of_indexes(key):
    found = split_index_folder(key)
    if found is not None:
        above, nuts, year = found
        assert key.startswith(above + PublishedLayout(nuts, year).images.removesuffix("/"))


@FUZZ
@given(st.one_of(st.text(), st.from_regex(r"[a-z/]*-?\d{1,9}_-?\d{1,9}_\d{1,4}_\d{1,4}\.[a-z]{3}")))
def test_keys_of_objects(key):
    name = patch_of_key(key)
    assert name is None or name == parse_patch(name).name
