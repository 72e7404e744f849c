"""Class table: which class a label gets for each code of a raster. Pure.

A table is YAML or CSV, a code and a class on each line:

    10: 3        # a class of CLC+ Backbone, 0 (none) to 11
    80: 10

or, for classes of one's own, names; they are numbered from 1 in the order in which they first appear:

    10: Trees
    20: Shrubs and herbs
    30: Shrubs and herbs
"""

import csv
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import yaml
from numpy.typing import NDArray

from landpatch.codec import LABEL_CLASSES
from landpatch.errors import ConfigurationError
from landpatch.index import MAX_NAME

MAX_TABLE_BYTES = 100_000
UNKNOWN = 255
"""Stands for a code that the table does not have."""
_CODES = (-(2**31), 2**31 - 1)


@dataclass(frozen=True)
class ClassTable:
    """Codes of a raster and the classes that they become."""

    classes: Mapping[int, int]
    """0 (no label) to 11, by code."""
    names: Mapping[int, str]
    """Of one's own classes, by number; empty where the classes are those of CLC+ Backbone."""

    @cached_property
    def digest(self) -> str:
        """Changes when the table does."""
        text = json.dumps([sorted(self.classes.items()), sorted(self.names.items())])
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    @cached_property
    def _sorted(self) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
        codes = np.array(sorted(self.classes), dtype="int64")
        return codes, np.array([self.classes[code] for code in codes.tolist()], dtype="uint8")

    def apply(self, codes: NDArray[np.integer]) -> NDArray[np.uint8]:
        """Classes of codes, of the same shape; UNKNOWN for codes that the table does not have."""
        known, classes = self._sorted
        place = np.minimum(np.searchsorted(known, codes), len(known) - 1)
        found: NDArray[np.uint8] = np.where(known[place] == codes, classes[place], np.uint8(UNKNOWN))
        return found


def parse_table(text: str, what: str) -> ClassTable:
    """The table that a text holds; YAML, or CSV with a comma or semicolon and perhaps a heading.

    Raises ConfigurationError with `what`, in one line.
    """
    if len(text) > MAX_TABLE_BYTES:
        raise ConfigurationError(f"{what} is larger than a class table is")
    try:
        pairs = _read_pairs(text)
        return _build(pairs)
    except (yaml.YAMLError, csv.Error, RecursionError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ConfigurationError(f"{what} is neither YAML nor CSV: {reason[:200]}") from error
    except ValueError as error:
        raise ConfigurationError(f"{what}: {error}") from error


def _read_pairs(text: str) -> list[tuple[object, object]]:
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    if lines and ":" not in lines[0] and any(mark in lines[0] for mark in ",;"):
        return _read_csv(lines)
    document = yaml.load(text, Loader=_Loader)  # noqa: S506  # a loader that is safe, and strict
    if not isinstance(document, dict):
        raise ValueError("is no list of codes with their classes, such as `10: 3`")
    return list(document.items())


class _Loader(yaml.SafeLoader):
    """Refuses a key that is there twice, of which YAML's own would keep the last."""


def _construct(loader: _Loader, node: yaml.MappingNode) -> dict[object, object]:
    pairs = [(loader.construct_object(key), loader.construct_object(value)) for key, value in node.value]
    if any(isinstance(key, list | dict) for key, _ in pairs):
        raise ValueError("a code is a whole number")
    codes = [key for key, _ in pairs]
    if len(set(codes)) != len(codes):
        raise ValueError("a code is there twice")
    return dict(pairs)


_Loader.add_constructor("tag:yaml.org,2002:map", _construct)


def _read_csv(lines: list[str]) -> list[tuple[object, object]]:
    rows = [row[:2] for row in csv.reader(lines, delimiter=";" if ";" in lines[0] else ",")]
    if any(len(row) < 2 for row in rows):
        raise ValueError("a line without a class")
    cells = [(_to_number(row[0]), _to_number(row[1])) for row in rows]
    if cells and isinstance(cells[0][0], str):
        cells = cells[1:]  # the heading
    codes = [code for code, _ in cells]
    if len(set(codes)) != len(codes):
        raise ValueError("a code is there twice")
    return [*cells]


def _to_number(cell: str) -> int | str:
    text = cell.strip()
    return int(text) if text.removeprefix("-").isascii() and text.removeprefix("-").isdigit() else text


def _build(pairs: list[tuple[object, object]]) -> ClassTable:
    if not pairs:
        raise ValueError("has no code")
    codes: dict[int, object] = {}
    for code, given in pairs:
        if isinstance(code, bool) or not isinstance(code, int) or not _CODES[0] <= code <= _CODES[1]:
            raise ValueError(f"{str(code)[:50]!r} is no code, which is a whole number")
        codes[code] = given
    if any(isinstance(given, str) for given in codes.values()):
        return _build_named(codes)
    classes = {code: _check_class(code, given) for code, given in codes.items()}
    return ClassTable(classes, {})


def _check_class(code: int, given: object) -> int:
    if isinstance(given, bool) or not isinstance(given, int) or given not in LABEL_CLASSES:
        last = LABEL_CLASSES[-1]
        raise ValueError(
            f"code {code} becomes {str(given)[:50]!r}, which is no class from 0 (none) to {last}"
        )
    return given


def _build_named(codes: Mapping[int, object]) -> ClassTable:
    numbers: dict[str, int] = {}
    classes: dict[int, int] = {}
    for code, given in codes.items():
        if given == 0 and not isinstance(given, bool):
            classes[code] = 0
            continue
        name = given.strip() if isinstance(given, str) else ""
        if not 0 < len(name) <= MAX_NAME or not name.isprintable():
            raise ValueError(f"code {code}: where one class has a name, all have, or are 0 for none")
        classes[code] = numbers.setdefault(name, len(numbers) + 1)
    if len(numbers) > LABEL_CLASSES[-1]:
        raise ValueError(f"{len(numbers)} names, and a label has at most {LABEL_CLASSES[-1]} classes")
    return ClassTable(classes, {number: name for name, number in numbers.items()})
