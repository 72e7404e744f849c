"""Which fault the answer to a client has, and what has to be raised."""

import gzip
import json
import re
import struct
from collections.abc import Callable

import numpy as np
import pytest

from landpatch.errors import (
    AbsentError,
    ConfigurationError,
    InfrastructureError,
    LandpatchError,
    PermanentError,
    TransientError,
)
from tests.faults.clients import CLIENTS, EO, HUB, SERVICES, STORE, ZIP
from tests.faults.proxy import Fault, announces, breaks_off, names, resets, says, sends, tells_no_length
from tests.unit.test_clcplus import tiff


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
SOMETHING_ELSE = expect(
    PermanentError,
    label_limits=ConfigurationError,
    EO=TransientError,
    ZIP_ALL=TransientError,
    hub_render=TransientError,
    STORE=InfrastructureError,
)
"""Where what is sent is not what was asked for."""
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
    "HTML with status 200": (says(200, HTML), SOMETHING_ELSE),
    "JSON with status 200": (says(200, JSON), SOMETHING_ELSE),
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
