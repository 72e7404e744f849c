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
    except (ParseError, DefusedXmlException, ValueError) as error:
        raise PermanentError(f"{product}: MTD_MSIL2A.xml is not safe XML: {type(error).__name__}") from error
    quantification = _number(root, "BOA_QUANTIFICATION_VALUE", product)
    offsets = dict.fromkeys(REFLECTANCE_BANDS, 0)
    listed = root.findall(".//BOA_ADD_OFFSET")
    for element in listed:
        band = _BAND_IDS.get(int(_value(element.get("band_id"), product)))
        if band in offsets:
            offsets[band] = int(_value(element.text, product))
    if listed and len(listed) != len(_BAND_IDS):
        raise PermanentError(f"{product}: {len(listed)} offsets for {len(_BAND_IDS)} bands")
    if not 1 <= quantification <= 1e6 or any(abs(offset) > 10_000 for offset in offsets.values()):
        raise PermanentError(f"{product}: quantification or offset out of range")
    return Radiometry(quantification, offsets)


def _number(root: Element, tag: str, product: str) -> float:
    found = root.findall(f".//{tag}")
    if len(found) != 1:
        raise PermanentError(f"{product}: MTD_MSIL2A.xml has {len(found)} {tag}, not one")
    return _value(found[0].text, product)


def _value(text: str | None, product: str) -> float:
    try:
        return float(text or "")
    except ValueError as error:
        raise PermanentError(f"{product}: {text!r} in MTD_MSIL2A.xml is not a number") from error
