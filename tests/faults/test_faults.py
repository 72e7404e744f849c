"""Every fault of others, met by every client: each ends, in the right class, and never in a wrong answer.

One table: what is asked, which fault the answer has, what has to be raised. What is retried is Transient or
Infrastructure, what is recorded with its reason Permanent, what stops at the start Configuration.
"""

import gzip
import json
import re
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date

import numpy as np
import pytest
from shapely.geometry import box

from landpatch.errors import (
    AbsentError,
    ConfigurationError,
    InfrastructureError,
    LandpatchError,
    PermanentError,
    TransientError,
)
from landpatch.sources.clcplus import fetch_codes, read_limits, to_classes
from landpatch.sources.eodata import MAX_PAGES
from landpatch.sources.gisco import fetch_boundaries, pick_region
from landpatch.sources.http import make_session
from landpatch.sources.odata import find_scenes
from landpatch.sources.product_files import LoadedFiles
from landpatch.sources.stac import SentinelHubCatalogue
from services.stack.ports import free_port
from tests.faults.conftest import ACCOUNT, FOLDER, PATCH, PRODUCT, SCENE
from tests.faults.proxy import (
    Answer,
    Fault,
    announces,
    breaks_off,
    drips,
    names,
    resets,
    says,
    sends,
    tells_no_length,
)
from tests.unit.test_clcplus import tiff
from tests.waiting import LONG_S

pytestmark = pytest.mark.stack

BAND = f"{FOLDER}/GRANULE/L2A_T31UDQ_A041234_20230601T105030/IMG_DATA/R60m/T31UDQ_20230601T105031_B09_60m.jp2"
LABELS = "/arcgis/rest/services/CLC_plus/CLMS_CLCplus_RASTER_{year}_010m_eu/ImageServer/exportImage"
OBJECT = bytes(range(256)) * 300
DEADLINE_S = 1.0
"""Of a request whose answer drips."""


@dataclass(frozen=True)
class Client:
    """A function of the product that asks a service; what it gives when nothing is wrong."""

    ask: Callable[..., object]
    """From the fixtures, an endpoint (None: the proxy) and the seconds of a request."""
    pattern: str
    """Of the requests that the fault is for."""


def find_products(world, endpoint, request_s):
    url = f"{endpoint or world.public.url}/odata/v1/Products"
    session, days = make_session(1, request_s), (date(2021, 1, 1), date(2021, 12, 31))
    return len(find_scenes(url, session, box(2.2, 48.8, 2.4, 48.9), *days, 100).scenes)


def find_boundary(world, endpoint, request_s):
    url = f"{endpoint or world.public.url}/gisco/NUTS_RG_01M_2021_3035_LEVL_3.geojson"
    return pick_region(fetch_boundaries(url, make_session(1, request_s)), "FR101").name


def get_labels(world, endpoint, request_s):
    url = f"{endpoint or world.public.url}{LABELS}"
    return to_classes(fetch_codes(url, make_session(1, request_s), 2021, PATCH.bounds), "window").shape


def get_limits(world, endpoint, request_s):
    return read_limits(f"{endpoint or world.public.url}{LABELS}", make_session(1, request_s), 2021).height


def list_product(world, endpoint, request_s):
    eodata = world.open_eodata(*[endpoint] if endpoint else [], request_s=request_s)
    return len(eodata.find_files(FOLDER, PRODUCT).bands)


def read_band(world, endpoint, request_s):
    eodata = world.open_eodata(*[endpoint] if endpoint else [], request_s=request_s)
    return eodata.read_range(BAND, 10, 2000) == world.files["B9"][10:2010]


def get_token(world, endpoint, request_s):
    return bool(world.open_download("ignored", endpoint, request_s)[1].get())


def load_product(world, endpoint, request_s):
    source, _ = world.open_download("ignored", endpoint, request_s)
    return source.open_product(SCENE, 2**31).bands == world.files


def read_part(world, endpoint, request_s):
    source, _ = world.open_download("given", endpoint, request_s)
    remote = source.open_product(SCENE, 2**31)
    if isinstance(remote, LoadedFiles):  # as services say that give no parts; then the whole is asked for
        return remote.bands == world.files
    return remote.read(remote.files.bands["B9"], 10, 2000) == world.files["B9"][10:2010]


def search_hub(world, endpoint, request_s):
    catalogue = SentinelHubCatalogue(world.open_hub(endpoint, request_s))
    days = (date(2023, 1, 1), date(2023, 12, 31))
    return len(catalogue.find(box(2.2, 48.8, 2.4, 48.9), *days, 100).scenes)


def render_patch(world, endpoint, request_s):
    return world.open_hub(endpoint, request_s).render(SCENE, PATCH.bounds).numbers.all()


def put_object(world, endpoint, request_s):
    world.open_store(*[endpoint] if endpoint else [], request_s=request_s).put("put/a", OBJECT)
    return world.open_store().get("put/a") == OBJECT


def get_object(world, endpoint, request_s):
    world.open_store(world.destination.server.endpoint).put("got/a", OBJECT)
    return world.open_store(*[endpoint] if endpoint else [], request_s=request_s).get("got/a") == OBJECT


def list_objects(world, endpoint, request_s):
    world.open_store(world.destination.server.endpoint).put("listed/a", OBJECT)
    store = world.open_store(*[endpoint] if endpoint else [], request_s=request_s)
    return [entry.size for entry in store.find("listed/")]


CLIENTS = {
    "catalogue": Client(find_products, "GET /odata/"),
    "boundaries": Client(find_boundary, "GET /gisco/"),
    "labels": Client(get_labels, "GET .*exportImage"),
    "label limits": Client(get_limits, r"GET .*f=json"),
    "EO listing": Client(list_product, "GET /eodata.*list-type"),
    "EO band": Client(read_band, "GET /eodata/.*B09"),
    "token": Client(get_token, "POST /auth/"),
    "ZIP": Client(load_product, r"GET /odata/v1/Products\("),
    "ZIP part": Client(read_part, r"GET /odata/v1/Products\("),
    "hub search": Client(search_hub, "POST .*search"),
    "hub render": Client(render_patch, "POST .*process"),
    "put": Client(put_object, "PUT /bucket/put/a"),
    "get": Client(get_object, "GET /bucket/got/a"),
    "list": Client(list_objects, r"GET /bucket\?.*listed"),
}
RIGHT = {
    "catalogue": 2, "boundaries": "Paris", "labels": (250, 250), "label limits": 4100, "EO listing": 13,
    "EO band": True, "token": True, "ZIP": True, "ZIP part": True, "hub search": 1, "hub render": True,
    "put": True, "get": True, "list": [len(OBJECT)],
}  # fmt: skip
SERVICES = ("catalogue", "boundaries", "labels", "label limits")
EO = ("EO listing", "EO band")
ZIP = ("token", "ZIP", "ZIP part")
HUB = ("hub search", "hub render")
STORE = ("put", "get", "list")


def expect(default=None, **by_client) -> dict[str, type[LandpatchError]]:
    """What each client has to raise; keys with underscores for blanks, groups in capitals."""
    expected = dict.fromkeys(CLIENTS, default) if default else {}
    groups = {"SERVICES": SERVICES, "EO": EO, "ZIP_ALL": ZIP, "HUB": HUB, "STORE": STORE}
    for key, error in by_client.items():
        for client in groups.get(key, (key.replace("_", " "),)):
            expected[client] = error
    return expected


WAIT = expect(TransientError, STORE=InfrastructureError)
REFUSED = expect(
    PermanentError,
    label_limits=ConfigurationError,
    EO=ConfigurationError,
    ZIP_ALL=ConfigurationError,
    HUB=ConfigurationError,
    STORE=ConfigurationError,
)
HTML = b"<html><body><p>We are back soon.</p></body></html>"
JSON = b'{"error": {"code": 401, "message": "sign in"}}'
NO_BUCKET = b"<Error><Code>NoSuchBucket</Code></Error>"
DENIED = b"<Error><Code>AccessDenied</Code></Error>"
FULL = b"<Error><Code>InternalError</Code><Message>Internal Error</Message></Error>"
ENTITIES = (
    b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "0123456789">'
    + b"".join(b'<!ENTITY %c "%b">' % (98 + n, b"&%c;" % (97 + n) * 10) for n in range(9))
    + b"]><ListBucketResult><Name>&j;</Name></ListBucketResult>"
)
BOMB = gzip.compress(gzip.compress(b"0" * 10**8))


def flip(body: bytes) -> bytes:
    return body[:200] + bytes([body[200] ^ 0xFF]) + body[201:]


def widen(body: bytes) -> bytes:
    """A TIFF that says that it has 10^6 x 10^6 pixels."""
    said, (offset,) = bytearray(body), struct.unpack_from("<I", body, 4)
    for entry in range(offset + 2, offset + 2 + 12 * struct.unpack_from("<H", body, offset)[0], 12):
        if struct.unpack_from("<H", said, entry)[0] in {256, 257}:
            struct.pack_into("<HII", said, entry + 2, 4, 1, 10**6)
    return bytes(said)


def large_block(_: bytes) -> bytes:
    """A TIFF of the right size whose one block is far larger."""
    profile = {"tiled": True, "blockxsize": 10_000, "blockysize": 10_000, "compress": "deflate"}
    return tiff(np.full((250, 250), 5, "uint8"), **profile)


def list_a_band_twice(body: bytes) -> bytes:
    (entry,) = re.findall(rb"<Contents>(?:(?!<Contents>).)*?B02_10m.*?</Contents>", body, flags=re.S)
    return body.replace(entry, entry + entry.replace(b"T105031_B02", b"T105032_B02"))


def other_codes(code: int, shape: tuple[int, int] = (250, 250)) -> Callable[[bytes], bytes]:
    return lambda _: tiff(np.full(shape, code, "uint8"))


def change_page(**changes: object) -> Callable[[bytes], bytes]:
    return lambda body: json.dumps(json.loads(body) | changes).encode()


FAULTS: dict[str, tuple[Fault, dict[str, type[LandpatchError]]]] = {
    "reset before the answer": (resets, WAIT),
    "reset in the middle": (breaks_off(0.5, "reset"), WAIT | {"put": None}),
    "body cut short": (breaks_off(0.5, "close"), WAIT | {"put": None}),
    "a length too long": (announces(7), WAIT | dict.fromkeys((*EO, "ZIP part", "put", "list"))),
    "a length too short": (
        announces(-20),
        expect(
            PermanentError,
            label_limits=ConfigurationError,
            EO=TransientError,
            ZIP_ALL=TransientError,
            STORE=InfrastructureError,
        )
        | {"put": None},
    ),
    "401": (says(401, HTML), REFUSED),
    "403": (says(403, HTML), REFUSED),
    "403 as S3 says it": (says(403, DENIED), dict.fromkeys((*EO, *STORE), ConfigurationError)),
    "404": (
        says(404, HTML),
        expect(
            AbsentError,
            label_limits=ConfigurationError,
            EO=PermanentError,
            token=ConfigurationError,
            STORE=InfrastructureError,
        ),
    ),
    "404 as S3 says it": (says(404, NO_BUCKET), dict.fromkeys((*EO, *STORE), ConfigurationError)),
    "429 with Retry-After": (says(429, HTML, Retry_After="1"), WAIT),
    "429": (says(429, HTML), WAIT),
    "498": (says(498, HTML), WAIT),
    "500": (says(500, HTML), WAIT),
    "503": (says(503, HTML), WAIT),
    "500 as a full store says it": (says(500, FULL), {client: WAIT[client] for client in (*EO, *STORE)}),
    "507": (says(507), {client: WAIT[client] for client in (*EO, *STORE)}),
    "HTML with status 200": (
        says(200, HTML),
        expect(
            PermanentError,
            label_limits=ConfigurationError,
            EO=TransientError,
            ZIP_ALL=TransientError,
            hub_render=TransientError,
            STORE=InfrastructureError,
        ),
    ),
    "JSON with status 200": (
        says(200, JSON),
        expect(
            PermanentError,
            label_limits=ConfigurationError,
            EO=TransientError,
            ZIP_ALL=TransientError,
            hub_render=TransientError,
            STORE=InfrastructureError,
        ),
    ),
}
"""What a network or any server may do; None: the client need not notice, as all of the answer is there."""
OWN_FAULTS: dict[str, tuple[str, Fault, type[LandpatchError], str]] = {
    "no list of products": ("catalogue", sends(change_page(value=None)), PermanentError, "without a list"),
    "a next page elsewhere": (
        "catalogue", sends(change_page(**{"@odata.nextLink": "http://example.org/"})), PermanentError,
        "of another service",
    ),
    "no page of items": (
        "hub search", sends(change_page(features=None)), PermanentError, "did not send a page of products",
    ),
    "a page before the first": (
        "hub search", sends(change_page(context={"next": -5})), PermanentError, "did not send a page",
    ),
    "one band": ("hub render", sends(other_codes(5)), PermanentError, "1 bands of 250 x 250 pixels, not 13"),
    "a rendering of 10^6 x 10^6 pixels": (
        "hub render", sends(widen), PermanentError, "1000000 x 1000000 pixels",
    ),
    "code 77": ("labels", sends(other_codes(77)), PermanentError, "unknown codes 77"),
    "another size": ("labels", sends(other_codes(5, (250, 251))), PermanentError, "251 x 250 pixels"),
    "10^6 x 10^6 pixels": ("labels", sends(widen), PermanentError, "1000000 x 1000000 pixels"),
    "a block of 10^8 pixels": ("labels", sends(large_block), PermanentError, "blocks of"),
    "a PNG": (
        "labels", sends(lambda _: b"\x89PNG\r\n\x1a\n" + bytes(1000)), PermanentError, "not a TIFF",
    ),
    "packed twice": (
        "catalogue", says(200, BOMB, Content_Encoding="gzip, gzip"), PermanentError, "encoded as",
    ),
    "packed a thousandfold": (
        "label limits", says(200, gzip.compress(b"0" * 10**8), Content_Encoding="gzip"), ConfigurationError,
        "more than 1000000 bytes",
    ),
    "a body without an end": (
        "label limits", sends(lambda _: b"[" + b"0," * 10**6), ConfigurationError, "more than 1000000 bytes",
    ),
    "entities in the listing": (
        "EO listing", sends(lambda _: ENTITIES), TransientError, "answered 500",
    ),
    "another product's files": (
        "EO listing", sends(lambda body: body.replace(b"2023/06/01", b"2023/06/02")), TransientError,
        "something else than objects below",
    ),
    "a band twice": ("EO listing", sends(list_a_band_twice), PermanentError, "more than one B2"),
    "a band of 10 GB": (
        "EO listing",
        sends(lambda body: re.sub(rb"(B02_10m.*?<Size>)\d+", rb"\g<1>10000000000", body, flags=re.S)),
        PermanentError, "B2 of 10000000000 bytes is larger than a band of 10 m is",
    ),
    "metadata of 1 GB": (
        "EO listing",
        sends(lambda body: re.sub(rb"(MTD_MSIL2A.*?<Size>)\d+", rb"\g<1>1000000000", body, flags=re.S)),
        PermanentError, "MTD_MSIL2A.xml of 1000000000 bytes",
    ),
    "another part of the band": (
        "EO band", names(Content_Range="bytes 0-1999/5000000"), TransientError, "asked for bytes=10-2009",
    ),
    "flipped bytes": ("get", sends(flip), InfrastructureError, "other bytes than its ETag says"),
    "another ETag": (
        "get", names(ETag='"' + "0" * 32 + '"'), InfrastructureError, "other bytes than its ETag says",
    ),
    "neither length nor MD5": (
        "get", lambda answer: tells_no_length(names(ETag='"of-parts-2"')(answer)), InfrastructureError,
        "did not send got/a as an object",
    ),
    "cut short without an MD5": (
        "get", lambda answer: breaks_off(0.5, "close")(names(ETag='"of-parts-2"')(answer)),
        InfrastructureError, "ResponseStreamingError",
    ),
    "something else was stored": (
        "put", names(ETag='"' + "0" * 32 + '"'), InfrastructureError, "has stored something else",
    ),
    "entities in a listing": ("list", sends(lambda _: ENTITIES), InfrastructureError, "answered 500"),
    "objects of another prefix": (
        "list", sends(lambda body: body.replace(b"listed/a", b"other/a")), InfrastructureError,
        "something else than objects below",
    ),
}  # fmt: skip
"""What only a service of this kind may do, and what the error says. botocore takes a listing that it cannot
parse for a 500."""
CASES = [
    pytest.param(client, fault, error, "", id=f"{client}: {name}")
    for name, (fault, errors) in FAULTS.items()
    for client, error in errors.items()
    if error
] + [
    pytest.param(client, fault, error, reason, id=f"{client}: {name}")
    for name, (client, fault, error, reason) in OWN_FAULTS.items()
]


@dataclass(frozen=True)
class World:
    """All that the clients ask."""

    public: object
    eo: object
    destination: object
    downloads: dict
    open_eodata: Callable
    open_download: Callable
    open_hub: Callable
    open_store: Callable
    files: dict[str, bytes]

    def proxy_of(self, client: str):
        """The proxy that a client's requests go through."""
        if client in SERVICES:
            return self.public
        if client in (*ZIP, *HUB):
            return self.downloads["given" if client == "ZIP part" else "ignored"]
        return self.eo.proxy if client in EO else self.destination.proxy


@pytest.fixture
def world(
    public, eo, destination, downloads, open_eodata, open_download, open_hub, open_store, files
) -> World:
    return World(public, eo, destination, downloads, open_eodata, open_download, open_hub, open_store, files)


@pytest.mark.parametrize("client", CLIENTS)
def test_without_a_fault_every_client_gets_what_is_right(world, client):
    assert CLIENTS[client].ask(world, None, LONG_S) == RIGHT[client]


@pytest.mark.parametrize(("client", "fault", "error", "reason"), CASES)
def test_a_fault_ends_in_its_class(world, client, fault, error, reason):
    with (
        world.proxy_of(client).doing(CLIENTS[client].pattern, fault),
        pytest.raises(error, match=reason or None) as raised,
    ):
        CLIENTS[client].ask(world, None, LONG_S)
    if error in {TransientError, PermanentError}:
        assert not isinstance(raised.value, ConfigurationError | InfrastructureError)
    for secret in (world.destination.server.secret.get_secret_value(), *ACCOUNT.values()):
        assert secret not in str(raised.value)
    assert len(str(raised.value).splitlines()) == 1


@pytest.mark.parametrize("drips_from", ["head", "body"])
@pytest.mark.parametrize("client", CLIENTS)
def test_an_answer_that_drips_for_ever_ends_when_its_time_is_over(world, client, drips_from):
    begin = time.monotonic()
    fault = drips(drips_from)
    with world.proxy_of(client).doing(CLIENTS[client].pattern, fault), pytest.raises(WAIT[client]):
        CLIENTS[client].ask(world, None, DEADLINE_S)
    assert time.monotonic() - begin > DEADLINE_S


@pytest.mark.parametrize("client", CLIENTS)
def test_a_port_that_nobody_listens_on_is_a_fault_that_may_pass(world, client):
    error = TransientError if client in SERVICES else InfrastructureError
    with pytest.raises(error, match="cannot be reached"):
        CLIENTS[client].ask(world, f"http://127.0.0.1:{free_port()}", LONG_S)


@pytest.mark.parametrize(
    ("client", "fault"),
    [
        (client, fault)
        for client in CLIENTS
        for fault in ("reset before the answer", "429", "498", "500", "503")
        # What the client of the destination does not try again, the task does.
        if client not in STORE or fault not in {"429", "498"}
    ],
)
def test_a_fault_that_passes_is_got_over(world, client, fault):
    with world.proxy_of(client).doing(CLIENTS[client].pattern, FAULTS[fault][0], times=1):
        assert CLIENTS[client].ask(world, None, LONG_S) == RIGHT[client]


def test_pages_that_lead_back_leave_products_out_and_are_not_believed(world):
    again = f"{world.public.url}/odata/v1/Products?$top=1"
    fault = sends(change_page(**{"@odata.nextLink": again}))
    with (
        world.public.doing("GET /odata/", fault) as rule,
        pytest.raises(TransientError, match="back to one that was read"),
    ):
        find_products(world, None, LONG_S)
    assert rule.met == 2


def test_pages_that_repeat_count_a_product_once(world):
    link = f"{world.public.url}/odata/v1/Products?$expand=Attributes&$skip=1"
    with world.public.doing("GET /odata/", sends(change_page(**{"@odata.nextLink": link})), times=1):
        assert find_products(world, None, LONG_S) == RIGHT["catalogue"]


def test_a_path_that_climbs_out_of_the_bucket_is_left_out(world):
    def climb(body: bytes) -> bytes:
        return body.replace(b'"/eodata/Sentinel-2', b'"/eodata/../secret/Sentinel-2', 1)

    with world.public.doing("GET /odata/", sends(climb)):
        assert find_products(world, None, LONG_S) == RIGHT["catalogue"] - 1


def test_a_listing_without_an_end_is_given_up(world):
    pages = []

    def go_on(body: bytes) -> bytes:
        pages.append(body)
        token = b"<NextContinuationToken>%d</NextContinuationToken>" % len(pages)
        return pages[0].replace(
            b"<IsTruncated>false</IsTruncated>", b"<IsTruncated>true</IsTruncated>" + token
        )

    def always_there(answer: Answer) -> Answer:
        return replace(answer, status=200, body=go_on(answer.body))

    with (
        world.eo.proxy.doing(CLIENTS["EO listing"].pattern, always_there) as rule,
        pytest.raises(PermanentError, match="no end after"),
    ):
        list_product(world, None, LONG_S)
    assert rule.met == MAX_PAGES


def test_a_listing_of_too_many_files_is_given_up(world, monkeypatch):
    monkeypatch.setattr("landpatch.sources.eodata.MAX_FILES", 40)

    def pile_up(body: bytes) -> bytes:
        (entry,) = re.findall(rb"<Contents>(?:(?!<Contents>).)*?B02_10m.*?</Contents>", body, flags=re.S)
        more = [entry.replace(b"B02_10m", b"B%d_10m" % number) for number in range(10, 50)]
        return body.replace(entry, entry + b"".join(more))

    with (
        world.eo.proxy.doing(CLIENTS["EO listing"].pattern, sends(pile_up)),
        pytest.raises(PermanentError, match="more than 40 files"),
    ):
        list_product(world, None, LONG_S)


def test_the_file_that_is_not_there_is_named(world):
    missing = says(404, b"<Error><Code>NoSuchKey</Code></Error>")
    with (
        world.eo.proxy.doing(CLIENTS["EO band"].pattern, missing) as rule,
        pytest.raises(
            PermanentError, match=r"asked for T31UDQ_20230601T105031_B09_60m\.jp2, has no such object"
        ),
    ):
        read_band(world, None, LONG_S)
    assert rule.met == 1


@pytest.mark.parametrize("body", [HTML, b""])
def test_an_object_that_is_not_there_is_none_and_another_404_is_not(world, body):
    store = world.open_store()
    assert store.get("never/put") is None
    with (
        world.destination.proxy.doing("GET /bucket/never/put", says(404, body)),
        pytest.raises(InfrastructureError),
    ):
        store.get("never/put")
