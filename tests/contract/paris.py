"""Eight patches of Paris in a real store, whose pixels are known."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from shapely.geometry import MultiPolygon, Polygon, shape

from landpatch.codec import encode_image, encode_label
from landpatch.grid import lay_grid
from landpatch.index import PatchRow, build_filename2bbox, build_patches
from landpatch.inventory import describe_image, describe_label
from landpatch.layout import RegionLayout
from landpatch.radiometry import BANDS
from landpatch.settings import Settings
from landpatch.storage import S3Store, make_s3_client
from tests.contract.conftest import S3Server

LAYOUT = RegionLayout("views", "FR101", 2021)
NOTRE_DAME = "2.3499,48.8530"
TAGS = {
    "RECIPE": "a recipe",
    "VALID_FRACTION": "0.96",
    "CLEAR_FRACTION": "0.97",
    "PRODUCTS": "S2A_<b>first</b>,S2B_second",
    "SENSING_DATES": "2021-06-01T10:50:31+00:00,2021-05-11T10:50:31+00:00",
    "BASELINES": "05.00,03.01",
    "SHARES": "0.75,0.25",
}
LEFT = {"B4": 0.4, "B3": 0.4, "B2": 0.4, "B8": 0.4, "NDVI": 0.0, "NDWI": 0.0}
RIGHT = {"B4": 0.1, "B3": 0.2, "B2": 0.4, "B8": 0.3, "NDVI": 0.5, "NDWI": -0.2}


def make_pair() -> tuple[np.ndarray, np.ndarray]:
    """The left half bright and sealed, the right half known values and water; the ten lowest rows were not
    observed and have no label."""
    image, label = np.full((14, 250, 250), 0.2), np.full((250, 250), 1, "uint8")
    for columns, values in ((slice(0, 125), LEFT), (slice(125, 250), RIGHT)):
        for band, value in values.items():
            image[BANDS.index(band), :, columns] = value
    label[:, 125:] = 10
    image[:, 240:], label[240:] = 0, 0
    return image, label


def make_settings(s3: S3Server, data: Path) -> Settings:
    """Settings under which the region is found."""
    return Settings.model_validate(
        {
            "AWS_S3_ENDPOINT": s3.endpoint,
            "AWS_ACCESS_KEY_ID": s3.key,
            "AWS_SECRET_ACCESS_KEY": s3.secret,
            "LANDPATCH_BUCKET": s3.bucket,
            "LANDPATCH_PREFIX": LAYOUT.prefix,
            "LANDPATCH_NUTS_URL": str(data / "boundaries.geojson"),
        }
    )


def read_boundary(data: Path) -> Polygon | MultiPolygon:
    """Of FR101, EPSG:3035."""
    features = json.loads((data / "boundaries.geojson").read_text())["features"]
    return next(shape(feature["geometry"]) for feature in features if feature["id"] == "FR101")


def store_region(
    s3: S3Server,
    data: Path,
    layout: RegionLayout = LAYOUT,
    source: str = "clcplus",
    names: Mapping[int, str] | None = None,
) -> list[PatchRow]:
    """Six whole patches, one without a label, one missing. source, names: of the labels and their classes."""
    store = S3Store(make_s3_client(s3.endpoint, s3.key, s3.secret), s3.bucket, s3.endpoint)
    bands, classes = make_pair()
    label, rows = encode_label(classes), []
    *whole, unlabelled, missing = lay_grid(read_boundary(data))[12:20]
    for patch in (*whole, unlabelled):
        image = encode_image(bands, patch, TAGS)
        store.put(layout.image(patch.name), image)
        facts = replace(describe_label(label, patch.name, "-"), edition=2021, source=source)
        rows.append(PatchRow(patch.name, "partial", "", describe_image(image, patch.name, "-"), facts, ""))
        store.put(layout.label(patch.name), label)
    rows[-1] = replace(rows[-1], label=None, label_reason="the label service was away")
    rows.append(PatchRow(missing.name, "missing", "no <i>product</i> | covers it", None, None, "the same"))
    store.put(layout.patches, build_patches(rows, "sandbox", names))
    store.put(layout.filename2bbox, build_filename2bbox(rows, "sandbox"))
    return rows
