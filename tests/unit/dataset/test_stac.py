"""STAC items: valid by the schemas of STAC and its extensions, and true of the files they describe."""

import hashlib
import json
from pathlib import Path

import geopandas as gpd
import jsonschema
import pyarrow.parquet as pq
import pyproj
import pystac
import pytest
import rasterio
import stac_geoparquet
from pystac.validation.local_validator import get_local_schema_cache
from referencing import Registry, Resource
from shapely.geometry import Point, shape

import landpatch
from landpatch.errors import RequestError
from tests.training_sets import LUXEMBOURG, OTHER_PRODUCT, PARIS, PRODUCT

ITEM = "https://schemas.stacspec.org/v1.1.0/item-spec/json-schema/item.json"
EXTENSIONS = ("projection", "eo", "file", "processing")


def check(item: pystac.Item, data: Path) -> None:
    """Validate against STAC itself and every extension, without the network."""
    document = json.loads(json.dumps(item.to_dict()))
    assert document["stac_version"] == "1.1.0"
    core = get_local_schema_cache()
    registry = Registry().with_resources([(uri, Resource.from_contents(core[uri])) for uri in core])
    jsonschema.Draft7Validator(core[ITEM], registry=registry).validate(document)
    schemas = [json.loads((data / "schemas" / "stac" / f"{name}.json").read_text()) for name in EXTENSIONS]
    assert {schema["$id"].rstrip("#") for schema in schemas} == set(document["stac_extensions"])
    for schema in schemas:
        jsonschema.Draft7Validator(schema, registry=registry).validate(document)


@pytest.mark.parametrize("name", ["own", "public", "other_map"])
def test_every_item_is_valid(request, name, data):
    dataset = landpatch.open(request.getfixturevalue(name))
    items = dataset.to_stac()
    assert len(items) == len(dataset)
    for item in items:
        check(item, data)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("properties", "proj:shape"), [250]),
        (("properties", "eo:cloud_cover"), 101),
        (("properties", "processing:level"), 3),
        (("assets", "image", "file:checksum"), "sha256:ab"),
        (("properties", "datetime"), "yesterday"),
    ],
)
def test_an_item_that_is_wrong_would_be_noticed(paris, data, path, value):
    (item, *_) = paris.to_stac()
    document = item.to_dict()
    place = document
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
        check(_Raw(document), data)


class _Raw:
    """A document in an item's place."""

    def __init__(self, document: dict) -> None:
        self._document = document

    def to_dict(self) -> dict:
        return self._document


def item_of(dataset, patch):
    (found,) = [item for item in dataset.to_stac() if item.id.endswith(patch)]
    return found


def test_an_item_says_when_and_from_what_its_image_is(paris):
    properties = item_of(paris, PARIS[1]).properties
    assert properties["datetime"] == "2021-07-16T10:46:19Z"  # of the product that 75 % is from
    assert properties["start_datetime"] == "2021-06-01T10:50:31Z"
    assert properties["end_datetime"] == "2021-07-16T10:46:19Z"
    assert properties["landpatch:products"] == [PRODUCT, OTHER_PRODUCT]
    assert properties["eo:cloud_cover"] == 3
    assert properties["landpatch:recipe"].startswith("source=sandbox")


def test_where_no_index_tells_the_date_it_is_the_year(luxembourg):
    item = item_of(luxembourg, LUXEMBOURG[0])
    assert item.id == "LU000_2021_4042000_2951690_0_637"
    assert item.datetime is None
    assert item.properties["start_datetime"] == "2021-01-01T00:00:00Z"
    assert item.properties["end_datetime"] == "2021-12-31T23:59:59Z"
    assert "file:size" not in item.assets["image"].extra_fields


def test_an_item_lies_where_the_tutorial_says(luxembourg):
    """WGS84 bounds of the tutorial's patch: 6.1364 49.6120 6.1727 49.6356."""
    item = item_of(luxembourg, LUXEMBOURG[0])
    assert item.bbox == pytest.approx([6.1364, 49.6120, 6.1727, 49.6356], abs=1e-4)
    assert shape(item.geometry).contains(Point(6.1695145, 49.6335945))
    assert shape(item.geometry).exterior.is_ccw


def test_the_projection_is_that_of_the_file(paris):
    for item, pair in zip(paris.to_stac(), paris, strict=True):
        with rasterio.open(item.assets["image"].href) as image:
            assert rasterio.crs.CRS.from_string(item.properties["proj:code"]) == image.crs
            assert item.properties["proj:transform"] == list(image.transform)[:6] == list(pair.transform)[:6]
            assert item.properties["proj:bbox"] == list(image.bounds)
            assert item.properties["proj:shape"] == list(image.shape)
            assert [band["name"] for band in item.assets["image"].to_dict()["bands"]] == list(
                image.descriptions
            )
        centre = item.properties["proj:centroid"]
        to_grid = pyproj.Transformer.from_crs(4326, 3035, always_xy=True)
        x, y = to_grid.transform(centre["lon"], centre["lat"])
        assert (x - pair.bounds[0], y - pair.bounds[1]) == pytest.approx((1250, 1250), abs=0.01)


def test_sizes_and_checksums_are_those_of_the_files(paris):
    for item in paris.to_stac():
        for asset in item.assets.values():
            data = Path(asset.href).read_bytes()
            assert asset.extra_fields["file:size"] == len(data)
            # A multihash: 0x12 is SHA-256, 0x20 its length.
            assert asset.extra_fields["file:checksum"] == "1220" + hashlib.sha256(data).hexdigest()


def test_a_patch_without_a_label_has_no_asset_for_it(paris):
    assert set(item_of(paris, PARIS[0]).assets) == {"image", "label"}
    assert set(item_of(paris, PARIS[3]).assets) == {"image"}


CLCPLUS = [
    "Sealed", "Woody needle leaved", "Woody broadleaved deciduous", "Woody broadleaved evergreen",
    "Low-growing woody", "Permanent herbaceous", "Periodically herbaceous", "Lichens and mosses",
    "Non- and sparsely-vegetated", "Water", "Snow and ice",
]  # fmt: skip


@pytest.mark.parametrize("name", ["paris", "luxembourg"])
def test_a_label_of_clcplus_has_its_title_and_its_classes(request, name):
    label = request.getfixturevalue(name).to_stac()[0].assets["label"]
    assert label.title.startswith("CLC+ Backbone classes, 0 = no label")
    assert label.extra_fields["landpatch:classes"] == [
        {"value": number, "name": name} for number, name in enumerate(CLCPLUS, 1)
    ]


def test_a_label_of_another_map_has_that_maps_title_and_classes(other_map):
    item = item_of(landpatch.open(other_map, "FR101/2021"), PARIS[0])
    label = item.assets["label"]
    assert label.title.startswith("city.tif classes, 0 = no label")
    assert label.extra_fields["landpatch:classes"] == [
        {"value": 1, "name": "Bäume & hedges"},
        {"value": 2, "name": "Roofs"},
    ]
    assert "CLC+" not in json.dumps(item.to_dict())


def test_each_year_of_a_region_tells_the_classes_of_its_own_labels(other_map):
    items = landpatch.open(other_map).to_stac()
    titles = {item.properties["landpatch:year"]: item.assets["label"].title for item in items
              if "label" in item.assets}  # fmt: skip
    assert [titles[year].partition(" classes")[0] for year in (2018, 2021)] == ["CLC+ Backbone", "city.tif"]


@pytest.mark.parametrize("name", ["own", "other_map"])
def test_geoparquet_keeps_the_names_of_the_classes(request, name, tmp_path):
    dataset = landpatch.open(request.getfixturevalue(name))
    dataset.write_stac_geoparquet(tmp_path / "items.parquet")
    items = stac_geoparquet.arrow.stac_table_to_items(pq.read_table(tmp_path / "items.parquet"))
    told = {item["id"]: item["assets"]["label"]["landpatch:classes"] for item in items
            if item["assets"].get("label")}  # fmt: skip
    assert told == {
        item.id: item.assets["label"].extra_fields["landpatch:classes"]
        for item in dataset.to_stac()
        if "label" in item.assets
    }
    assert told


def test_geoparquet_of_the_items_is_read_as_places_and_back_as_items(own, tmp_path):
    dataset = landpatch.open(own)
    path = tmp_path / "items.parquet"
    dataset.write_stac_geoparquet(path)
    frame = gpd.read_parquet(path)
    assert frame.crs == 4326
    assert len(frame) == 6
    assert frame.set_index("id").loc[f"FR101_2021_{PARIS[0]}"].geometry.contains(Point(2.2896, 48.8389))
    table = stac_geoparquet.arrow.stac_table_to_items(pq.read_table(path))
    assert {item["id"] for item in table} == {item.id for item in dataset.to_stac()}


def test_of_nothing_no_geoparquet_is_written(paris, tmp_path):
    with pytest.raises(RequestError, match="nothing was selected"):
        paris.select(years=1999).write_stac_geoparquet(tmp_path / "items.parquet")
    assert not list(tmp_path.iterdir())
