"""The evalscript, run by an interpreter of ECMAScript 5 as Sentinel Hub runs it: not all of the language."""

import json
import re

import dukpy
import numpy as np
import pytest

from landpatch.radiometry import REFLECTANCE_BANDS
from landpatch.sources.sentinelhub import write_script
from services.sandbox.process import BANDS, evaluate

PRODUCT = "S2A_MSIL2A_20230601T105031_N0510_R051_T31UDQ_20230601T165000"
OTHER = "S2A_MSIL2A_20230601T105031_N0510_R051_T31UDP_20230601T165000"
SCRIPT = write_script(f"{PRODUCT}.SAFE")


def run(expression, **given):
    return json.loads(dukpy.evaljs(f"{SCRIPT}\nJSON.stringify({expression})", **given))


def tiles(*described):
    source = {"scenes": {"tiles": list(described)}}
    return {"bands": source, "classes": source}


def test_it_begins_with_the_version_and_names_the_product():
    assert SCRIPT.startswith("//VERSION=3\n")
    assert f'var PRODUCT = "{PRODUCT}";' in SCRIPT
    assert "{product}" not in SCRIPT


def test_twelve_bands_and_the_scene_classification_come_from_two_sources_as_stored():
    setup = run("setup()")
    bands, classes = setup["input"]
    assert (bands["datasource"], classes["datasource"]) == ("bands", "classes")
    assert [re.sub("B0?", "B", band) for band in bands["bands"][:-1]] == list(REFLECTANCE_BANDS)
    assert (bands["bands"][-1], classes["bands"]) == ("dataMask", ["SCL"])
    assert {bands["units"], classes["units"]} == {"DN"}
    assert setup["output"] == {"bands": 13, "sampleType": "UINT16"}
    assert setup["mosaicking"] == "TILE"


@pytest.mark.parametrize(
    "tile",
    [
        {"productId": PRODUCT, "shId": 5},
        {"productId": f"{PRODUCT}.SAFE"},
        {"date": "2023-06-01", "dataPath": f"s3://EODATA/Sentinel-2/MSI/L2A/2023/06/01/{PRODUCT}.SAFE"},
    ],
)
def test_only_the_tile_of_the_product_is_taken_whichever_property_names_it(tile):
    found = run(
        "preProcessScenes(dukpy['given'])", given=tiles({"productId": OTHER}, tile, {"productId": PRODUCT})
    )
    assert found == tiles(tile)


def test_another_product_in_its_place_is_an_error_and_none_at_all_is_none():
    with pytest.raises(dukpy.JSRuntimeError, match=f"there is no {PRODUCT}, but .*{OTHER}"):
        run("preProcessScenes(dukpy['given'])", given=tiles({"productId": OTHER}))
    assert run("preProcessScenes(dukpy['given'])", given=tiles()) == tiles()


def test_the_sandbox_does_at_each_pixel_what_the_script_does():
    rng = np.random.default_rng(5)
    bands = rng.integers(0, 65536, (12, 4, 5), dtype="uint16")
    classes, seen = rng.integers(0, 12, (4, 5), dtype="uint16"), rng.random((4, 5)) > 0.3
    expected = evaluate(bands, seen, classes)
    for row, col in np.ndindex(4, 5):
        numbers = dict(zip(BANDS, bands[:, row, col].tolist(), strict=True))
        samples = {
            "bands": [numbers | {"dataMask": int(seen[row, col])}],
            "classes": [{"SCL": int(classes[row, col])}],
        }
        assert run("evaluatePixel(dukpy['samples'])", samples=samples) == expected[:, row, col].tolist()


def test_numbers_between_two_pixels_are_rounded():
    samples = {"bands": [dict.fromkeys(BANDS, 1234.5) | {"dataMask": 1}], "classes": [{"SCL": 4}]}
    assert run("evaluatePixel(dukpy['samples'])", samples=samples) == [1235] * 12 + [4]


@pytest.mark.parametrize("samples", [{"bands": [], "classes": []}, {"bands": [{}], "classes": [{"SCL": 4}]}])
def test_where_there_is_no_tile_there_is_nothing(samples):
    assert run("evaluatePixel(dukpy['samples'])", samples=samples) == [0] * 13
