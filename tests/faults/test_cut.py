"""A product cut through a faulty store: the right pixels, or none and the reason; never a wrong one."""

import re
import struct
from collections.abc import Iterable
from dataclasses import replace
from datetime import date
from itertools import repeat

import pytest
from rasterio.io import MemoryFile
from structlog.testing import CapturingLogger

from landpatch.codec import decode_image
from landpatch.errors import ConfigurationError, InfrastructureError, PermanentError, TransientError
from landpatch.jp2 import HEAD_BYTES, TileParts, parse_head
from landpatch.ledger import Ledger
from landpatch.messages import CutScene, PatchWork, RegionRequest, SceneRef
from landpatch.settings import Settings
from services.image_worker.imagery import ProductImagery
from services.image_worker.memory import FIXED_BYTES
from services.image_worker.pipeline import ImageWorker
from services.image_worker.turn import Turn
from tests.faults.conftest import PATCH, SCENE
from tests.faults.proxy import Answer, Rule, announces, breaks_off, drips, names, resets, says, sends
from tests.scenes import assert_in_place
from tests.waiting import LONG_S

pytestmark = pytest.mark.stack

KEY = f"data/images/FR101/2023/{PATCH.name}.tif"
BAND, XML = r"GET /eodata/.*_B02_10m\.jp2", r"GET /eodata/.*MTD_MSIL2A\.xml"
MANIFEST = r"GET /eodata/.*manifest\.safe"
NO_KEY = b"<Error><Code>NoSuchKey</Code></Error>"
ENTITIES = (
    b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "0123456789">'
    + b"".join(b'<!ENTITY %c "%b">' % (98 + n, b"&%c;" % (97 + n) * 10) for n in range(9))
    + b"]><x>&j;</x>"
)


@pytest.fixture
def cut(open_eodata, open_store, destination, redis_client):
    """Cuts the patch of the product; gives the bytes of its image, None where there is none."""
    direct = open_store(destination.server.endpoint)
    direct.delete(KEY)

    def run(request_s: float = LONG_S, memory_bytes: int = 2**31, is_over: bool = False) -> bytes | None:
        ledger = Ledger(redis_client)
        request = RegionRequest(nuts="FR101", year=2023, start=date(2023, 5, 1), end=date(2023, 9, 30))
        message = CutScene(
            run=ledger.start(request)[0], nuts="FR101", year=2023, round=1, recipe="test", composite="best",
            scene=SCENE, patches=(PatchWork(name=PATCH.name),),
        )  # fmt: skip
        # Another is pending, so that nobody is asked for the next step.
        other = SceneRef(**SCENE.model_dump() | {"id": "00000000-0000-0000-0000-000000000002"})
        assert ledger.open_round(
            request.key, message.run, 1, [message, message.model_copy(update={"scene": other})]
        )
        if is_over:
            ledger.fail(request.key, message.run, "the store was away for too long")
            ledger.start(request.model_copy(update={"max_cloud": 10}))
        settings = Settings(_env_file=None).model_copy(update={"memory_bytes": memory_bytes, "threads": 2})
        imagery = ProductImagery(settings, open_eodata(request_s=request_s))
        ImageWorker(settings, open_store(request_s=request_s), imagery, ledger, Turn()).cut(message)
        found = {name: outcome.state for name, outcome in ledger.outcomes(request.key, "images").items()}
        assert found == ({} if is_over else {PATCH.name: "complete"})
        return direct.get(KEY)

    yield run
    direct.delete(KEY)


@pytest.fixture
def stored(open_store, destination):
    """What there is of the patch in the destination."""
    return lambda: open_store(destination.server.endpoint).get(KEY)


def assert_every_pixel_is_in_its_place(image: bytes) -> None:
    assert_in_place(decode_image(image, PATCH).bands[:12], PATCH)


def test_without_a_fault_every_pixel_is_in_its_place(cut):
    assert_every_pixel_is_in_its_place(cut())


def test_a_run_that_is_over_stores_no_image(cut):
    assert cut(is_over=True) is None


def test_faults_that_pass_leave_every_pixel_in_its_place(cut, eo, destination):
    on_the_way = [
        (r"GET /eodata.*list-type", says(503)),
        (XML, resets),
        (BAND, breaks_off(0.5, "reset")),
        (r"_B03_10m", breaks_off(0.9, "close")),
        (r"_B04_10m", announces(-9)),
        (r"_B8A_20m", says(429, Retry_After="1")),
        (r"_B11_20m", says(498)),
        (r"_SCL_20m", says(200, b"<html></html>")),
        (r"_B01_60m", names(Content_Range="bytes 5-10/20")),
    ]
    with destination.proxy.doing(f"PUT /bucket/{KEY}", says(500), times=1):
        rules = [eo.proxy.doing(pattern, fault, times=1) for pattern, fault in on_the_way]
        for rule in rules:
            rule.__enter__()
        image = cut()
        for rule in reversed(rules):
            rule.__exit__(None, None, None)
    assert_every_pixel_is_in_its_place(image)


def at(offset: int, data: bytes):
    """Other bytes at an offset of the first part of a file; parts that begin elsewhere stay."""

    def change(body: bytes) -> bytes:
        if not body.startswith(b"\x00\x00\x00\x0cjP"):
            return body
        return body[:offset] + data + body[offset + len(data) :]

    return sends(change)


def in_size(data: bytes, offset: int = 0):
    """Other bytes in the marker of the image's size."""

    def change(body: bytes) -> bytes:
        begin = body.find(b"\xff\x4f\xff\x51") + 8 + offset
        return body if begin < 8 + offset else body[:begin] + data + body[begin + len(data) :]

    return sends(change)


def flip_tile_parts(body: bytes) -> bytes:
    """Every mark that a tile-part begins with is gone."""
    return body.replace(b"\xff\x90\x00\x0a", b"\xff\x91\x00\x0a")


CODED = re.compile(rb"(\xff\x52\x00.{6})\x04", re.S)
"""The marker of the coding style, up to the number of wavelet levels."""
OTHERWISE = "is coded otherwise than B"
LAST = {
    "404 for one band": (BAND, says(404, NO_KEY), PermanentError, r"_B02_10m\.jp2, has no such object"),
    "403 for one band": (BAND, says(403), ConfigurationError, "refuses the credentials"),
    "503 for ever": (BAND, says(503), TransientError, "asks to wait"),
    "a TIFF in disguise": (BAND, at(0, b"II*\x00"), PermanentError, "B2 is not a JP2 file"),
    "flipped bytes in the head": (BAND, at(90, b"\xff" * 40), PermanentError, "B2 "),
    "flipped bytes between tiles": (BAND, sends(flip_tile_parts), PermanentError, "B2 "),
    "10^6 x 10^6 pixels": (
        BAND, in_size(struct.pack(">II", 10**6, 10**6)), PermanentError, "B2 is",
    ),
    "tiles of 5490 x 5490 pixels": (
        BAND, in_size(struct.pack(">8I", 10980, 10980, 0, 0, 5490, 5490, 0, 0)), PermanentError, OTHERWISE,
    ),
    "another depth": (BAND, in_size(bytes([13]), 34), PermanentError, "its header and its codestream differ"),
    "fewer wavelet levels": (
        BAND, sends(lambda body: CODED.sub(rb"\g<1>" + b"\x03", body)), PermanentError, "B2 cannot be opened",
    ),
    "metadata with entities": (
        XML, sends(lambda body: ENTITIES.ljust(len(body))), PermanentError, "not safe XML",
    ),
    "metadata of HTML": (
        XML, sends(lambda body: b"<html></html>".ljust(len(body))), PermanentError, "MTD_MSIL2A.xml",
    ),
    "a manifest with entities": (
        MANIFEST, sends(lambda body: ENTITIES.ljust(len(body))), PermanentError, "manifest.safe is not safe",
    ),
    "another file from its second part on": (
        BAND, None, TransientError, "has been replaced while it was read",
    ),
}  # fmt: skip


def replace_after_the_first():
    """Another ETag from the second answer on."""
    versions = iter(['"first"'])

    def change(answer: Answer) -> Answer:
        return names(ETag=next(versions, '"second"'))(answer)

    return change


@pytest.mark.parametrize("fault", LAST)
def test_a_fault_that_stays_ends_with_its_reason_and_without_an_image(cut, stored, eo, fault):
    pattern, change, error, reason = LAST[fault]
    if change is None:
        change = replace_after_the_first()
    with eo.proxy.doing(pattern, change), pytest.raises(error, match=reason):
        cut()
    assert stored() is None


# Bytes that are other ones than were sent


def flips(offset: int, masks: Iterable[int]):
    """Bits of one byte of a file are turned over, in each answer that holds it others."""
    turned = iter(masks)

    def change(answer: Answer) -> Answer:
        begin, end = map(int, re.match(r"bytes (\d+)-(\d+)/", answer.headers["content-range"]).groups())
        if not begin <= offset <= end:
            return answer
        body = bytearray(answer.body)
        body[offset - begin] ^= next(turned)
        return replace(answer, body=bytes(body))

    return change


@pytest.fixture(scope="session")
def coded_pixel(files) -> int:
    """Offset of a byte of B2 in which pixels of the patch are coded."""
    data = files["B2"]
    parts = TileParts(
        parse_head(data[:HEAD_BYTES], len(data), "B2"), lambda at, most: data[at : at + most], "B2"
    )
    begin, length = max((parts.locate(tile)[0] for tile in range(121)), key=lambda span: span[1])
    return begin + length * 2 // 3


@pytest.fixture
def writing(destination):
    """Counts what is sent to the destination, and leaves it as it is."""
    rule = Rule("PUT /bucket/", lambda answer: answer)
    destination.proxy.rules.insert(0, rule)
    yield lambda: rule.met
    destination.proxy.rules.remove(rule)


ONCE = (1, *repeat(0, 9))
"""Then what comes is right."""


def test_a_decoder_does_not_notice_a_byte_that_is_another(files, coded_pixel):
    data = bytearray(files["B2"])
    data[coded_pixel] ^= 1
    with MemoryFile(files["B2"]) as one, MemoryFile(bytes(data)) as other, one.open() as a, other.open() as b:
        assert (a.read(1) != b.read(1)).any()


def test_a_byte_of_a_band_that_is_another_once_leaves_every_pixel_in_its_place(cut, eo, coded_pixel):
    with eo.proxy.doing(BAND, flips(coded_pixel, ONCE)) as rule:
        assert_every_pixel_is_in_its_place(cut())
    assert rule.met > 2


@pytest.mark.parametrize(
    ("masks", "error", "reason"),
    [
        (repeat(1), PermanentError, "B2 is not what its manifest says: another SHA3-256"),
        (range(1, 9), TransientError, "B2 came differently each time"),
    ],
)
def test_a_byte_of_a_band_that_is_never_right_ends_with_its_reason_and_nothing_was_ever_stored(
    cut, writing, eo, coded_pixel, masks, error, reason
):
    with eo.proxy.doing(BAND, flips(coded_pixel, masks)), pytest.raises(error, match=reason):
        cut()
    assert writing() == 0


@pytest.mark.parametrize(("pattern", "mark"), [(BAND, b"Created by"), (XML, b"<OZONE_VALUE>")])
def test_what_was_believed_of_a_file_that_began_with_another_byte_is_not_kept(
    cut, writing, eo, product_root, pattern, mark
):
    # A comment of the head, and a figure of the metadata that is not used: others would be.
    (path,) = (path for path in product_root.rglob("*.*") if re.search(pattern[5:], f"/{path}"))
    offset = path.read_bytes().index(mark) + len(mark)
    with (
        eo.proxy.doing(pattern, flips(offset, ONCE)),
        pytest.raises(TransientError, match="began differently"),
    ):
        cut()
    assert writing() == 0


def test_metadata_that_are_not_what_the_manifest_says_end_with_their_reason(cut, writing, eo):
    change = sends(lambda body: body.replace(b">-1000</BOA_ADD", b">-1001</BOA_ADD"))
    reason = r"MTD_MSIL2A\.xml is not what its manifest says"
    with eo.proxy.doing(XML, change), pytest.raises(PermanentError, match=reason):
        cut()
    assert writing() == 0


@pytest.mark.parametrize(
    "change",
    [
        lambda body: re.sub(rb'(_B02_10m.*?SHA3-256">)....', rb"\g<1>0000", body),
        lambda body: body.replace(b"</xfdu:XFDU>", b"</xfdu.XFDU>"),
    ],
)
def test_a_manifest_that_is_another_once_is_tried_again(cut, writing, eo, change):
    with (
        eo.proxy.doing(MANIFEST, sends(change), times=1),
        pytest.raises(TransientError, match="manifest came differently"),
    ):
        cut()
    assert writing() == 0


@pytest.mark.parametrize(
    "change",
    [
        says(404, NO_KEY),
        sends(lambda body: body.replace(b"SHA3-256", b"CRC32-IX")),
        sends(lambda body: b"<a/>".ljust(len(body))),
    ],
)
def test_without_a_checksum_a_product_is_cut_and_a_line_says_that_it_is_not_checked(
    cut, eo, monkeypatch, change
):
    log = CapturingLogger()
    monkeypatch.setattr("services.image_worker.whole.log", log)
    with eo.proxy.doing(MANIFEST, change):
        assert_every_pixel_is_in_its_place(cut())
    (line,) = log.calls
    assert line.args == ("not checked",)
    assert line.kwargs["reason"] == "no checksum in the product's manifest"
    assert any("B2" in file for file in line.kwargs["files"])


def test_a_band_that_drips_for_ever_ends(cut, stored, eo):
    with eo.proxy.doing(BAND, drips()), pytest.raises(TransientError):
        cut(request_s=0.5)
    assert stored() is None


@pytest.mark.parametrize(
    ("fault", "error"), [(says(507), InfrastructureError), (says(403), ConfigurationError)]
)
def test_a_fault_of_the_destination_is_none_of_the_products(cut, destination, redis_client, fault, error):
    with destination.proxy.doing(f"PUT /bucket/{KEY}", fault), pytest.raises(error, match="destination"):
        cut()
    assert Ledger(redis_client).outcomes("FR101/2023", "images") == {}


def test_a_product_that_does_not_fit_into_memory_is_refused_with_a_reason(cut, stored):
    with pytest.raises(PermanentError, match=r"needs \d+ MB of memory at once, 10 MB are left"):
        cut(memory_bytes=FIXED_BYTES + 10**7)
    assert stored() is None
