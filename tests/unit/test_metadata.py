"""Offsets and quantification come from genuine MTD_MSIL2A.xml, never from the date; checksums from genuine
manifests."""

import hashlib

import pytest

from landpatch.errors import PermanentError
from landpatch.metadata import parse_checksums, parse_radiometry
from tests.scenes import write_manifest

GENUINE = {
    "S2A_MSIL2A_20190212T192651_N0212_R013_T07HFE_20201007T160857.SAFE": 0,
    "S2B_MSIL2A_20210122T133229_N0214_R081_T22HBD_20210122T155500.SAFE": 0,
    "S2A_MSIL2A_20221005T115411_N0400_R023_T29UNU_20221005T164454.SAFE": -1000,
    "S2A_MSIL2A_20230625T234621_N0509_R073_T01WCP_20230626T022157.SAFE": -1000,
}


@pytest.mark.parametrize(("product", "offset"), GENUINE.items())
def test_genuine_metadata_gives_one_offset_a_band(data, product, offset):
    radiometry = parse_radiometry((data / "sentinel2" / product / "MTD_MSIL2A.xml").read_bytes(), product)
    assert radiometry.quantification == 10000
    assert set(radiometry.offsets.values()) == {offset}
    assert len(radiometry.offsets) == 12


def test_each_band_takes_its_own_offset(data):
    name = "S2A_MSIL2A_20221005T115411_N0400_R023_T29UNU_20221005T164454.SAFE"
    xml = (data / "sentinel2" / name / "MTD_MSIL2A.xml").read_text()
    changed = xml.replace('<BOA_ADD_OFFSET band_id="8">-1000', '<BOA_ADD_OFFSET band_id="8">-1200')
    assert changed != xml
    offsets = parse_radiometry(changed.encode(), name).offsets
    assert offsets["B8A"] == -1200
    assert offsets["B8"] == offsets["B9"] == -1000


def test_the_quantification_is_the_products_own(data):
    name = next(iter(GENUINE))
    xml = (data / "sentinel2" / name / "MTD_MSIL2A.xml").read_text()
    changed = xml.replace(">10000</BOA_QUANTIFICATION_VALUE>", ">5000</BOA_QUANTIFICATION_VALUE>")
    assert changed != xml
    assert parse_radiometry(changed.encode(), name).quantification == 5000


@pytest.mark.parametrize(
    "doctype",
    [
        '<!DOCTYPE a [<!ENTITY b "bb"><!ENTITY c "&b;&b;">]>',
        '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/hostname">]>',
        '<!DOCTYPE a SYSTEM "http://127.0.0.1/a.dtd">',
    ],
)
def test_genuine_metadata_with_a_document_type_is_refused(data, doctype):
    name = next(iter(GENUINE))
    xml = (data / "sentinel2" / name / "MTD_MSIL2A.xml").read_text()
    declaration, rest = xml.split("?>", 1)
    with pytest.raises(PermanentError, match="not safe XML"):
        parse_radiometry(f"{declaration}?>{doctype}{rest}".encode(), name)


ENTITIES = b'<!DOCTYPE a [<!ENTITY b "bb"><!ENTITY c "&b;&b;">]><a>&c;</a>'


@pytest.mark.parametrize("xml", [b"", b"<html>", ENTITIES, b"<a/>", b'{"error": 1}'])
def test_what_is_not_such_metadata_is_refused_with_the_product_named(xml):
    with pytest.raises(PermanentError, match="S2X"):
        parse_radiometry(xml, "S2X")


def test_an_offset_that_is_listed_twice_does_not_stand_for_one_that_is_missing(data):
    name = "S2A_MSIL2A_20221005T115411_N0400_R023_T29UNU_20221005T164454.SAFE"
    xml = (data / "sentinel2" / name / "MTD_MSIL2A.xml").read_text()
    changed = xml.replace('<BOA_ADD_OFFSET band_id="8">', '<BOA_ADD_OFFSET band_id="7">')
    assert changed != xml
    with pytest.raises(PermanentError, match="one for each of 13 bands"):
        parse_radiometry(changed.encode(), name)


@pytest.mark.parametrize("offset", ["1e999", "-inf", "nan", "-1000.5", "", "-1000000"])
def test_an_offset_that_is_no_whole_number_within_range_is_refused(data, offset):
    name = "S2A_MSIL2A_20221005T115411_N0400_R023_T29UNU_20221005T164454.SAFE"
    xml = (data / "sentinel2" / name / "MTD_MSIL2A.xml").read_text()
    changed = xml.replace('<BOA_ADD_OFFSET band_id="8">-1000', f'<BOA_ADD_OFFSET band_id="8">{offset}')
    assert changed != xml
    with pytest.raises(PermanentError, match=name):
        parse_radiometry(changed.encode(), name)


MANIFESTS = {
    "S2A_MSIL2A_20221005T115411_N0400_R023_T29UNU_20221005T164454.SAFE": ("SHA3-256", hashlib.sha3_256, 4),
    "S2B_MSIL2A_20210122T133229_N0214_R081_T22HBD_20210122T155500.SAFE": ("MD5", hashlib.md5, 1),
}
"""Of genuine products: the kind of checksums, and how many of their files are here."""


@pytest.mark.parametrize("product", MANIFESTS)
def test_a_genuine_manifest_names_the_checksums_of_the_products_files(data, product):
    folder = data / "sentinel2" / product
    name, hash_of, count = MANIFESTS[product]
    checksums = parse_checksums((folder / "manifest.safe").read_bytes(), product)
    paths = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*.*")}
    found = {path: checksums[path] for path in paths if path in checksums}
    assert len(found) == count
    for path, checksum in found.items():
        assert checksum.name == name
        assert checksum.digest == hash_of(paths[path].read_bytes()).hexdigest()
        begun = checksum.begin()
        begun.update(paths[path].read_bytes())
        assert begun.hexdigest() == checksum.digest
    bands = [path for path in checksums if path.endswith("0m.jp2")]
    assert len(bands) > 30


@pytest.mark.parametrize(
    ("name", "known"), [("SHA3-256", True), ("sha3-256", True), ("SHA-1", False), ("", False)]
)
def test_a_checksum_of_another_kind_is_none(name, known):
    assert ("a.jp2" in parse_checksums(write_manifest({"a.jp2": b"a"}, name), "S2X")) is known


@pytest.mark.parametrize(
    "xml", [b"<a/>", b"<a><byteStream/></a>", b"<a><byteStream><fileLocation/><checksum/></byteStream></a>"]
)
def test_a_manifest_that_names_no_file_has_no_checksums(xml):
    assert parse_checksums(xml, "S2X") == {}


@pytest.mark.parametrize("xml", [b"", b"<html>", ENTITIES, b'{"error": 1}', b"\xff" * 100])
def test_what_is_no_manifest_is_refused_with_the_product_named(xml):
    with pytest.raises(PermanentError, match=r"S2X: manifest\.safe is not safe XML"):
        parse_checksums(xml, "S2X")


def test_two_checksums_for_a_file_are_refused():
    one, other = write_manifest({"a.jp2": b"a"}), write_manifest({"a.jp2": b"b"})
    assert len(parse_checksums(b"<a>" + one + one + b"</a>", "S2X")) == 1
    with pytest.raises(PermanentError, match="two checksums for"):
        parse_checksums(b"<a>" + one + other + b"</a>", "S2X")
