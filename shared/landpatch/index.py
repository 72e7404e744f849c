"""Rows -> the three index files of a region."""

import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import shapely
import yaml
from pyproj import CRS

from landpatch.codec import LABEL_CLASSES
from landpatch.errors import PermanentError
from landpatch.grid import patch_boxes
from landpatch.layout import patch_of_filename
from landpatch.legend import Legend, make_legend
from landpatch.patch import CRS as GRID_CRS
from landpatch.patch import PATCH_SIZE_M, Patch, parse_patch
from landpatch.radiometry import BANDS
from landpatch.sources.labels import CLCPLUS


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
    """Year of the labels; 0 where nothing tells it."""
    pixels: tuple[int, ...]
    """Pixels of each class, 0 to 11."""
    source: str = CLCPLUS
    """What it depends on besides patch and edition: `clcplus`, or the rasters and the class table; empty
    where nothing tells it."""


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


def build_filename2bbox(rows: Sequence[PatchRow], source: str | None = None) -> bytes:
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
    pq.write_table(table.replace_schema_metadata(_source_tag(source)), buffer)
    return buffer.getvalue()


Bounds = tuple[float, float, float, float]
"""xmin ymin xmax ymax, metres, EPSG:3035."""
_BOUNDS_TOLERANCE_M = 0.01
MAX_NAME = 100
"""Characters of a class's name."""


def read_filename2bbox(data: bytes) -> dict[str, Bounds]:
    """Read `filename2bbox.parquet`, of landpatch or of the public training set: bounds by patch name.

    The patches may lie on any grid, but are 2500 m wide and high. Raises PermanentError that says what is
    wrong.
    """
    try:
        table = pq.read_table(pa.BufferReader(data), columns=["filename", "bbox"])
        names = table["filename"].cast(pa.string()).to_pylist()
        boxes = table["bbox"].cast(_FLOATS).to_pylist()
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        raise PermanentError(f"filename2bbox.parquet cannot be read: {str(error)[:200]}") from error
    found = {_name_patch(name): _check_bounds(box) for name, box in zip(names, boxes, strict=True)}
    if len(found) != len(names):
        raise PermanentError("filename2bbox.parquet lists a patch twice")
    return found


def _name_patch(filename: str | None) -> str:
    name = patch_of_filename(filename or "")
    if name is None:
        raise PermanentError(
            f"filename2bbox.parquet lists {str(filename)[:100]!r}, which is no patch's image"
        )
    return name


def _check_bounds(box: list[float | None] | None) -> Bounds:
    bounds = np.array(box or (), dtype="float64")
    with np.errstate(invalid="ignore"):
        sizes_m = bounds[2:] - bounds[:2] if len(bounds) == 4 else np.zeros(2)
    if not np.allclose(sizes_m, PATCH_SIZE_M, rtol=0, atol=_BOUNDS_TOLERANCE_M):
        raise PermanentError(f"filename2bbox.parquet lists {str(box)[:100]}, which is no patch's bbox")
    xmin, ymin, xmax, ymax = bounds.tolist()
    return xmin, ymin, xmax, ymax


def _source_tag(source: str | None) -> dict[str, str]:
    """What every file says of where its pixels come from."""
    return {"LANDPATCH_SOURCE": source} if source else {}


def build_patches(
    rows: Sequence[PatchRow], source: str | None = None, classes: Mapping[int, str] | None = None
) -> bytes:
    """`patches.parquet`: GeoParquet 1.0, EPSG:3035, a row for every cell, sorted by patch name.

    classes: names of the labels' classes, where they are not those of CLC+ Backbone; in the file's metadata
    as JSON, `LANDPATCH_CLASSES`.
    """
    ordered = sorted(rows, key=lambda row: row.patch)
    patches = [parse_patch(row.patch) for row in ordered]
    table = pa.Table.from_pylist([_flatten(row) for row in ordered], schema=_SCHEMA)
    bounds = pa.array([[float(bound) for bound in patch.bounds] for patch in patches], _FLOATS)
    table = table.add_column(1, "bbox", bounds)
    geometry = pa.array(shapely.to_wkb(patch_boxes(patches)).tolist(), pa.binary())
    table = table.append_column("geometry", geometry)
    metadata = {"geo": json.dumps(_geo_metadata(patches))} | _source_tag(source)
    if classes:
        metadata["LANDPATCH_CLASSES"] = json.dumps(dict(classes), ensure_ascii=False)
    buffer = io.BytesIO()
    pq.write_table(table.replace_schema_metadata(metadata), buffer)
    return buffer.getvalue()


def _geo_metadata(patches: Sequence[Patch]) -> dict[str, object]:
    """The `geo` entry of the file; source: https://geoparquet.org/releases/v1.0.0/."""
    column: dict[str, object] = {
        "encoding": "WKB",
        "geometry_types": ["Polygon"],
        "crs": CRS.from_user_input(GRID_CRS).to_json_dict(),
    }
    if patches:
        column["bbox"] = shapely.total_bounds(patch_boxes(list(patches))).tolist()
    return {"version": "1.0.0", "primary_column": "geometry", "columns": {"geometry": column}}


_SOURCE = "label_source"
_FLOATS, _INTEGERS, _TEXTS = (pa.list_(kind) for kind in (pa.float64(), pa.int64(), pa.string()))
_SCHEMA = pa.schema(
    {
        "patch": pa.string(),
        "state": pa.string(),
        "reason": pa.string(),
        "valid_fraction": pa.float64(),
        "clear_fraction": pa.float64(),
        "products": _TEXTS,
        "dates": _TEXTS,
        "baselines": _TEXTS,
        "shares": _FLOATS,
        "recipe": pa.string(),
        "image_size": pa.int64(),
        "image_etag": pa.string(),
        "image_sha256": pa.string(),
        "band_mean": _FLOATS,
        "band_var": _FLOATS,
        "label_reason": pa.string(),
        "label_edition": pa.int64(),
        "label_source": pa.string(),
        "label_pixels": _INTEGERS,
        "label_size": pa.int64(),
        "label_etag": pa.string(),
        "label_sha256": pa.string(),
    }
)


def _flatten(row: PatchRow) -> dict[str, object]:
    record: dict[str, object] = dict.fromkeys(_SCHEMA.names)
    record |= {"patch": row.patch, "state": row.state, "reason": row.reason, "label_reason": row.label_reason}
    if row.image is not None:
        for name in ("valid_fraction", "clear_fraction", "recipe"):
            record[name] = getattr(row.image, name)
        for name in ("products", "dates", "baselines", "shares", "band_mean", "band_var"):
            record[name] = list(getattr(row.image, name))
        for name in ("size", "etag", "sha256"):
            record[f"image_{name}"] = getattr(row.image, name)
    if row.label is not None:
        record["label_pixels"] = list(row.label.pixels)
        for name in ("size", "etag", "sha256", "edition", "source"):
            record[f"label_{name}"] = getattr(row.label, name)
    return record


def read_patches(data: bytes) -> dict[str, PatchRow]:
    """Read `patches.parquet` back, by patch name.

    Raises PermanentError when it is not such a file.
    """
    try:
        rows = [_unflatten(record) for record in _read_table(data).to_pylist()]
        return {parse_patch(row.patch).name: row for row in rows}
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError) as error:
        raise PermanentError(f"patches.parquet cannot be read: {str(error)[:200]}") from error


@dataclass(frozen=True, slots=True)
class PatchState:
    """What the index says of a patch, without what it was made of."""

    patch: str
    state: str
    """complete, partial, missing or failed."""
    reason: str
    label: bool
    """Whether its label is there."""
    label_reason: str


def read_states(data: bytes) -> list[PatchState]:
    """The states in a `patches.parquet`, in its order: a fraction of the time and memory of `read_patches`.

    Raises PermanentError when it is not such a file.
    """
    names = ["patch", "state", "reason", "label_sha256", "label_reason"]
    try:
        table = pq.read_table(pa.BufferReader(data), columns=names)
        rows = zip(*(table.column(name).cast(pa.string()).to_pylist() for name in names), strict=True)
        return [
            PatchState(parse_patch(patch).name, str(state), reason or "", label is not None, why or "")
            for patch, state, reason, label, why in rows
        ]
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise PermanentError(f"patches.parquet cannot be read: {str(error)[:200]}") from error


def _read_table(data: bytes) -> pa.Table:
    file = pq.ParquetFile(pa.BufferReader(data))
    there = file.schema_arrow.names
    if _SOURCE not in there:  # of a time when there was but one
        table = file.read([name for name in _SCHEMA.names if name != _SOURCE])
        place = _SCHEMA.get_field_index(_SOURCE)
        return table.add_column(place, _SOURCE, pa.array([CLCPLUS] * len(table))).cast(_SCHEMA)
    return file.read(_SCHEMA.names).cast(_SCHEMA)


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
            **{
                name: fact(f"label_{name}")
                for name in ("size", "etag", "sha256", "edition", "source", "pixels")
            }  # type: ignore[arg-type]
        )
    texts = {name: str(record[name] or "") for name in ("patch", "state", "reason", "label_reason")}
    if not _is_whole(image, 2 * len(BANDS)) or not _is_whole(label, len(LABEL_CLASSES)):
        raise ValueError(f"the row of {texts['patch']!r} lacks something")
    return PatchRow(image=image, label=label, **texts)


def _read_tags(data: bytes) -> dict[bytes, bytes]:
    """What a parquet file says of itself."""
    return pq.read_schema(pa.BufferReader(data)).metadata or {}


def read_source(data: bytes) -> str:
    """Where the pixels of the patches come from that a `patches.parquet` lists: `cdse` or `sandbox`; empty
    when it does not say.

    data: what `read_patches` can read.
    """
    return _read_tags(data).get(b"LANDPATCH_SOURCE", b"").decode(errors="replace")


def read_class_names(data: bytes) -> dict[int, str]:
    """Names of the classes of the labels that a `patches.parquet` lists, by number; empty where they are CLC+
    Backbone's.

    data: what `read_patches` can read. Raises PermanentError when they are none.
    """
    tags = _read_tags(data)
    try:
        names = json.loads(tags.get(b"LANDPATCH_CLASSES", b"{}"))
        return {int(number): name[:MAX_NAME] for number, name in names.items() if name.isprintable()}
    except (ValueError, AttributeError, TypeError, RecursionError) as error:
        raise PermanentError("LANDPATCH_CLASSES is no object of names by number") from error


def read_legend(data: bytes, rows: Iterable[PatchRow]) -> Legend:
    """What the labels mean that a `patches.parquet` lists.

    rows: what `read_patches` has read of it. Errors as of `read_class_names`.
    """
    sources = {row.label.source for row in rows if row.label is not None}
    return make_legend(sources, read_class_names(data))


def _is_whole(facts: ImageFacts | LabelFacts | None, numbers: int) -> bool:
    """Whether facts have all their values, and as many numbers as there are bands or classes."""
    if facts is None:
        return True
    values = [getattr(facts, field.name) for field in fields(facts)]
    if None in values or any(isinstance(value, tuple) and None in value for value in values):
        return False
    if isinstance(facts, LabelFacts):
        return len(facts.pixels) == numbers
    moments = (*facts.band_mean, *facts.band_var)
    return len(moments) == numbers and len(facts.band_mean) == len(BANDS) and all(map(math.isfinite, moments))


def build_normalization(rows: Sequence[PatchRow], source: str | None = None) -> bytes:
    """`metrics-normalization.yaml`: mean and standard deviation of each band over all pixels.

    All images have the same number of pixels, so the mean is the mean of the means, and the variance
    is the mean of the variances plus the variance of the means (law of total variance): one pass over
    the pixels of each image, numerically stable.
    """
    remark = f"# LANDPATCH_SOURCE={source}\n" if source else ""
    mean, std = measure_bands(rows)
    return (remark + yaml.safe_dump({"mean": mean, "std": std})).encode()


def measure_bands(rows: Sequence[PatchRow]) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each band over all pixels of all images; 0 and 1 without images."""
    images = [row.image for row in rows if row.image is not None]
    if not images:
        return [0.0] * len(BANDS), [1.0] * len(BANDS)
    means = np.array([image.band_mean for image in images])
    variances = np.array([image.band_var for image in images])
    std = np.sqrt(variances.mean(axis=0) + means.var(axis=0))
    return means.mean(axis=0).tolist(), std.tolist()
