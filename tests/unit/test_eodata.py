"""The files of a product: picked from a listing, each band at its native pixel size."""

import pytest

from landpatch.errors import ConfigurationError, PermanentError
from landpatch.settings import Settings
from landpatch.sources.eodata import NATIVE_SIZE_M, open_eodata, resolve_files

PRODUCT = "S2A_MSIL2A_20221005T115411_N0400_R023_T29UNU_20221005T164454.SAFE"
FOLDER = f"Sentinel-2/MSI/L2A/2022/10/05/{PRODUCT}"
IMAGES = f"{FOLDER}/GRANULE/L2A_T29UNU_A038058_20221005T115407/IMG_DATA"
LAYERS = {
    10: ["B02", "B03", "B04", "B08", "AOT", "TCI", "WVP"],
    20: ["B01", "B02", "B03", "B04", "B05", "B06", "B07", "B8A", "B11", "B12", "SCL", "AOT", "TCI", "WVP"],
    60: ["B01", "B02", "B03", "B04", "B05", "B06", "B07", "B8A", "B09", "B11", "B12", "SCL", "AOT", "TCI"],
}
"""What a genuine product of baseline 04.00 holds at each pixel size."""


def key(band: str, size_m: int, folder_m: int | None = None) -> str:
    return f"{IMAGES}/R{folder_m or size_m}m/T29UNU_20221005T115411_{band}_{size_m}m.jp2"


def listing() -> dict[str, int]:
    """Keys and sizes of a genuine product, in the order of a store."""
    granule = IMAGES.removesuffix("/IMG_DATA")
    others = [
        f"{FOLDER}/MTD_MSIL2A.xml",
        f"{FOLDER}/INSPIRE.xml",
        f"{FOLDER}/manifest.safe",
        f"{granule}/MTD_TL.xml",
        f"{granule}/QI_DATA/MSK_CLDPRB_20m.jp2",
        f"{granule}/QI_DATA/T29UNU_20221005T115411_PVI.jp2",
        f"{granule}/QI_DATA/MSK_DETFOO_B02.jp2",
    ]
    bands = [key(band, size_m) for size_m, names in LAYERS.items() for band in names]
    return {name: 1000 + number for number, name in enumerate(sorted(others + bands))}


def test_every_band_is_found_at_its_native_size():
    sizes = listing()
    files = resolve_files(sizes, FOLDER, PRODUCT)
    assert files.metadata == f"{FOLDER}/MTD_MSIL2A.xml"
    assert files.bands == {
        "B1": key("B01", 60), "B2": key("B02", 10), "B3": key("B03", 10), "B4": key("B04", 10),
        "B5": key("B05", 20), "B6": key("B06", 20), "B7": key("B07", 20), "B8": key("B08", 10),
        "B8A": key("B8A", 20), "B9": key("B09", 60), "B11": key("B11", 20), "B12": key("B12", 20),
        "SCL": key("SCL", 20),
    }  # fmt: skip
    assert files.manifest == f"{FOLDER}/manifest.safe"
    wanted = {files.metadata, files.manifest, *files.bands.values()}
    assert files.sizes == {name: size for name, size in sizes.items() if name in wanted}


def test_the_order_of_the_listing_does_not_matter():
    assert resolve_files(dict(reversed(listing().items())), FOLDER, PRODUCT) == resolve_files(
        listing(), FOLDER, PRODUCT
    )


def test_b1_is_taken_at_60_m_though_it_is_there_at_20_m():
    assert key("B01", 20) in listing()
    assert resolve_files(listing(), FOLDER, PRODUCT).bands["B1"] == key("B01", 60)


def test_b1_at_20_m_does_not_stand_in_for_b1_at_60_m():
    sizes = listing()
    del sizes[key("B01", 60)]
    with pytest.raises(PermanentError, match=rf"^{PRODUCT}: no B1 in its folder$"):
        resolve_files(sizes, FOLDER, PRODUCT)


def test_folders_in_the_listing_are_no_files():
    folders = [f"{FOLDER}/", f"{IMAGES}/", f"{IMAGES}/R10m/", key("B02", 10) + "/"]
    plain = resolve_files(listing(), FOLDER, PRODUCT)
    assert resolve_files(dict.fromkeys(folders, 0) | listing(), FOLDER, PRODUCT) == plain
    assert resolve_files(listing() | dict.fromkeys(folders, 0), FOLDER, PRODUCT) == plain


@pytest.mark.parametrize("band", sorted(NATIVE_SIZE_M))
def test_a_band_that_is_missing_is_named(band):
    sizes = listing()
    del sizes[resolve_files(sizes, FOLDER, PRODUCT).bands[band]]
    with pytest.raises(PermanentError, match=rf"^{PRODUCT}: no {band} in its folder$"):
        resolve_files(sizes, FOLDER, PRODUCT)


def test_all_that_is_missing_is_named_at_once():
    sizes = {name: size for name, size in listing().items() if "/R10m/" not in name}
    del sizes[f"{FOLDER}/MTD_MSIL2A.xml"]
    with pytest.raises(PermanentError, match=r": no MTD_MSIL2A\.xml, B2, B3, B4, B8 in its folder$"):
        resolve_files(sizes, FOLDER, PRODUCT)


def test_an_empty_folder_lacks_everything():
    with pytest.raises(PermanentError, match=r"MTD_MSIL2A\.xml, B1, .*, B12, SCL in its folder"):
        resolve_files({}, FOLDER, PRODUCT)


@pytest.mark.parametrize(
    "stray",
    [
        key("B02", 10, folder_m=20),
        key("B02", 20, folder_m=10),
        key("B02", 10) + ".aux.xml",
        key("B02", 10).removesuffix(".jp2"),
        key("B02", 10).replace("/IMG_DATA", "/QI_DATA"),
        key("B02", 10).replace("/R10m", ""),
        f"{FOLDER}/MTD_MSIL2A.xml.bak",
    ],
)
def test_a_file_in_another_place_or_of_another_name_is_left_alone(stray):
    plain = resolve_files(listing(), FOLDER, PRODUCT)
    assert resolve_files(listing() | {stray: 1}, FOLDER, PRODUCT) == plain
    without = {name: size for name, size in listing().items() if name != key("B02", 10)}
    with pytest.raises(PermanentError, match="no B2 in its folder"):
        resolve_files(without | {stray: 1}, FOLDER, PRODUCT)


@pytest.mark.parametrize("given", [{}, {"EO_S3_ACCESS_KEY_ID": "key"}, {"EO_S3_SECRET_ACCESS_KEY": "secret"}])
def test_the_store_is_not_opened_without_both_credentials(monkeypatch, given):
    for name in ("EO_S3_ACCESS_KEY_ID", "EO_S3_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ConfigurationError, match="EO_S3_ACCESS_KEY_ID and EO_S3_SECRET_ACCESS_KEY"):
        open_eodata(Settings(_env_file=None, **given))


def test_metadata_that_is_no_metadata_by_its_size_is_not_read():
    sizes = listing() | {f"{FOLDER}/MTD_MSIL2A.xml": 10_000_001}
    with pytest.raises(PermanentError, match="10000001 bytes is larger than metadata is"):
        resolve_files(sizes, FOLDER, PRODUCT)
