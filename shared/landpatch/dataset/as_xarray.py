"""A pair, or a whole training set, as an xarray Dataset. Imported only where xarray is wanted."""

from collections.abc import Iterable
from typing import Any

import dask
import dask.array as da
import numpy as np
import pyproj
import xarray as xr
from numpy.typing import NDArray

from landpatch.dataset.dataset import Dataset
from landpatch.dataset.pairs import Pair
from landpatch.errors import RequestError
from landpatch.index import Bounds
from landpatch.legend import Legend
from landpatch.patch import CRS, PATCH_SIZE_PX, PIXEL_SIZE_M
from landpatch.radiometry import BANDS

_SHAPE = (PATCH_SIZE_PX, PATCH_SIZE_PX)
_MAPPING = "spatial_ref"
_IMAGE = {"grid_mapping": _MAPPING, "long_name": "surface reflectance, NDVI and NDWI", "units": "1"}


def show_pair(pair: Pair) -> xr.Dataset:
    """See `Pair.to_xarray`."""
    x, y = _centres(pair.bounds)
    arrays: dict[str, Any] = {"image": (("band", "y", "x"), pair.image, _IMAGE)}
    if pair.label is not None:
        arrays["label"] = (("y", "x"), pair.label, _tell_classes([pair.legend]))
    return xr.Dataset(
        arrays,
        coords={
            "band": list(BANDS),
            "x": ("x", x, _axis("x")),
            "y": ("y", y, _axis("y")),
            _MAPPING: _spatial_ref(),
        },
        attrs={"patch": pair.patch, "nuts": pair.nuts, "year": pair.year, **pair.tags},
    )


def stack_pairs(pairs: Dataset) -> xr.Dataset:
    """See `Dataset.to_xarray`."""
    if not len(pairs):
        raise RequestError("there is no patch to stack: nothing was selected")
    entries = pairs.entries
    centres = [_centres(entry.bounds) for entry in entries]
    labelled = [entry for entry in entries if entry.labelled is not False] or entries[:1]
    return xr.Dataset(
        {
            "image": (
                ("patch", "band", "row", "column"),
                _stack(pairs.image, len(pairs), (len(BANDS), *_SHAPE), np.dtype("float64")),
                _IMAGE,
            ),
            "label": (
                ("patch", "row", "column"),
                _stack(lambda number: _label_or_none(pairs, number), len(pairs), _SHAPE, np.dtype("uint8")),
                _tell_classes([entry.legend for entry in labelled]),
            ),
        },
        coords={
            "patch": [entry.patch for entry in entries],
            "band": list(BANDS),
            "nuts": ("patch", [entry.nuts for entry in entries]),
            "year": ("patch", [entry.year for entry in entries]),
            "x": (("patch", "column"), np.array([x for x, _ in centres]), _axis("x")),
            "y": (("patch", "row"), np.array([y for _, y in centres]), _axis("y")),
            _MAPPING: _spatial_ref(),
        },
    )


def _tell_classes(legends: Iterable[Legend]) -> dict[str, Any]:
    """What the classes are, and their names as flags; where regions have labels of several maps, whose
    numbers mean different things, only the maps.

    Source: CF conventions 1.11, section 3.5, "Flags": meanings are words, parted by blanks.
    """
    distinct = list(dict.fromkeys(legends))
    titles = ", ".join(dict.fromkeys(legend.title for legend in distinct))
    told: dict[str, Any] = {"grid_mapping": _MAPPING, "long_name": f"{titles} class, 0 = no label"}
    if len(distinct) > 1:
        return told
    classes = distinct[0].classes
    meanings = ["no_label", *("_".join(each.name.split()) for each in classes)]
    numbers = np.array([0, *(each.number for each in classes)], dtype="uint8")
    return told | {"flag_values": numbers, "flag_meanings": " ".join(meanings)}


def _stack(read: Any, count: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> da.Array:
    """Arrays that are read when they are wanted, one chunk each."""
    delayed = dask.delayed(read, pure=False)
    return da.stack([da.from_delayed(delayed(number), shape, dtype) for number in range(count)])


def _label_or_none(pairs: Dataset, number: int) -> NDArray[np.uint8]:
    """A label; 0, no label, everywhere where there is none."""
    label = pairs.label(number)
    return np.zeros(_SHAPE, dtype="uint8") if label is None else label


def _centres(bounds: Bounds) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """x of each column and y of each row, of pixel centres."""
    xmin, _, _, ymax = bounds
    steps = (np.arange(PATCH_SIZE_PX, dtype="float64") + 0.5) * PIXEL_SIZE_M
    return xmin + steps, ymax - steps


def _axis(name: str) -> dict[str, str]:
    return {"standard_name": f"projection_{name}_coordinate", "units": "m", "axis": name.upper()}


def _spatial_ref() -> tuple[tuple[()], int, dict[str, Any]]:
    """The CRS as CF has it, where rioxarray looks for it."""
    return (), 0, pyproj.CRS.from_user_input(CRS).to_cf()
