"""A product's own metadata: MTD_MSIL2A.xml -> radiometry, manifest.safe -> checksums of its files.

Source: Sentinel-2 Products Specification Document, Level-2A user product metadata; SENTINEL-SAFE Format
Specification, manifest file.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Protocol
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from landpatch.errors import PermanentError
from landpatch.radiometry import REFLECTANCE_BANDS, Radiometry

_BAND_IDS = {
    0: "B1", 1: "B2", 2: "B3", 3: "B4", 4: "B5", 5: "B6", 6: "B7",
    7: "B8", 8: "B8A", 9: "B9", 10: "B10", 11: "B11", 12: "B12",
}  # fmt: skip


class Hash(Protocol):
    """A hash of the bytes that have come so far."""

    def update(self, data: bytes, /) -> None:
        """More of them."""

    def hexdigest(self) -> str:
        """Hexadecimal, lower case."""


_HASHES: dict[str, Callable[[], Hash]] = {
    "SHA3-256": hashlib.sha3_256,
    "MD5": partial(hashlib.md5, usedforsecurity=False),
}
"""By the names that manifests have for them: genuine ones of baseline 02.14 have MD5, of 04.00 SHA3-256."""


@dataclass(frozen=True, slots=True)
class Checksum:
    """What a manifest says of a file's bytes."""

    name: str
    """`SHA3-256` or `MD5`."""
    digest: str
    """Hexadecimal, lower case."""

    def begin(self) -> Hash:
        """A hash of this kind, of no bytes yet."""
        return _HASHES[self.name]()


def parse_radiometry(xml: bytes, product: str) -> Radiometry:
    """Quantification and offsets of a product.

    xml: MTD_MSIL2A.xml. Below baseline 04.00 there is no offset element and every offset is 0; the
    element decides, never the date. Raises PermanentError, naming `product`, for anything else.
    """
    root = _parse(xml, "MTD_MSIL2A.xml", product)
    quantification = _number(root, "BOA_QUANTIFICATION_VALUE", product)
    elements = root.findall(".//BOA_ADD_OFFSET")
    listed = {_whole(element.get("band_id"), product): _whole(element.text, product) for element in elements}
    if elements and not (listed.keys() == _BAND_IDS.keys() and len(elements) == len(_BAND_IDS)):
        raise PermanentError(
            f"{product}: {len(elements)} offsets, not one for each of {len(_BAND_IDS)} bands"
        )
    if not 1 <= quantification <= 1e6 or any(abs(offset) > 10_000 for offset in listed.values()):
        raise PermanentError(f"{product}: quantification or offset out of range")
    named = {_BAND_IDS[number]: offset for number, offset in listed.items()}
    return Radiometry(quantification, {band: named.get(band, 0) for band in REFLECTANCE_BANDS})


def parse_checksums(xml: bytes, product: str) -> Mapping[str, Checksum]:
    """What a product's manifest says of its files, by their paths below the product's folder.

    xml: manifest.safe. Files without a checksum of a known kind are left out. Raises PermanentError, naming
    `product`, for what is no safe XML, or names two checksums for a file.
    """
    checksums: dict[str, Checksum] = {}
    for stream in _parse(xml, "manifest.safe", product).iterfind(".//byteStream"):
        place, said = stream.find("fileLocation"), stream.find("checksum")
        name = said.get("checksumName", "").upper() if said is not None else ""
        if place is None or said is None or name not in _HASHES or not said.text:
            continue
        path = place.get("href", "").removeprefix("./")
        checksum = Checksum(name, said.text.strip().lower())
        if checksums.setdefault(path, checksum) != checksum:
            raise PermanentError(f"{product}: manifest.safe has two checksums for {path[-80:]!r}")
    return checksums


def _parse(xml: bytes, name: str, product: str) -> Element:
    """A document that has no document type and no entities."""
    try:
        return fromstring(xml, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError, LookupError) as error:
        raise PermanentError(f"{product}: {name} is not safe XML: {type(error).__name__}") from error


def _number(root: Element, tag: str, product: str) -> float:
    found = root.findall(f".//{tag}")
    if len(found) != 1:
        raise PermanentError(f"{product}: MTD_MSIL2A.xml has {len(found)} {tag}, not one")
    return _value(found[0].text, product)


def _value(text: str | None, product: str) -> float:
    try:
        return float(text or "")
    except ValueError as error:
        raise PermanentError(f"{product}: {(text or '')[:50]!r} in MTD_MSIL2A.xml is not a number") from error


def _whole(text: str | None, product: str) -> int:
    value = _value(text, product)
    if not value.is_integer():
        raise PermanentError(f"{product}: {(text or '')[:50]!r} in MTD_MSIL2A.xml is not a whole number")
    return int(value)
