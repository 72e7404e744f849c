"""A product's own metadata: MTD_MSIL2A.xml -> radiometry.

Source: Sentinel-2 Products Specification Document, Level-2A user product metadata.
"""

from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from landpatch.errors import PermanentError
from landpatch.radiometry import REFLECTANCE_BANDS, Radiometry

_BAND_IDS = {
    0: "B1", 1: "B2", 2: "B3", 3: "B4", 4: "B5", 5: "B6", 6: "B7",
    7: "B8", 8: "B8A", 9: "B9", 10: "B10", 11: "B11", 12: "B12",
}  # fmt: skip


def parse_radiometry(xml: bytes, product: str) -> Radiometry:
    """Quantification and offsets of a product.

    xml: MTD_MSIL2A.xml. Below baseline 04.00 there is no offset element and every offset is 0; the
    element decides, never the date. Raises PermanentError, naming `product`, for anything else.
    """
    try:
        root = fromstring(xml, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError, LookupError) as error:
        raise PermanentError(f"{product}: MTD_MSIL2A.xml is not safe XML: {type(error).__name__}") from error
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
