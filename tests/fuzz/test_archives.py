"""Archives and tokens, broken: valid values or an error of landpatch, as in test_parsers.py."""

import io
import json
import zipfile

import pytest

from landpatch.sources.http import make_session
from landpatch.sources.tokens import Grant, Tokens
from landpatch.sources.zip_directory import HEADER_BYTES, find_data, read_directory, unpack
from landpatch.sources.zip_stream import read_members
from tests.fuzz.mutate import broken_bytes, broken_json
from tests.fuzz.test_parsers import answering, look

MOST = 50_000


def pack(method: int, streamed: bool) -> bytes:
    """A small archive; streamed: its sizes and checksums stand behind the data."""
    target = io.BytesIO()
    if streamed:
        target.seekable = lambda: False
        target.tell = lambda: (_ for _ in ()).throw(OSError)
    with zipfile.ZipFile(target, "w", method) as archive:
        for name, content in {"a.SAFE/one.xml": b"<a/>" * 300, "a.SAFE/two": b"", "three": b"x"}.items():
            archive.writestr(name, content)
    return target.getvalue()


SEEDS = [pack(method, streamed) for method in (0, 8) for streamed in (False, True)]


def take(data: bytes) -> None:
    """Members out of a stream."""
    kept: dict[str, io.BytesIO] = {}

    def choose(name: str) -> tuple[io.BytesIO, int] | None:
        kept[name] = io.BytesIO()
        return (kept[name], MOST) if "a" in name else None

    for name in read_members(io.BytesIO(data), choose, MOST, "archive"):
        assert len(kept[name].getvalue()) <= MOST


def look_up(data: bytes) -> None:
    """Members by way of the directory."""

    def read(start: int, length: int) -> bytes:
        assert 0 <= start <= start + length <= len(data)
        return data[start : start + length]

    for member in read_directory(read, len(data), "archive").values():
        if member.size > MOST or member.packed > MOST:
            continue
        begin = find_data(data[member.header :][:HEADER_BYTES], member, len(data), "archive")
        assert len(unpack(read(begin, member.packed), member, "archive")) == member.size


@pytest.mark.parametrize("parse", [take, look_up])
def test_archives(parse):
    assert b"PK\x07\x08" in SEEDS[1]
    look(parse, broken_bytes(SEEDS), SEEDS)


def test_tokens():
    seed = json.dumps(
        {
            "access_token": "a.b.c", "expires_in": 600, "refresh_expires_in": 3600, "refresh_token": "d.e.f",
            "token_type": "Bearer", "not-before-policy": 0, "session_state": "x", "scope": "",
        }
    ).encode()  # fmt: skip
    body = [b""]
    with answering(body) as base:

        def ask(data: bytes) -> None:
            body[0] = data
            token = Tokens(make_session(0), base, Grant({"grant_type": "password"}, "USER")).get()
            assert token.isascii()
            assert token.isprintable()

        look(ask, broken_json([seed]), [seed])
