"""Labels: the question exact, the answer believed only after its pixels have been looked at."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
import requests
from rasterio.io import MemoryFile
from rasterio.transform import from_origin

from landpatch.errors import (
    ConfigurationError,
    OverloadedError,
    PermanentError,
    RequestError,
    TooLargeError,
    TransientError,
)
from landpatch.sources.clcplus import WindowLimits, check_edition, fetch_codes, read_limits, to_classes
from tests import http_server
from tests.http_server import Request, Server, quick_session

SERVICE = "/arcgis/rest/services/CLC_plus/CLMS_CLCplus_RASTER_{year}_010m_eu/ImageServer"
BOUNDS = (3_757_500, 2_887_500, 3_758_300, 2_888_000)
SHAPE = (50, 80)
WINDOW = "CLC\\+ 2021, window 3757500,2887500,3758300,2888000"
OVERSIZE = (
    b'{"error":{"code":400,"extendedCode":-2147024809,"message":"Invalid or missing input parameters.",'
    b'"details":["The requested image exceeds the size limit."]}}'
)
"""As recorded from genuine services, with status 200 and `Content-Type: image/tiff`."""

Answer = tuple[int, str, bytes]


@contextmanager
def serving(answer: Callable[[str], Answer]) -> Iterator[Server]:
    """An ImageServer; `answer` decides what it says."""

    def reply(request: Request) -> None:
        status, content_type, body = answer(request.path)
        request.send(status, body, Content_Type=content_type, Content_Length=str(len(body)))

    with http_server.serving(reply, f"{SERVICE}/exportImage") as server:
        yield server


@pytest.fixture
def session() -> requests.Session:
    return quick_session()


def tiff(codes: np.ndarray, **profile: Any) -> bytes:
    """A TIFF as an ImageServer renders it; codes: (y, x) or (band, y, x)."""
    bands = codes if codes.ndim == 3 else codes[np.newaxis]
    count, height, width = bands.shape
    options = {
        "driver": "GTiff", "count": count, "height": height, "width": width, "dtype": bands.dtype,
        "crs": "EPSG:3035", "transform": from_origin(BOUNDS[0], BOUNDS[3], 10, 10),
    } | profile  # fmt: skip
    with MemoryFile() as memory:
        with memory.open(**options) as raster:
            raster.write(bands)
        return bytes(memory.getbuffer())


def codes_with(*codes: int) -> np.ndarray:
    """Every class from 0 to 11, and these codes in the north-west."""
    raster = (np.arange(SHAPE[0] * SHAPE[1]) % 12).astype("uint8").reshape(SHAPE)
    raster.flat[: len(codes)] = codes
    return raster


def ask(session: requests.Session, body: bytes, status: int = 200, content_type: str = "image/tiff"):
    with serving(lambda _: (status, content_type, body)) as server:
        return fetch_codes(server.url, session, 2021, BOUNDS)


def test_the_question_is_exact(session):
    with serving(lambda _: (200, "image/tiff", tiff(codes_with()))) as server:
        fetch_codes(server.url, session, 2021, BOUNDS)
    (asked,) = server.paths
    assert urlsplit(asked).path == f"{SERVICE.replace('{year}', '2021')}/exportImage"
    assert parse_qs(urlsplit(asked).query, strict_parsing=True) == {
        "f": ["image"],
        "bbox": ["3757500,2887500,3758300,2888000"],
        "bboxSR": ["3035"],
        "imageSR": ["3035"],
        "size": ["80,50"],
        "format": ["tiff"],
        "pixelType": ["U8"],
        "interpolation": ["RSP_NearestNeighbor"],
        "adjustAspectRatio": ["false"],
    }


@pytest.mark.parametrize(
    "profile",
    [{}, {"compress": "lzw"}, {"compress": "deflate", "tiled": True, "blockxsize": 16, "blockysize": 16}],
)
def test_classes_come_as_the_service_has_them_the_north_first(session, profile):
    raster = codes_with(11, 0, 7)
    classes = ask(session, tiff(raster, **profile))
    assert classes.dtype == np.uint8
    assert np.array_equal(classes, raster)
    assert classes[0, :3].tolist() == [11, 0, 7]


@pytest.mark.parametrize("content_type", ["image/tiff", "application/octet-stream", "text/html"])
def test_what_the_header_says_of_the_content_does_not_matter(session, content_type):
    assert np.array_equal(ask(session, tiff(codes_with()), content_type=content_type), codes_with())


def test_sea_outside_and_no_data_become_no_label_and_nothing_else_does(session):
    raster = codes_with(253, 254, 255)
    classes = to_classes(ask(session, tiff(raster, nodata=255)), WINDOW)
    assert classes[0, :3].tolist() == [0, 0, 0]
    assert np.array_equal(classes.flat[3:], raster.flat[3:])


@pytest.mark.parametrize("code", [12, 77, 252])
def test_an_unknown_code_is_an_error_that_names_the_window(session, code):
    codes = ask(session, tiff(codes_with(code)))
    with pytest.raises(PermanentError, match=f"^{WINDOW}: unknown codes {code}$"):
        to_classes(codes, WINDOW.replace("\\", ""))


def test_an_error_of_the_service_itself_that_comes_with_status_200_may_pass(session):
    body = b'{"error":{"code":500,"message":"Error exporting image"}}'
    with pytest.raises(OverloadedError, match="Error exporting image"):
        ask(session, body, content_type="application/json")


def test_every_unknown_code_is_named_once():
    with pytest.raises(PermanentError, match=r"^x: unknown codes 12, 77$"):
        to_classes(codes_with(77, 12, 77, 253), "x")


@pytest.mark.parametrize(
    ("raster", "found"),
    [
        (codes_with()[:-1], "1 bands of 80 x 49 pixels"),
        (codes_with().T, "1 bands of 50 x 80 pixels"),
        (np.stack([codes_with()] * 3), "3 bands of 80 x 50 pixels"),
        (codes_with().astype("uint16"), "pixels are uint16"),
        (codes_with().astype("float32"), "pixels are float32"),
    ],
)
def test_a_raster_of_another_size_or_kind_is_an_error_that_names_the_window(session, raster, found):
    with pytest.raises(PermanentError, match=f"^{WINDOW}: {found}"):
        ask(session, tiff(raster))


def test_a_window_that_is_refused_with_status_200_is_too_large(session):
    with pytest.raises(TooLargeError, match=f"^{WINDOW}: larger than the label service gives"):
        ask(session, OVERSIZE)


def test_an_error_that_comes_as_a_tiff_with_status_200_is_an_error_that_says_why(session):
    with pytest.raises(PermanentError, match=f"^{WINDOW}: not a TIFF but .*parameter is invalid") as error:
        ask(
            session,
            OVERSIZE.replace(b"The requested image exceeds the size limit", b"'bbox' parameter is invalid"),
        )
    assert not isinstance(error.value, TooLargeError)


@pytest.mark.parametrize("body", [b"", b"\xff\xd8\xff\xe0\x00\x10JFIF", b"II", b"<html></html>"])
def test_an_answer_that_is_no_tiff_is_an_error(session, body):
    with pytest.raises(PermanentError, match=f"^{WINDOW}: not a TIFF"):
        ask(session, body)


@pytest.mark.parametrize("length", [8, 100, -1000])
def test_a_tiff_that_is_not_whole_is_an_error(session, length):
    with pytest.raises(PermanentError, match=f"^{WINDOW}: not a whole TIFF"):
        ask(session, tiff(codes_with())[:length])


def test_a_service_whose_gateway_gives_up_is_asked_five_times_and_then_later(session):
    html = b"<html><head><title>504 Gateway Time-out</title></head></html>"
    with (
        serving(lambda _: (504, "text/html", html)) as server,
        pytest.raises(OverloadedError, match=r"LANDPATCH_CLCPLUS_URL\) answered 504"),
    ):
        fetch_codes(server.url, session, 2021, BOUNDS)
    assert len(server.paths) == 5


def test_a_gateway_that_gives_up_once_costs_only_a_second_question(session):
    def answer(_: str) -> Answer:
        if len(server.paths) == 1:
            return 504, "text/html", b"<html></html>"
        return 200, "image/tiff", tiff(codes_with())

    with serving(answer) as server:
        assert np.array_equal(fetch_codes(server.url, session, 2021, BOUNDS), codes_with())
    assert len(server.paths) == 2


# limits


@pytest.mark.parametrize(
    ("told", "limits"),
    [
        ({"maxImageWidth": 5000, "maxImageHeight": 2500}, (5000, 2500)),
        ({}, (15_000, 4_100)),
        ({"maxImageWidth": 10**9, "maxImageHeight": 4100}, (15_000, 4_100)),
        ({"maxImageWidth": 0, "maxImageHeight": "4100"}, (15_000, 4_100)),
    ],
)
def test_the_service_tells_how_large_a_window_may_be(session, told, limits):
    with serving(
        lambda _: (200, "application/json", json.dumps({"pixelType": "U8"} | told).encode())
    ) as server:
        assert read_limits(server.url, session, 2021) == WindowLimits(*limits)


# editions


def describe_2018(path: str) -> Answer:
    if urlsplit(path).path == SERVICE.replace("{year}", "2018"):
        return 200, "application/json", json.dumps({"currentVersion": 10.91, "pixelType": "U8"}).encode()
    return 404, "text/html", b"Service not found"


def test_an_edition_that_is_served_passes(session):
    with serving(describe_2018) as server:
        check_edition(server.url, session, 2018)
    assert server.paths == [f"{SERVICE.replace('{year}', '2018')}?f=json"]


@pytest.mark.parametrize(
    "answer",
    [
        (404, "text/html", b"Service not found"),
        (200, "application/json", b'{"error":{"code":404,"message":"Service not found","details":[]}}'),
    ],
)
def test_an_edition_that_is_not_served_is_a_wrong_request_that_names_the_others(session, answer):
    with (
        serving(lambda _: answer) as server,
        pytest.raises(RequestError, match=r"^no CLC\+ Backbone of 2019: LABEL_YEAR may be 2018 and 2021$"),
    ):
        check_edition(server.url, session, 2019)


def test_a_service_in_trouble_does_not_tell_that_an_edition_is_missing(session):
    with serving(lambda _: (503, "text/html", b"")) as server, pytest.raises(TransientError, match="503"):
        check_edition(server.url, session, 2021)


@pytest.mark.parametrize(
    "answer",
    [
        (200, "text/html", b"<html>sign in</html>"),
        (200, "application/json", b"[]"),
        (403, "text/html", b""),
    ],
)
def test_what_is_no_label_service_is_a_wrong_setting(session, answer):
    with (
        serving(lambda _: answer) as server,
        pytest.raises(ConfigurationError, match="LANDPATCH_CLCPLUS_URL"),
    ):
        check_edition(server.url, session, 2021)
