"""Rasters over HTTP: what is asked for, and what a server may do wrong."""

import hashlib
import re

import numpy as np
import pytest
from rasterio.transform import from_origin

from landpatch.errors import ConfigurationError, LandpatchError, RequestError, TransientError
from landpatch.sources.ranged import BLOCK_BYTES, MOST_BLOCKS, RangedFile
from tests.http_server import quick_session, serving
from tests.unit.labels.rasters import PATCH, open_labels, place_codes, write_raster

PLACE = from_origin(PATCH.xmin, PATCH.ymin + 2500, 10, 10)
RASTER = write_raster(place_codes(250, 250), PLACE, "EPSG:3035")


def part(request, data, **headers):
    """Answer a request for a part as HTTP says."""
    first, last = map(int, re.fullmatch(r"bytes=(\d+)-(\d+)", request.headers["Range"]).groups())
    piece = data[first : last + 1]
    if not piece:
        request.send(416, Content_Range=f"bytes */{len(data)}", Content_Length="0")
        return
    span = f"bytes {first}-{first + len(piece) - 1}/{len(data)}"
    request.send(206, piece, Content_Range=span, Content_Length=str(len(piece)), **headers)


def etag(data):
    return f'"{hashlib.sha256(data).hexdigest()[:16]}"'


def test_a_raster_over_http_gives_the_labels_of_the_same_file():
    with serving(lambda request: part(request, RASTER), "/map.tif") as server:
        window = open_labels(server.url).fetch(2021, [PATCH])
        assert np.array_equal(window.cut(PATCH), place_codes(250, 250))
        assert window.requests == len(server.asked) == 1  # it is smaller than a block


def test_of_a_large_raster_only_what_is_needed_is_fetched_and_once():
    codes = np.random.default_rng(1).integers(0, 12, (6000, 6000), dtype="uint8")
    far = from_origin(PATCH.xmin - 20_000, PATCH.ymin + 30_000, 10, 10)
    data = write_raster(codes, far, "EPSG:3035", tiled=True, blockxsize=512, blockysize=512)
    with serving(lambda request: part(request, data, ETag=etag(data)), "/map.tif") as server:
        source = open_labels(server.url)
        first = source.fetch(2021, [PATCH])
        assert np.array_equal(first.cut(PATCH), codes[2750:3000, 2000:2250])
        asked = first.requests
        assert asked * BLOCK_BYTES < len(data) / 10
        again = source.fetch(2021, [PATCH])
        again.cut(PATCH)
        assert again.requests == 0
        assert len(server.asked) == asked


def test_parts_are_put_together_and_only_the_last_are_kept():
    data = np.random.default_rng(2).bytes((MOST_BLOCKS + 3) * BLOCK_BYTES + 170)
    with serving(lambda request: part(request, data), "/file") as server:
        file = RangedFile(quick_session(), server.url, "the file")
        assert file.size == len(data)
        at = BLOCK_BYTES - 5
        assert file.read(at, BLOCK_BYTES + 10) == data[at : at + BLOCK_BYTES + 10]
        assert file.read(len(data) - 20, 100) == data[-20:]
        assert file.read(len(data), 10) == file.read(len(data) + BLOCK_BYTES, 10) == b""
        assert file.requests == 4
        for number in range(MOST_BLOCKS + 3):
            assert file.read(number * BLOCK_BYTES, 1) == data[number * BLOCK_BYTES :][:1]
        assert len(file._blocks) == MOST_BLOCKS


def test_a_server_that_gives_no_parts_is_said_to_give_none():
    def whole(request):
        request.send(200, RASTER, Content_Length=str(len(RASTER)))

    with (
        serving(whole, "/map.tif") as server,
        pytest.raises(ConfigurationError, match="gives no parts of a file"),
    ):
        open_labels(server.url).check(2021)


@pytest.mark.parametrize(
    ("answer", "error", "says"),
    [
        (lambda request: request.send(404, Content_Length="0"), ConfigurationError, "map.tif is not there"),
        (lambda request: request.send(403, Content_Length="0"), ConfigurationError, "map.tif"),
        (lambda request: request.send(500, Content_Length="0"), TransientError, "map.tif"),
        (lambda request: request.send(503, Content_Length="0"), TransientError, "map.tif"),
        (
            lambda request: request.send(206, RASTER[:9], Content_Range="bytes 0-8/*", Content_Length="9"),
            ConfigurationError,
            "gives no parts of a file",
        ),
        (
            lambda request: request.send(
                206, RASTER[1:100], Content_Range="bytes 1-99/100", Content_Length="99"
            ),
            TransientError,
            "asked for byte 0 on, was given bytes 1-99",
        ),
        (
            lambda request: request.send(
                206, RASTER[:90], Content_Range="bytes 0-99/100", Content_Length="90"
            ),
            TransientError,
            "90 of 100 bytes arrived",
        ),
        (
            lambda request: request.send(206, b"", Content_Range="bytes 0--1/0", Content_Length="0"),
            LandpatchError,
            "map.tif",
        ),
        (
            lambda request: request.send(
                206, RASTER[:100], Content_Range="bytes 0-262143/999999999999999999", Content_Length="100"
            ),
            ConfigurationError,
            "gives no parts of a file",
        ),
        (lambda request: request.wfile.write(b"\0" * 100), TransientError, "map.tif"),
        (lambda request: None, TransientError, "map.tif"),
    ],
    ids=["absent", "forbidden", "fault", "overload", "no size", "another part", "too little", "empty",
         "endless", "no HTTP", "hangs up"],
)  # fmt: skip
def test_what_a_server_does_wrong_is_named_with_the_raster(answer, error, says):
    with serving(answer, "/map.tif") as server, pytest.raises(error) as caught:
        open_labels(server.url).check(2021)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_raster_that_is_replaced_meanwhile_is_not_mixed():
    old = write_raster(np.full((2500, 2500), 3, "uint8"), PLACE, "EPSG:3035")
    new = write_raster(np.full((2500, 2500), 4, "uint8"), PLACE, "EPSG:3035")
    now = [old]
    with serving(lambda request: part(request, now[0], ETag=etag(now[0])), "/map.tif") as server:
        source = open_labels(server.url)
        source.check(2021)
        now[0] = new
        with pytest.raises(TransientError, match="has been replaced while it was read"):
            source.fetch(2021, [PATCH]).cut(PATCH)
        assert (source.fetch(2021, [PATCH]).cut(PATCH) == 4).all()


def test_a_year_that_the_server_lacks_is_the_requests_fault():
    def answer(request):
        return part(request, RASTER) if "2020" in request.path else request.send(404, Content_Length="0")

    with serving(answer, "/map_{year}.tif") as server:
        source = open_labels(server.url)
        source.check(2020)
        with pytest.raises(RequestError, match=r"map_2021\.tif: there is none of 2021"):
            source.check(2021)
