"""A region, end to end through real processes, read as the tutorial reads it."""

import io
import json
import re

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import rasterio
import requests
import yaml
from shapely.geometry import Point, shape

from landpatch.grid import lay_grid
from tests.waiting import LONG_S

pytestmark = pytest.mark.stack

BANDS = ["B1", "B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B9", "B11", "B12", "NDVI", "NDWI"]
NOTRE_DAME = Point(3760300, 2889600)
"""EPSG:3035."""


def folder(built):
    return built.result["index"].removesuffix("filename2bbox.parquet")


def test_the_result_tells_what_is_there(paris):
    result = paris.result
    assert set(result) == {
        "region", "year", "patches", "images", "labels", "complete", "partial", "missing", "products",
        "bytes_downloaded", "requests", "seconds", "index",
    }  # fmt: skip
    assert (result["region"], result["year"]) == ("FR101", 2021)
    assert result["patches"] == result["images"] == result["labels"] == 28
    assert result["complete"] + result["partial"] == 28
    assert result["missing"] == []
    assert result["bytes_downloaded"] > 0
    assert "SANDBOX" in paris.stderr


def test_the_index_lists_exactly_the_patches_of_the_grid(paris, data):
    features = json.loads((data / "boundaries.geojson").read_text())["features"]
    boundary = next(shape(f["geometry"]) for f in features if f["id"] == "FR101")
    index = pd.read_parquet(paris.result["index"])
    assert list(index.columns) == ["filename", "bbox"]
    expected = sorted((f"{patch.name}.tif", patch.bounds) for patch in lay_grid(boundary))
    assert [(name, tuple(bbox)) for name, bbox in zip(index.filename, index.bbox, strict=True)] == expected


def test_a_point_is_found_and_its_pair_is_read_as_the_tutorial_does(paris):
    index = pd.read_parquet(paris.result["index"])
    holds = [box[0] <= NOTRE_DAME.x < box[2] and box[1] <= NOTRE_DAME.y < box[3] for box in index.bbox]
    (filename,) = index.filename[holds]
    url = folder(paris) + filename
    with rasterio.open(url) as image:
        colours = image.read([4, 3, 2])
        assert image.bounds.left <= NOTRE_DAME.x < image.bounds.right
    assert colours.shape == (3, 250, 250)
    answer = requests.get(url.replace("/images/", "/labels/").replace(".tif", ".npy"), timeout=LONG_S)
    label = np.load(io.BytesIO(answer.content))
    assert label.shape == (250, 250)
    assert label.dtype == np.uint8


def test_every_image_has_the_profile_of_the_contract(paris):
    index = pd.read_parquet(paris.result["index"])
    for filename, bbox in zip(index.filename, index.bbox, strict=True):
        with rasterio.open(folder(paris) + filename) as image:
            assert image.driver == "GTiff"
            assert (image.count, image.height, image.width) == (14, 250, 250)
            assert set(image.dtypes) == {"float64"}
            assert image.crs.to_epsg() == 3035
            assert tuple(image.bounds) == tuple(bbox)
            assert image.res == (10, 10)
            assert image.interleaving.value.lower() == "pixel"
            assert set(image.block_shapes) == {(1, 250)}
            assert image.compression.value.lower() == "deflate"
            assert image.nodata is None
            assert list(image.descriptions) == BANDS
            tags = image.tags()
            assert tags["LANDPATCH_SOURCE"] == "sandbox"
            bands = image.read()
        observed = (bands != 0).any(axis=0)
        assert observed.mean() == pytest.approx(float(tags["LANDPATCH_VALID_FRACTION"]), abs=1e-6)
        ndvi = (bands[7] - bands[3]) / np.where(observed, bands[7] + bands[3], 1)
        assert np.allclose(bands[12], np.clip(ndvi, -1, 1))


def test_labels_hold_classes_of_the_contract_and_belong_to_the_image(paris):
    index = pd.read_parquet(paris.result["index"])
    ndvi_of = {1: [], 3: []}
    water_ndwi, land_ndwi = [], []
    for filename in index.filename:
        url = folder(paris) + filename
        answer = requests.get(url.replace("/images/", "/labels/").replace(".tif", ".npy"), timeout=LONG_S)
        label = np.load(io.BytesIO(answer.content))
        assert label.max() <= 11
        with rasterio.open(url) as image:
            ndvi, ndwi = image.read([13, 14])
        for number, values in ndvi_of.items():
            values.extend(ndvi[label == number][::50])
        water_ndwi.extend(ndwi[label == 10][::50])
        land_ndwi.extend(ndwi[(label != 10) & (label != 0)][::500])
    assert np.median(ndvi_of[3]) > np.median(ndvi_of[1]) + 0.2
    assert np.median(water_ndwi) > 0 > np.median(land_ndwi)


def test_the_normalisation_file_agrees_with_the_pixels(paris):
    index = pd.read_parquet(paris.result["index"])
    stack_of = []
    for filename in index.filename:
        with rasterio.open(folder(paris) + filename) as image:
            stack_of.append(image.read().reshape(14, -1))
    pixels = np.concatenate(stack_of, axis=1)
    metrics = yaml.safe_load(requests.get(folder(paris) + "metrics-normalization.yaml", timeout=LONG_S).text)
    assert np.allclose(metrics["mean"], pixels.mean(axis=1))
    assert np.allclose(metrics["std"], pixels.std(axis=1))


def test_patches_parquet_has_a_row_for_every_cell(paris):
    patches = pd.read_parquet(folder(paris) + "patches.parquet")
    assert len(patches) == 28
    assert set(patches.state) <= {"complete", "partial"}
    assert (patches.label_edition == 2021).all()
    assert all(sum(pixels) == 62500 for pixels in patches.label_pixels)


def test_every_index_says_that_the_pixels_are_synthetic(stack, paris):
    files = {key: data for key, data in stack.files().items() if "/images/FR101/2021/" in key}
    for name in ("filename2bbox.parquet", "patches.parquet"):
        (data,) = (data for key, data in files.items() if key.endswith(name))
        assert pq.read_schema(io.BytesIO(data)).metadata[b"LANDPATCH_SOURCE"] == b"sandbox"
    (metrics,) = (data for key, data in files.items() if key.endswith(".yaml"))
    assert metrics.startswith(b"# LANDPATCH_SOURCE=sandbox\n")


def test_verify_finds_nothing_wrong_and_then_what_has_been_spoilt(stack, paris):
    clean = stack.landpatch("verify", "FR101")
    assert clean.returncode == 0, clean.stdout + clean.stderr
    assert "0 faults" in clean.stdout
    image, label = (
        next(path for path in sorted((stack.state / "store").rglob(f"*{kind}")) if "/2021/" in str(path))
        for kind in (".tif", ".npy")
    )
    before = image.read_bytes(), label.read_bytes()
    stray = image.with_name("2500_2500_0_0.tif")
    try:
        image.write_bytes(before[0][:-1] + b"x")
        label.unlink()
        stray.write_bytes(b"stray")
        spoilt = stack.landpatch("verify", "FR101")
    finally:
        image.write_bytes(before[0])
        label.write_bytes(before[1])
        stray.unlink()
    assert spoilt.returncode == 3
    assert f"{image.name} has another checksum" in spoilt.stdout
    assert f"{label.name} is not there" in spoilt.stdout
    assert f"{stray.name}: is in no index" in spoilt.stdout


def test_the_summary_says_what_the_catalogue_had_and_what_was_left_out(paris):
    line = next(line for line in paris.stderr.splitlines() if line.startswith("  catalogue"))
    counts = [int(number) for number in re.findall(r"\d+", line)]
    assert re.sub(r"\d+", "N", line) == (
        "  catalogue N products; left out: N superseded by reprocessing, N offline, N unusable"
    )
    products, superseded, offline, unusable = counts
    # The sandbox has reprocessed and offline products for every tile.
    assert products > superseded > 0
    assert offline > 0
    assert unusable == 0


def test_status_shows_the_region_and_what_is_left_of_the_quota(stack, paris):
    shown = stack.landpatch("status", "FR101")
    assert shown.returncode == 0, shown.stderr
    assert re.search(r"^FR101/2021 +done ", shown.stdout, re.MULTILINE)
    left = re.search(
        r"^quota left +4 of 4 connections, \d+ of 2000 requests this minute, ([\d.]+) of 12000 GB",
        shown.stdout,
        re.MULTILINE,
    )
    assert left
    assert 12_000 - 1 < float(left[1]) <= 12_000


def test_plan_says_what_is_still_to_be_done_and_changes_nothing(stack, paris):
    before = stack.files()
    run = stack.landpatch("plan", "FR101", "--json")
    assert run.returncode == 0, run.stderr
    plan = json.loads(run.stdout.splitlines()[-1])
    assert (plan["total"]["patches"], plan["total"]["images"], plan["total"]["labels"]) == (28, 0, 0)
    assert plan["workers"] == 1
    other = stack.landpatch("plan", "FR101", "--max-cloud", "29", "--json")
    assert json.loads(other.stdout.splitlines()[-1])["total"]["images"] == 28
    assert stack.files() == before
    assert stack.waiting() == 0


def test_nothing_is_left_behind(stack, paris):
    assert stack.waiting() == 0
    assert not [key for key in stack.files() if "/observations/" in key]


def test_a_second_run_finds_everything_done_and_changes_nothing(stack, paris):
    before = stack.files()
    run = stack.landpatch("region", "FR101", "--json")
    result = json.loads(run.stdout.splitlines()[-1])
    assert run.returncode == 0
    assert result["bytes_downloaded"] == 0
    assert {name: result[name] for name in ("images", "labels", "missing")} == {
        "images": 28, "labels": 28, "missing": [],
    }  # fmt: skip
    assert stack.files() == before


def test_what_is_broken_or_gone_is_made_again_byte_for_byte(stack, paris):
    before = stack.files()
    images = sorted(key for key in before if key.endswith(".tif"))
    labels = sorted(key for key in before if key.endswith(".npy"))
    store = stack.state / "store"
    (store / images[0]).unlink()
    (store / images[1]).write_bytes(before[images[1]][:100_000])
    (store / images[2]).write_bytes(b'{"error": {"code": 500}}')
    (store / labels[3]).write_bytes(b"")
    # Of the right length, and nothing but the bytes tells that it is another.
    (store / images[4]).write_bytes(before[images[5]])
    (store / labels[4]).write_bytes(before[labels[5]])
    assert before[labels[4]] != before[labels[5]]
    flipped = bytearray(before[images[6]])
    flipped[len(flipped) // 2] ^= 0x10
    (store / images[6]).write_bytes(flipped)
    run = stack.landpatch("region", "FR101", "--json")
    assert run.returncode == 0, run.stderr
    assert {key for key, data in stack.files().items() if before.get(key) != data} <= {
        key for key in before if key.endswith("patches.parquet")
    }


def test_labels_of_another_edition_are_fetched_and_noted(stack, paris):
    run = stack.landpatch("region", "FR101", "--year", "2021", "--label-year", "2018", "--json")
    assert run.returncode == 0, run.stderr
    assert "labels are of 2018" in run.stderr
    patches = pd.read_parquet(folder(paris) + "patches.parquet")
    assert set(patches.label_edition) == {2018}


def test_a_year_without_an_edition_gives_images_only_and_says_so(stack, paris):
    run = stack.landpatch("region", "FR101", "--year", "2020", "--end", "06-30", "--json")
    result = json.loads(run.stdout.splitlines()[-1])
    assert run.returncode in {0, 3}, run.stderr
    assert "images only" in run.stderr
    assert result["images"] > 0
    assert result["labels"] == 0
    assert not [key for key in stack.files() if "/labels/FR101/2020/" in key]


def test_a_broken_product_becomes_a_dead_letter_and_its_patches_go_on_until_a_retry_finds_it_whole(stack):
    options = ("FR101", "--year", "2020", "--end", "06-30")
    whole = json.loads(stack.landpatch("region", *options, "--json").stdout.splitlines()[-1])
    (broken, *_) = whole["products"]
    (band,) = (stack.state / "sandbox" / "eodata").rglob(f"{broken}*/GRANULE/*/IMG_DATA/R10m/*_B04_10m.jp2")
    images = stack.state / "store" / "landpatch" / "data" / "images" / "FR101" / "2020"
    before = {path.name: path.read_bytes() for path in images.glob("*.tif")}
    for path in images.glob("*"):
        path.unlink()
    content = band.read_bytes()
    band.unlink()  # which may be a link to what other stacks share
    band.write_bytes(b"not a JPEG 2000 file" + content[20:])
    try:
        run = stack.landpatch("region", *options, "--json")
        result = json.loads(run.stdout.splitlines()[-1])
        assert broken not in result["products"]
        status = stack.landpatch("status", "FR101", "--year", "2020").stdout
        assert re.search(rf"dead letter {broken}: .*B4", status)
    finally:
        band.write_bytes(content)
    for path in images.glob("*.tif"):
        path.unlink()
    again = stack.landpatch("retry", "FR101", "--year", "2020", "--json")
    assert json.loads(again.stdout.splitlines()[-1])["products"] == whole["products"]
    assert {path.name: path.read_bytes() for path in images.glob("*.tif")} == before
    assert "dead letter" not in stack.landpatch("status", "FR101", "--year", "2020").stdout


def test_a_retry_leaves_alone_what_no_product_shows(stack):
    options = ("FR101", "--year", "2020", "--start", "05-01", "--end", "05-01")
    first = stack.landpatch("region", *options, "--json")
    result = json.loads(first.stdout.splitlines()[-1])
    assert first.returncode == 3
    assert {entry["reason"] for entry in result["missing"]} == {"no product in the catalogue covers it"}
    again = stack.landpatch("retry", "FR101", "--year", "2020", "--json")
    repeated = json.loads(again.stdout.splitlines()[-1])
    assert again.returncode == 3
    assert (repeated["missing"], repeated["requests"]) == (result["missing"], 0)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [(("LU000", "--year", "2018"), "has not been built"), (("nowhere",), "has not been built")],
)
def test_what_was_never_built_cannot_be_retried(stack, arguments, reason):
    run = stack.landpatch("retry", *arguments)
    assert run.returncode == 2
    assert reason in run.stderr
