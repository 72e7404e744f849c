"""Genuine inputs, broken in the ways in which broken and hostile ones are."""

import copy
import json
import struct
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

Json = Any
_HOSTILE_NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
_HOSTILE: dict[type, st.SearchStrategy[Json]] = {
    int: st.sampled_from([0, -1, 2**31, 2**63, -(2**63) - 1, 10**400, -(10**400), 1e308, 0.5, True])
    | st.sampled_from([float("nan"), float("inf"), float("-inf")])
    | st.integers(-(2**65), 2**65)
    | st.floats(),
    str: st.sampled_from(
        ["", "\x00", "\ud800", "٣", "x" * 5000, "../../x", "/etc/passwd", "1e999", "nan", "-1"]
    )
    | st.sampled_from(
        ["http://127.0.0.1:1/", "GEOMETRYCOLLECTION EMPTY", "POLYGON EMPTY", "POLYGON((0 0,1 1))"]
    )
    | st.text(max_size=20),
    list: st.sampled_from([[], [[]], [None], [0], [[0, 0]], [[[[float("nan"), 1e308]]]]]),
    dict: st.sampled_from([{}, {"": {}}, {"type": "Point"}, {"type": "Polygon", "coordinates": []}]),
    type(None): st.none(),
}
_HOSTILE |= {float: _HOSTILE[int], bool: _HOSTILE[int]}


def _hostile(value: Json) -> st.SearchStrategy[Json]:
    """Values in another's place; half of them of its own kind, which get further."""
    return _HOSTILE[type(value)] | st.one_of(*_HOSTILE.values())


@st.composite
def broken_bytes(draw: st.DrawFn, seeds: Sequence[bytes]) -> bytes:
    """A seed with a few bytes changed, cut out, repeated, put in, or with another's end."""
    data = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(0, 6))):
        if not data:
            break
        at = draw(st.one_of(st.integers(0, min(len(data), 4096) - 1), st.integers(0, len(data) - 1)))
        how = draw(st.integers(0, 7))
        if how == 0:
            data[at] ^= 1 << draw(st.integers(0, 7))
        elif how == 1:
            data[at] = draw(st.integers(0, 255))
        elif how in (2, 3):
            form = draw(st.sampled_from((">H", "<H", ">I", "<I", ">Q", "<Q")))
            number = draw(st.sampled_from(_HOSTILE_NUMBERS)) % 2 ** (8 * struct.calcsize(form))
            if at + struct.calcsize(form) <= len(data):
                struct.pack_into(form, data, at, number)
        elif how == 4:
            del data[at : at + draw(st.integers(1, 64))]
        elif how == 5:
            data[at:at] = data[at : at + draw(st.integers(1, 64))] * draw(st.integers(1, 8))
        elif how == 6:
            data[at:at] = draw(st.binary(max_size=32))
        elif how == 7:
            other = draw(st.sampled_from(seeds))
            data[at:] = other[at:] if draw(st.booleans()) else b""
    return bytes(data)


def _places(node: Json) -> list[tuple[Any, Any]]:
    """Every place in a document: what holds it, and its key or number there."""
    keys = list(node) if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ()
    return [place for key in keys for place in [(node, key), *_places(node[key])]]


@st.composite
def broken_json(draw: st.DrawFn, seeds: Sequence[bytes]) -> bytes:
    """A JSON document with a few values replaced, dropped, repeated or renamed."""
    document = [copy.deepcopy(json.loads(draw(st.sampled_from(seeds))))]
    for _ in range(draw(st.integers(1, 5))):
        places = _places(document)
        if not places:
            break
        holder, key = places[draw(st.integers(0, len(places) - 1))]
        how = draw(st.integers(0, 5))
        if how <= 2:
            holder[key] = copy.deepcopy(draw(_hostile(holder[key])))
        elif how == 3:
            if holder is not document:
                del holder[key]
        elif how == 4 and isinstance(holder, list):
            holder.extend(copy.deepcopy(holder[key]) for _ in range(draw(st.integers(1, 30))))
        elif how == 5 and isinstance(holder, dict):
            holder[draw(st.sampled_from([*holder, "Id", "type", "x", ""]))] = holder.pop(key)
    text = json.dumps(document[0] if document else None).encode()
    if draw(st.integers(0, 15)) == 0:
        deep = draw(st.sampled_from((20, 900, 100_000)))
        text = (
            b'{"value":' * deep + text if draw(st.booleans()) else text.replace(b":", b":" + b"[" * deep, 1)
        )
    return text
