"""The three index files: exact columns, sorted rows, and statistics that pixels bear out."""

import io
import json
from dataclasses import replace

import geopandas as gpd
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from shapely.geometry import box

from landpatch.errors import PermanentError
from landpatch.index import (
    ImageFacts,
    LabelFacts,
    PatchRow,
    PatchState,
    build_filename2bbox,
    build_normalization,
    build_patches,
    read_patches,
    read_states,
)
from landpatch.radiometry import BANDS

PRESENT, PARTIAL, MISSING, FAILED = (
    "3755000_2887500_0_1",
    "3752500_2887500_0_0",
    "3757500_2887500_0_2",
    ("10000_2887500_1_13"),
)
PRODUCT = "S2A_MSIL2A_20210601T105031_N0500_R051_T31UDQ_20230212T061204"


def image(bands: np.ndarray | None = None, **facts: object) -> ImageFacts:
    """bands: (band, y, x)."""
    pixels = np.zeros((14, 2, 2)) if bands is None else bands
    return ImageFacts(
        **{
            "size": 1234, "etag": "0a", "sha256": "1b" * 32, "recipe": "source=cdse", "valid_fraction": 1.0,
            "clear_fraction": 0.97, "products": (PRODUCT,), "dates": ("2021-06-01T10:50:31Z",),
            "baselines": ("0500",), "shares": (1.0,),
            "band_mean": tuple(pixels.mean(axis=(1, 2)).tolist()),
            "band_var": tuple(pixels.var(axis=(1, 2)).tolist()),
        } | facts
    )  # fmt: skip


LABEL = LabelFacts(62628, "2c", "3d" * 32, 2021, (500, *range(1, 12)))
ROWS = [
    PatchRow(PRESENT, "complete", "", image(np.arange(56.0).reshape(14, 2, 2)), LABEL, ""),
    PatchRow(FAILED, "failed", "B4 broken", None, None, "unknown codes 77"),
    PatchRow(
        PARTIAL, "partial", "",
        image(
            products=(PRODUCT, PRODUCT + "9"), dates=("a", "b"),
            baselines=("0500", "0510"), shares=(0.25, 0.75),
        ),
        None, "not asked for",
    ),
    PatchRow(MISSING, "missing", "no valid pixel in any product", None, LABEL, ""),
]  # fmt: skip


def table(data: bytes) -> pa.Table:
    return pq.read_table(io.BytesIO(data))


# filename2bbox.parquet


def test_filename2bbox_has_exactly_two_columns_of_the_known_types():
    schema = table(build_filename2bbox(ROWS)).schema
    assert schema.names == ["filename", "bbox"]
    assert schema.field("filename").type == pa.string()
    assert schema.field("bbox").type == pa.list_(pa.float64())


def test_filename2bbox_lists_what_is_present_sorted_by_filename_and_nothing_else():
    rows = table(build_filename2bbox(ROWS)).to_pylist()
    assert rows == [
        {"filename": f"{PARTIAL}.tif", "bbox": [3752500.0, 2887500.0, 3755000.0, 2890000.0]},
        {"filename": f"{PRESENT}.tif", "bbox": [3755000.0, 2887500.0, 3757500.0, 2890000.0]},
    ]


def test_filename2bbox_is_sorted_as_text():
    names = ["10000_2500_0_3", "2500_2500_0_0", "5000_2500_0_10", "5000_2500_0_1"]
    rows = [PatchRow(name, "complete", "", image(), None, "") for name in names]
    filenames = table(build_filename2bbox(rows))["filename"].to_pylist()
    assert filenames == sorted(f"{name}.tif" for name in names)


def test_filename2bbox_of_nothing_is_a_table_without_rows():
    empty = table(build_filename2bbox(ROWS[1:2]))
    assert empty.num_rows == 0
    assert empty.schema.equals(table(build_filename2bbox(ROWS)).schema)


@pytest.mark.parametrize("build", [build_filename2bbox, build_patches, build_normalization])
def test_the_order_of_the_rows_does_not_change_a_byte(build):
    assert build(ROWS) == build(ROWS) == build(ROWS[::-1])


# patches.parquet


def test_patches_is_geoparquet_with_the_cell_of_every_patch():
    frame = gpd.read_parquet(io.BytesIO(build_patches(ROWS)))
    assert frame.crs.to_epsg() == 3035
    assert frame["patch"].tolist() == sorted(row.patch for row in ROWS)
    for _, row in frame.iterrows():
        xmin, ymin = (float(part) for part in row["patch"].split("_")[:2])
        assert list(row["bbox"]) == [xmin, ymin, xmin + 2500, ymin + 2500]
        assert row.geometry.equals(box(*row["bbox"]))


def test_patches_says_of_itself_what_geoparquet_asks_for():
    geo = json.loads(table(build_patches(ROWS)).schema.metadata[b"geo"])
    column = geo["columns"][geo["primary_column"]]
    assert geo["version"].startswith("1.")
    assert column["encoding"] == "WKB"
    assert column["geometry_types"] == ["Polygon"]
    assert column["bbox"] == [10000, 2887500, 3760000, 2890000]
    assert column["crs"]["id"] == {"authority": "EPSG", "code": 3035}


def test_patches_tells_present_and_absent_apart():
    frame = gpd.read_parquet(io.BytesIO(build_patches(ROWS))).set_index("patch")
    assert frame["state"].to_dict() == {
        PRESENT: "complete", PARTIAL: "partial", MISSING: "missing", FAILED: "failed"
    }  # fmt: skip
    assert frame.loc[FAILED, "reason"] == "B4 broken"
    assert frame["valid_fraction"].notna().to_dict() == {
        PRESENT: True, PARTIAL: True, MISSING: False, FAILED: False
    }  # fmt: skip
    assert frame["label_sha256"].notna().to_dict() == {
        PRESENT: True, PARTIAL: False, MISSING: True, FAILED: False
    }  # fmt: skip


def test_patches_is_read_back_as_it_was_written():
    assert read_patches(build_patches(ROWS)) == {row.patch: row for row in ROWS}


def test_patches_of_a_time_when_all_labels_were_of_clcplus_is_read_back():
    older = table(build_patches(ROWS)).drop_columns(["label_source"])
    buffer = io.BytesIO()
    pq.write_table(older, buffer)
    assert read_patches(buffer.getvalue()) == {row.patch: row for row in ROWS}


def test_patches_names_classes_of_ones_own_and_the_source_of_each_label():
    label = replace(LABEL, source="raster=map.tif;classes=0123;nearest")
    data = build_patches([replace(ROWS[0], label=label)], "sandbox", {1: "Forêt", 2: "Open land"})
    assert json.loads(table(data).schema.metadata[b"LANDPATCH_CLASSES"]) == {"1": "Forêt", "2": "Open land"}
    assert read_patches(data)[PRESENT].label == label
    assert b"LANDPATCH_CLASSES" not in table(build_patches(ROWS)).schema.metadata


@pytest.mark.parametrize("rows", [[], ROWS[1:2]])
def test_patches_of_a_region_where_nothing_came_out_is_read_back_too(rows):
    data = build_patches(rows)
    assert read_patches(data) == {row.patch: row for row in rows}
    assert len(gpd.read_parquet(io.BytesIO(data))) == len(rows)
    assert table(data).schema.equals(table(build_patches(ROWS)).schema)


def test_the_states_are_read_without_the_rest():
    states = read_states(build_patches(ROWS))
    assert sorted(states, key=lambda each: each.patch) == [
        PatchState(FAILED, "failed", "B4 broken", False, "unknown codes 77"),
        PatchState(PARTIAL, "partial", "", False, "not asked for"),
        PatchState(PRESENT, "complete", "", True, ""),
        PatchState(MISSING, "missing", "no valid pixel in any product", True, ""),
    ]
    assert read_states(build_patches([])) == []


def test_a_number_keeps_every_digit():
    row = PatchRow(PRESENT, "complete", "", image(np.full((14, 1, 3), 0.1 + 0.2) / 3), None, "")
    assert read_patches(build_patches([row]))[PRESENT].image.band_mean == row.image.band_mean


@pytest.mark.parametrize(
    "data", [b"", b"PAR1", b"not parquet at all", build_patches(ROWS)[:-20], build_filename2bbox(ROWS)]
)
def test_what_is_not_such_a_file_is_refused(data):
    with pytest.raises(PermanentError, match=r"patches\.parquet"):
        read_states(data)
    with pytest.raises(PermanentError, match=r"patches\.parquet"):
        read_patches(data)


# metrics-normalization.yaml


def test_the_statistics_are_those_of_all_pixels_together():
    rng = np.random.default_rng(7)
    images = [
        rng.normal(level, spread, (14, 50, 50)) for level, spread in ((0.1, 0.02), (0.4, 0.3), (-0.01, 0.001))
    ]
    images[2][:, :25] = 0
    rows = [PatchRow(f"{2500 * n}_0_0_{n}", "complete", "", image(b), None, "") for n, b in enumerate(images)]
    rows.insert(1, ROWS[1])
    metrics = yaml.safe_load(build_normalization(rows))
    pixels = np.concatenate([bands.reshape(14, -1) for bands in images], axis=1)
    assert set(metrics) == {"mean", "std"}
    np.testing.assert_allclose(metrics["mean"], pixels.mean(axis=1), rtol=1e-12)
    np.testing.assert_allclose(metrics["std"], pixels.std(axis=1), rtol=1e-12)


def test_a_small_spread_around_a_large_mean_is_not_lost():
    rng = np.random.default_rng(8)
    images = [1e6 + rng.normal(0, 1e-3, (14, 20, 20)) for _ in range(2)]
    rows = [PatchRow(f"{2500 * n}_0_0_{n}", "complete", "", image(b), None, "") for n, b in enumerate(images)]
    std = yaml.safe_load(build_normalization(rows))["std"]
    np.testing.assert_allclose(std, np.concatenate(images, axis=2).std(axis=(1, 2)), rtol=1e-3)


def test_the_statistics_have_one_number_a_band_and_never_divide_by_nothing():
    metrics = yaml.safe_load(build_normalization(ROWS[1:2]))
    assert metrics == {"mean": [0.0] * len(BANDS), "std": [1.0] * len(BANDS)}
    assert len(BANDS) == 14
