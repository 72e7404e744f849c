"""Rows -> the three index files of a region."""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import shapely
import yaml

from landpatch.grid import CRS, parse_patch
from landpatch.radiometry import BANDS


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What a stored image was found to be when its bytes were read and checked."""

    size: int
    etag: str
    sha256: str
    recipe: str
    """What it depends on; see `RegionRequest.image_recipe`."""
    valid_fraction: float
    clear_fraction: float
    products: tuple[str, ...]
    dates: tuple[str, ...]
    """Sensing time of each product, ISO 8601, UTC."""
    baselines: tuple[str, ...]
    shares: tuple[float, ...]
    """Share of the pixels from each product."""
    band_mean: tuple[float, ...]
    """Mean of each of the 14 bands over all pixels."""
    band_var: tuple[float, ...]
    """Variance of each of the 14 bands over all pixels."""


@dataclass(frozen=True, slots=True)
class LabelFacts:
    """What a stored label was found to be when its bytes were read and checked."""

    size: int
    etag: str
    sha256: str
    edition: int
    """Year of CLC+ Backbone."""
    pixels: tuple[int, ...]
    """Pixels of each class, 0 to 11."""


@dataclass(frozen=True, slots=True)
class PatchRow:
    """A cell of the region, present or not."""

    patch: str
    state: str
    """complete, partial, missing or failed."""
    reason: str
    image: ImageFacts | None
    label: LabelFacts | None
    label_reason: str


def build_filename2bbox(rows: Sequence[PatchRow]) -> bytes:
    """`filename2bbox.parquet`: the patches that are there, sorted by filename.

    Two columns: `filename` (string), `bbox` (list of four doubles: xmin ymin xmax ymax, EPSG:3035).
    """
    present = sorted((f"{row.patch}.tif", row.patch) for row in rows if row.image is not None)
    table = pa.table(
        {
            "filename": pa.array([filename for filename, _ in present], pa.string()),
            "bbox": pa.array(
                [[float(bound) for bound in parse_patch(patch).bounds] for _, patch in present],
                pa.list_(pa.float64()),
            ),
        }
    )
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return buffer.getvalue()


def build_patches(rows: Sequence[PatchRow]) -> bytes:
    """`patches.parquet`: GeoParquet, EPSG:3035, a row for every cell, sorted by patch name."""
    ordered = sorted(rows, key=lambda row: row.patch)
    bounds = [parse_patch(row.patch).bounds for row in ordered]
    records = [_flatten(row) for row in ordered]
    frame = gpd.GeoDataFrame(
        pd.DataFrame.from_records(records, columns=list(_COLUMNS)).astype(_COLUMNS),
        geometry=[shapely.box(*bound) for bound in bounds],
        crs=CRS,
    )
    frame.insert(1, "bbox", pd.Series([[float(b) for b in bound] for bound in bounds], dtype=_FLOATS))
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False)
    return buffer.getvalue()


_FLOATS = pd.ArrowDtype(pa.list_(pa.float64()))
_INTEGERS = pd.ArrowDtype(pa.list_(pa.int64()))
_TEXTS = pd.ArrowDtype(pa.list_(pa.string()))
_TEXT, _FLOAT, _INTEGER = (pd.ArrowDtype(kind) for kind in (pa.string(), pa.float64(), pa.int64()))
_COLUMNS = {
    "patch": _TEXT,
    "state": _TEXT,
    "reason": _TEXT,
    "valid_fraction": _FLOAT,
    "clear_fraction": _FLOAT,
    "products": _TEXTS,
    "dates": _TEXTS,
    "baselines": _TEXTS,
    "shares": _FLOATS,
    "recipe": _TEXT,
    "image_size": _INTEGER,
    "image_etag": _TEXT,
    "image_sha256": _TEXT,
    "band_mean": _FLOATS,
    "band_var": _FLOATS,
    "label_reason": _TEXT,
    "label_edition": _INTEGER,
    "label_pixels": _INTEGERS,
    "label_size": _INTEGER,
    "label_etag": _TEXT,
    "label_sha256": _TEXT,
}


def _flatten(row: PatchRow) -> dict[str, object]:
    record: dict[str, object] = dict.fromkeys(_COLUMNS)
    record |= {"patch": row.patch, "state": row.state, "reason": row.reason, "label_reason": row.label_reason}
    if row.image is not None:
        for name in ("valid_fraction", "clear_fraction", "recipe"):
            record[name] = getattr(row.image, name)
        for name in ("products", "dates", "baselines", "shares", "band_mean", "band_var"):
            record[name] = list(getattr(row.image, name))
        for name in ("size", "etag", "sha256"):
            record[f"image_{name}"] = getattr(row.image, name)
    if row.label is not None:
        record |= {"label_edition": row.label.edition, "label_pixels": list(row.label.pixels)}
        for name in ("size", "etag", "sha256"):
            record[f"label_{name}"] = getattr(row.label, name)
    return record


def read_patches(data: bytes) -> dict[str, PatchRow]:
    """Read `patches.parquet` back, by patch name.

    Raises ValueError (or pyarrow's subclass of it) when it is not such a file.
    """
    table = pq.read_table(pa.BufferReader(data), columns=list(_COLUMNS))
    return {record["patch"]: _unflatten(record) for record in table.to_pylist()}


def _unflatten(record: dict[str, object]) -> PatchRow:
    def fact(name: str) -> object:
        value = record[name]
        return tuple(value) if isinstance(value, list) else value

    image = label = None
    if record["image_sha256"] is not None:
        image = ImageFacts(
            **{name: fact(f"image_{name}") for name in ("size", "etag", "sha256")},  # type: ignore[arg-type]
            **{  # type: ignore[arg-type]
                name: fact(name)
                for name in (
                    "recipe", "valid_fraction", "clear_fraction", "products", "dates", "baselines",
                    "shares", "band_mean", "band_var",
                )
            },
        )  # fmt: skip
    if record["label_sha256"] is not None:
        label = LabelFacts(
            **{name: fact(f"label_{name}") for name in ("size", "etag", "sha256", "edition", "pixels")}  # type: ignore[arg-type]
        )
    texts = {name: str(record[name] or "") for name in ("patch", "state", "reason", "label_reason")}
    return PatchRow(image=image, label=label, **texts)


def build_normalization(rows: Sequence[PatchRow]) -> bytes:
    """`metrics-normalization.yaml`: mean and standard deviation of each band over all pixels.

    All images have the same number of pixels, so the mean is the mean of the means, and the variance
    is the mean of the variances plus the variance of the means (law of total variance): one pass over
    the pixels of each image, numerically stable.
    """
    images = [row.image for row in rows if row.image is not None]
    if not images:
        return yaml.safe_dump({"mean": [0.0] * len(BANDS), "std": [1.0] * len(BANDS)}).encode()
    means = np.array([image.band_mean for image in images])
    variances = np.array([image.band_var for image in images])
    std = np.sqrt(variances.mean(axis=0) + means.var(axis=0))
    return yaml.safe_dump({"mean": means.mean(axis=0).tolist(), "std": std.tolist()}).encode()
