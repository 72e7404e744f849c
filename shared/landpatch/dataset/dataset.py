"""A training set that can be read: `landpatch.open(…)`."""

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from landpatch.codec import LABEL_CLASSES
from landpatch.dataset.entries import Entry, find_layouts, read_entries
from landpatch.dataset.extras import need
from landpatch.dataset.pairs import Pair, read_image, read_label, read_pair
from landpatch.dataset.places import Reader, parse_location
from landpatch.dataset.selection import (
    LONLAT,
    bounds_array,
    holds_point,
    project_point,
    project_polygon,
    shares_area,
)
from landpatch.dataset.splits import DEFAULT_FRACTIONS, split_patches
from landpatch.errors import RequestError
from landpatch.radiometry import BANDS

if TYPE_CHECKING:
    import pystac
    import xarray as xr

    from landpatch.dataset.as_torch import TorchPairs

READERS = 8


def open_dataset(location: str | os.PathLike[str], regions: str | Iterable[str] | None = None) -> "Dataset":
    """See `landpatch.open`."""
    where = parse_location(location)
    if regions is not None and where.region is not None:
        raise RequestError(f"{os.fspath(location)} is one region already; leave `regions` out")
    reader = Reader(where)
    named = [regions] if isinstance(regions, str) else regions
    wanted = [where.region] if where.region else named
    layouts = (
        reader.place.list_regions()
        if wanted is None
        else [layout for region in wanted for layout in find_layouts(reader.place, region)]
    )
    return Dataset(reader, read_entries(reader.place, layouts))


class Dataset:
    """The patches of a training set, or some of them, in a fixed order. Nothing changes it: what selects
    gives another one."""

    def __init__(self, reader: Reader, entries: Iterable[Entry]) -> None:
        self._reader = reader
        self.entries = tuple(entries)
        """What the indexes say of each patch."""

    def __len__(self) -> int:
        return len(self.entries)

    def __iter__(self) -> Iterator[Pair]:
        return (self.pair(number) for number in range(len(self)))

    def __getitem__(self, number: int) -> Pair:
        return self.pair(number)

    def __repr__(self) -> str:
        return f"<landpatch.Dataset: {len(self)} patches of {', '.join(self.regions) or 'no region'}>"

    @property
    def regions(self) -> list[str]:
        """Regions and years of its patches: `FR101/2021`."""
        return sorted({f"{entry.nuts}/{entry.year}" for entry in self.entries})

    def pair(self, number: int) -> Pair:
        """Image and label of a patch, with CRS and transform; the label is None where there is none.

        Raises IndexError for a number that no patch has, PermanentError for an object that cannot be read,
        TransientError when the store does not answer.
        """
        return read_pair(self._reader.place, self.entries[number])

    def image(self, number: int) -> NDArray[np.float64]:
        """The image of a patch alone, (14, 250, 250) float64. Errors as of `pair`."""
        return read_image(self._reader.place, self.entries[number]).bands

    def label(self, number: int) -> NDArray[np.uint8] | None:
        """The label of a patch alone, (250, 250) uint8; None where there is none. Errors as of `pair`."""
        return read_label(self._reader.place, self.entries[number])

    def select(
        self,
        *,
        point: tuple[float, float] | None = None,
        polygon: Any = None,
        crs: str = LONLAT,
        classes: Collection[int] | int | None = None,
        min_class_pixels: int = 1,
        min_clear: float | None = None,
        years: Collection[int] | int | None = None,
        regions: Collection[str] | str | None = None,
        labelled: bool | None = None,
    ) -> "Dataset":
        """The patches that are all that is asked for.

        point: (lon, lat), or (x, y) in `crs`; the patches that hold it. polygon: a shapely geometry or
        GeoJSON in `crs`; the patches that share area with it. classes: the patches whose label has at least
        `min_class_pixels` pixels of any of these classes, 0 to 11. min_clear: the least clear fraction, 0 to
        1. years, regions: of the image, the region by its code. labelled: with a label, or without.

        Where there is no `patches.parquet`, as in the public training set, `classes` and `labelled` read
        each label, and `min_clear` raises RequestError, as nothing tells it. Raises RequestError for what
        makes no sense.
        """
        chosen = list(self.entries)
        if years is not None:
            chosen = [entry for entry in chosen if entry.year in _as_set(years)]
        if regions is not None:
            codes = {code.upper() for code in _as_set(regions)}
            chosen = [entry for entry in chosen if entry.nuts in codes]
        if point is not None:
            x, y = project_point(point, crs)
            chosen = _where(chosen, holds_point(_bounds(chosen), x, y))
        if polygon is not None:
            chosen = _where(chosen, shares_area(_bounds(chosen), project_polygon(polygon, crs)))
        if min_clear is not None:
            chosen = [entry for entry in chosen if _clear_fraction(entry) >= min_clear]
        if labelled is not None or classes is not None:
            wanted = None if classes is None else _check_classes(classes)
            counts = self._count_classes(chosen)
            chosen = [
                entry
                for entry, pixels in zip(chosen, counts, strict=True)
                if (labelled is None or (pixels is not None) == labelled)
                and (wanted is None or _has_class(pixels, wanted, min_class_pixels))
            ]
        return Dataset(self._reader, chosen)

    def _count_classes(self, entries: Iterable[Entry]) -> list[tuple[int, ...] | None]:
        """Pixels of each class of each label; None for a patch without one."""
        with ThreadPoolExecutor(READERS) as pool:
            return list(pool.map(self._count, entries))

    def _count(self, entry: Entry) -> tuple[int, ...] | None:
        if entry.label is not None:
            return entry.label.pixels
        label = read_label(self._reader.place, entry)
        return (
            None
            if label is None
            else tuple(np.bincount(label.ravel(), minlength=len(LABEL_CLASSES)).tolist())
        )

    def split(
        self,
        fractions: Mapping[str, float] | None = None,
        *,
        block_m: float = 10_000,
        seed: int = 0,
        gap_m: float = 0,
    ) -> dict[str, "Dataset"]:
        """Parts for training and testing none of which has seen another's ground; the same on every machine.

        fractions: of the patches, by name of the part; 70 % `train`, 15 % `val` and 15 % `test` by default.
        They are met as well as whole blocks can. Land is cut into squares of `block_m` metres of EPSG:3035,
        and a square goes to one part as a whole, with all its years and regions. Patches of the larger part
        that share ground with a smaller one, or lie nearer to it than `gap_m` metres, are left out.

        Raises RequestError where there are fewer blocks than parts, or where a gap leaves nothing.
        """
        parts = split_patches(
            _bounds(self.entries), DEFAULT_FRACTIONS if fractions is None else fractions, block_m, seed, gap_m
        )
        return {
            part: Dataset(self._reader, [self.entries[number] for number in numbers])
            for part, numbers in parts.items()
        }

    def to_torch(
        self,
        bands: Collection[str] | None = None,
        *,
        labels: bool = True,
        transform: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
    ) -> "TorchPairs":
        """A PyTorch Dataset for a DataLoader, with workers or without.

        A sample is a dict: `image`, (band, 250, 250) float32; `mask`, (250, 250) int64, 0 = no label, unless
        `labels` is false; `patch`, the name. bands: names of `landpatch.radiometry.BANDS`, all by default.
        transform: what becomes of a sample before it is returned.

        Raises MissingExtraError without PyTorch, RequestError for an unknown band, or where the index says
        that a patch has no label.
        """
        numbers = _number_bands(bands)
        without = sum(entry.labelled is False for entry in self.entries) if labels else 0
        if without:
            raise RequestError(
                f"{without} of {len(self)} patches have no label: take select(labelled=True), or"
                " to_torch(labels=False)"
            )
        with need("torch"):
            from landpatch.dataset.as_torch import TorchPairs  # noqa: PLC0415  # PyTorch is optional
        return TorchPairs(self, numbers, labels, transform)

    def to_xarray(self) -> "xr.Dataset":
        """All patches as one xarray Dataset, read chunk by chunk when they are computed.

        `image` (patch, band, row, column) float64; `label` (patch, row, column) uint8, 0 also where a patch
        has none; coordinates `nuts`, `year`, `x` (patch, column) and `y` (patch, row), pixel centres in
        metres of EPSG:3035.

        Raises MissingExtraError without xarray and dask, RequestError where there is no patch.
        """
        with need("xarray"):
            from landpatch.dataset.as_xarray import stack_pairs  # noqa: PLC0415  # xarray is optional
        return stack_pairs(self)

    def to_stac(self) -> "pystac.ItemCollection":
        """A STAC item for each patch, with the extensions proj, eo, file and processing.

        Raises MissingExtraError without pystac.
        """
        with need("stac"):
            from landpatch.dataset.as_stac import collect_items  # noqa: PLC0415  # pystac is optional
        return collect_items(self.entries, self._reader.place.url)

    def write_stac_geoparquet(self, path: str | os.PathLike[str]) -> None:
        """Write the items of `to_stac` as one GeoParquet file.

        Raises MissingExtraError without stac-geoparquet, RequestError where there is no patch.
        """
        with need("stac"):
            from landpatch.dataset.as_stac import write_items  # noqa: PLC0415  # pystac is optional
        write_items(self.to_stac(), Path(path))


def _bounds(entries: Iterable[Entry]) -> NDArray[np.float64]:
    return bounds_array([entry.bounds for entry in entries])


def _where(entries: list[Entry], keep: NDArray[np.bool_]) -> list[Entry]:
    return [entry for entry, kept in zip(entries, keep, strict=True) if kept]


def _as_set(wanted: Collection[Any] | Any) -> set[Any]:
    """One thing, or several of them, as a set."""
    return set(wanted) if isinstance(wanted, Iterable) and not isinstance(wanted, str) else {wanted}


def _clear_fraction(entry: Entry) -> float:
    if entry.image is None:
        raise RequestError(
            f"nothing tells the clear fraction in {entry.nuts}/{entry.year}: it has no patches.parquet"
        )
    return entry.image.clear_fraction


def _check_classes(classes: Collection[int] | int) -> set[int]:
    wanted = _as_set(classes)
    if not wanted <= set(LABEL_CLASSES):
        raise RequestError(
            f"classes are {LABEL_CLASSES[0]} to {LABEL_CLASSES[-1]}, not {sorted(wanted, key=str)}"
        )
    return wanted


def _has_class(pixels: tuple[int, ...] | None, wanted: set[int], least: int) -> bool:
    return pixels is not None and any(pixels[number] >= least for number in wanted)


def _number_bands(bands: Collection[str] | None) -> list[int]:
    """Numbers of bands by their names, from 0."""
    names = BANDS if bands is None else bands
    unknown = [name for name in names if name not in BANDS]
    if unknown or not names:
        raise RequestError(f"bands are {' '.join(BANDS)}; not {' '.join(map(str, unknown)) or 'none at all'}")
    return [BANDS.index(name) for name in names]
