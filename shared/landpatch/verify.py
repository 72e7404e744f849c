"""Check what is stored of a region: every object against the index, byte by byte and pixel by pixel."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from landpatch.alignment import Agreement, compare_edges
from landpatch.codec import decode_image, decode_label, sha256
from landpatch.errors import PermanentError
from landpatch.index import PatchRow, build_filename2bbox
from landpatch.layout import RegionLayout
from landpatch.patch import parse_patch
from landpatch.radiometry import REFLECTANCE_BANDS
from landpatch.storage import Store
from landpatch.stored import read_index

REFLECTANCE_RANGE = (-0.2, 6.5535)
"""From the darkest that an offset of 1000 allows, with room for resampling, to the largest DN."""
READERS = 4


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that is not as the index says."""

    object: str
    """Key below the region's folders, or the name of a patch."""
    what: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What has been found."""

    images: int
    labels: int
    faults: tuple[Fault, ...]
    compared: int
    """Pairs whose edges could be compared."""
    aligned: int
    """Pairs whose edges agree best without a shift."""


def verify_region(store: Store, layout: RegionLayout) -> Verdict:
    """Re-read everything that is stored of a region and compare it with the index.

    Checks presence, checksum, profile, bounds, ranges, fractions and class counts; that the two
    indexes agree; that nothing lies there that they do not list; and how image and label edges agree.
    Raises RequestError when the region has no index.
    """
    rows = list(read_index(store, layout)[0].values())
    faults = list(_check_indexes(store, layout, rows))
    with ThreadPoolExecutor(READERS) as pool:
        found = list(pool.map(lambda row: _check_pair(store, layout, row), rows))
    faults += [fault for pair_faults, _ in found for fault in pair_faults]
    agreements = [agreement for _, agreement in found if agreement is not None]
    aligned = sum(agreement.best_shift == (0, 0) for agreement in agreements)
    if agreements:
        total = Agreement(np.sum([agreement.score for agreement in agreements], axis=0))
        if total.best_shift != (0, 0):
            shift = total.best_shift
            faults.append(Fault("alignment", f"edges agree best at a shift of {shift} pixels (row, column)"))
    return Verdict(
        images=sum(row.image is not None for row in rows),
        labels=sum(row.label is not None for row in rows),
        faults=tuple(faults),
        compared=len(agreements),
        aligned=aligned,
    )


def _check_indexes(store: Store, layout: RegionLayout, rows: list[PatchRow]) -> Iterator[Fault]:
    listed = store.get(layout.filename2bbox)
    if listed is None:
        yield Fault(layout.filename2bbox, "is not there")
    else:
        try:
            same = _read_rows(listed) == _read_rows(build_filename2bbox(rows))
        except (ValueError, OSError) as error:
            yield Fault(layout.filename2bbox, f"cannot be read: {error}")
        else:
            if not same:
                yield Fault(layout.filename2bbox, "lists other patches than patches.parquet")
    known = {layout.image(row.patch) for row in rows if row.image is not None}
    known |= {layout.label(row.patch) for row in rows if row.label is not None}
    known |= {layout.patches, layout.filename2bbox, layout.normalization}
    for folder in (layout.images, layout.labels):
        for entry in store.find(folder):
            if entry.key not in known:
                yield Fault(entry.key, "is in no index")


def _read_rows(data: bytes) -> object:
    return pq.read_table(pa.BufferReader(data)).to_pylist()


def _check_pair(store: Store, layout: RegionLayout, row: PatchRow) -> tuple[list[Fault], Agreement | None]:
    faults: list[Fault] = []
    bands = classes = None
    try:
        if row.image is not None:
            key = layout.image(row.patch)
            image = decode_image(_read(store, key, row.image.sha256), parse_patch(row.patch))
            bands = image.bands
            faults += [Fault(key, what) for what in _check_ranges(bands, row.image.valid_fraction)]
    except PermanentError as error:
        faults.append(Fault(row.patch, str(error)))
    try:
        if row.label is not None:
            key = layout.label(row.patch)
            classes = decode_label(_read(store, key, row.label.sha256), row.patch)
            if tuple(np.bincount(classes.ravel(), minlength=12)) != row.label.pixels:
                faults.append(Fault(key, "has other pixels a class than the index says"))
    except PermanentError as error:
        faults.append(Fault(row.patch, str(error)))
    if bands is None or classes is None:
        return faults, None
    return faults, compare_edges(bands, classes)


def _read(store: Store, key: str, checksum: str) -> bytes:
    data = store.get(key)
    if data is None:
        raise PermanentError(f"{key} is not there")
    if sha256(data) != checksum:
        raise PermanentError(f"{key} has another checksum than the index says")
    return data


def _check_ranges(bands: np.ndarray[tuple[int, ...], np.dtype[np.float64]], valid: float) -> Iterator[str]:
    reflectance, indices = bands[: len(REFLECTANCE_BANDS)], bands[len(REFLECTANCE_BANDS) :]
    low, high = REFLECTANCE_RANGE
    if reflectance.min() < low or reflectance.max() > high:
        yield f"reflectance from {reflectance.min():.3f} to {reflectance.max():.3f}, not {low} to {high}"
    if np.abs(indices).max() > 1:
        yield f"an index of {np.abs(indices).max():.3f}, not within -1 to 1"
    seen = float((reflectance != 0).any(axis=0).mean())
    if abs(seen - valid) > 1e-3:
        yield f"{seen:.4f} of its pixels are not 0, the index says {valid:.4f} are valid"
