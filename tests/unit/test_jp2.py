"""Where the tiles of a JP2 file lie, and that a tile by itself has the pixels it has in the image."""

import struct

import numpy as np
import pytest
import rasterio

from landpatch.errors import PermanentError
from landpatch.jp2 import HEAD_BYTES, TileParts, Tiling, describe_only, isolate_tile, parse_head
from services.sandbox.jp2 import GRIDS, write_jp2

GENUINE = "S2A_MSIL2A_20221005T115411_N0400_R023_T29UNU_20221005T164454.SAFE"

RAMP = np.arange(192 * 192).reshape(192, 192) // 2


@pytest.fixture(scope="module")
def genuine(data):
    return next((data / "sentinel2" / GENUINE).rglob("*B09_60m.jp2"))


@pytest.fixture(scope="module")
def with_tlm(tmp_path_factory):
    pixels = RAMP.astype("uint16")
    cache = tmp_path_factory.mktemp("jp2")
    return write_jp2(GRIDS[60], {(2, 3): pixels}, 32631, (399960, 5500020), cache, with_tlm=True)


def parts_of(data):
    head = parse_head(data[:HEAD_BYTES], len(data), "band")
    return head, TileParts(head, lambda offset, length: data[offset : offset + length], "band")


def decode(codestream):
    with rasterio.MemoryFile(codestream) as memory, memory.open(driver="JP2OpenJPEG") as image:
        return image.read(1)


def test_a_genuine_file_says_its_size_and_georeference_in_its_first_bytes(genuine):
    head, _ = parts_of(genuine.read_bytes())
    assert head.tiling == Tiling(1830, 1830, 192, 192)
    assert (head.tiling.columns, head.tiling.count, head.bits, head.spans) == (10, 100, 15, None)
    with (
        rasterio.MemoryFile(describe_only(head)) as memory,
        memory.open() as image,
        rasterio.open(genuine) as judge,
    ):
        assert (image.crs, image.transform) == (judge.crs, judge.transform)


def test_every_tile_of_a_genuine_file_by_itself_is_that_part_of_the_image(genuine):
    head, parts = parts_of(genuine.read_bytes())
    with rasterio.open(genuine) as judge:
        image = judge.read(1)
    for tile in range(head.tiling.count):
        left, top, width, height = head.tiling.box(tile)
        alone = decode(isolate_tile(head, tile, parts.read(tile)))
        assert (alone == image[top : top + height, left : left + width]).all()


def test_tiles_are_found_without_walking_where_the_file_says_where_they_lie(with_tlm):
    head = parse_head(with_tlm[:HEAD_BYTES], len(with_tlm), "band")
    asked = []

    def read(offset, length):
        asked.append(length)
        return with_tlm[offset : offset + length]

    alone = decode(isolate_tile(head, 23, TileParts(head, read, "band").read(23)))
    assert (alone == RAMP).all()
    assert asked == [head.spans[23][0][1]]


def test_walking_finds_the_same_as_the_file_says(with_tlm):
    head = parse_head(with_tlm[:HEAD_BYTES], len(with_tlm), "band")
    bare = type(head)(head.boxes, head.main_header, head.tiling, head.bits, head.begin, head.end, None)
    walked = TileParts(bare, lambda offset, length: with_tlm[offset : offset + length], "band")
    assert not walked.found(99)
    assert {tile: walked.locate(tile) for tile in reversed(range(100))} == head.spans
    assert walked.walked_to == head.end


def test_walking_goes_no_further_than_it_must(genuine):
    data = genuine.read_bytes()
    asked = []

    def read(offset, length):
        asked.append(length)
        return data[offset : offset + length]

    parts = TileParts(parse_head(data[:HEAD_BYTES], len(data), "band"), read, "band")
    parts.locate(4)
    parts.locate(2)
    assert asked == [12] * 5


@pytest.mark.parametrize(
    ("window", "tiles"),
    [
        ((0, 0, 192, 192), [0]),
        ((191, 0, 1, 1), [0]),
        ((191, 191, 2, 2), [0, 1, 10, 11]),
        ((192, 192, 192, 192), [11]),
        ((1800, 1700, 30, 130), [89, 99]),
    ],
)
def test_a_window_touches_the_tiles_it_has_pixels_of(window, tiles):
    assert Tiling(1830, 1830, 192, 192).tiles_of(*window) == tiles


def test_the_last_tiles_of_a_row_and_column_are_smaller():
    assert Tiling(1830, 1830, 192, 192).box(99) == (1728, 1728, 102, 102)


def siz(data, position, value):
    """The file with one 32-bit field of its SIZ segment changed."""
    at = data.index(b"\xff\x4f\xff\x51") + 8 + 4 * position
    return data[:at] + struct.pack(">I", value) + data[at + 4 :]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda data: b"", "not a JP2"),
        (lambda data: b"II*\x00 a TIFF in disguise", "not a JP2"),
        (lambda data: data[:100], "no whole JP2 header"),
        (lambda data: siz(data, 2, 5), "origin"),
        (lambda data: siz(data, 4, 0), "without pixels"),
        (lambda data: siz(siz(data, 4, 1), 5, 1), "tiles"),
        (lambda data: data.replace(b"\xff\x4f\xff\x51", b"\xff\x4f\xff\x52"), "no codestream"),
        (lambda data: data.replace(b"jp2c", b"jp2d"), "no whole JP2 header"),
    ],
)
def test_a_file_that_is_no_jp2_of_one_band_is_refused(genuine, change, says):
    data = genuine.read_bytes()[:HEAD_BYTES]
    size = genuine.stat().st_size
    with pytest.raises(PermanentError, match=says):
        parse_head(change(data), size, "product: B9")


def test_lengths_that_do_not_add_up_to_the_file_are_refused(with_tlm):
    at = with_tlm.index(b"\xff\x55") + 8
    wrong = with_tlm[:at] + b"\xff" + with_tlm[at + 1 :]
    with pytest.raises(PermanentError, match="TLM"):
        parse_head(wrong[:HEAD_BYTES], len(wrong), "product: B9")


def test_a_tile_part_that_is_another_than_announced_is_refused(with_tlm):
    head = parse_head(with_tlm[:HEAD_BYTES], len(with_tlm), "band")
    other = head.spans[24][0]
    swapped = TileParts(head, lambda *_: with_tlm[other[0] : sum(other)], "band")
    with pytest.raises(PermanentError, match="another tile-part"):
        swapped.read(23)


def test_walking_into_nonsense_is_an_error_and_ends(genuine):
    data = genuine.read_bytes()
    head = parse_head(data[:HEAD_BYTES], len(data), "band")
    for nonsense in (b"", b"\x00" * 12, b"\xff\x90\x00\x0a\x00\x00\x00\x00\x00\x01\x00\x01"):
        with pytest.raises(PermanentError, match="no tile-part"):
            TileParts(head, lambda _, __, n=nonsense: n, "band").locate(0)


def test_a_file_without_a_tile_says_so(genuine):
    data = genuine.read_bytes()
    head, parts = parts_of(data)
    one = (head.begin, parts.locate(0)[0][1])
    short = type(head)(
        head.boxes, head.main_header, head.tiling, head.bits, head.begin, head.begin + one[1], None
    )
    with pytest.raises(PermanentError, match="no tile 1"):
        TileParts(short, lambda offset, length: data[offset : offset + length], "band").locate(1)


def test_a_file_of_countless_empty_parts_of_a_tile_is_given_up(genuine):
    data = genuine.read_bytes()[:HEAD_BYTES]
    size = 400_000_000
    head = parse_head(data, genuine.stat().st_size, "band")
    endless = type(head)(head.boxes, head.main_header, head.tiling, head.bits, head.begin, size, None)
    part = struct.pack(">HHHIBB", 0xFF90, 10, 0, 14, 0, 0)
    asked = []

    def read(offset, length):
        asked.append(length)
        return part

    with pytest.raises(PermanentError, match="more than 16384 tile-parts"):
        TileParts(endless, read, "band").locate(1)
    assert len(asked) == 16385


@pytest.mark.parametrize("length", [2, 38, 44])
def test_an_image_size_of_another_length_is_refused(genuine, length):
    data = genuine.read_bytes()
    at = data.index(b"\xff\x4f\xff\x51") + 4
    wrong = data[:at] + struct.pack(">H", length) + data[at + 2 :]
    with pytest.raises(PermanentError, match="no JP2 file of one band"):
        parse_head(wrong[:HEAD_BYTES], len(wrong), "product: B9")
