"""Digital numbers -> reflectance, indices, clear mask.

Sources: Sentinel-2 Products Specification Document (S2-PDGS-TAS-DI-PSD), "BOA_QUANTIFICATION_VALUE"
and "BOA_ADD_OFFSET"; Sen2Cor scene classification.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

REFLECTANCE_BANDS = ("B1", "B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B9", "B11", "B12")
INDEX_BANDS = ("NDVI", "NDWI")
BANDS = REFLECTANCE_BANDS + INDEX_BANDS

NO_OBSERVATION = 0
"""The digital number that says that nothing was observed, whatever the offset."""
SATURATED = 65535

UNCLEAR_CLASSES = (0, 1, 3, 8, 9, 10)
"""Scene classes that are not clear: no data, saturated or defective, cloud shadow, cloud of medium
probability, cloud of high probability, thin cirrus."""
_IS_CLEAR = ~np.isin(np.arange(256), UNCLEAR_CLASSES)

UNSEEN, OBSCURED, CLEAR = 0, 1, 2
"""Clarity of a pixel: no valid observation; observed, but not clear; observed and clear."""


@dataclass(frozen=True, slots=True)
class Radiometry:
    """How a product stores reflectance, from its own metadata."""

    quantification: float
    """BOA_QUANTIFICATION_VALUE, digital numbers per unit of reflectance."""
    offsets: Mapping[str, int]
    """BOA_ADD_OFFSET by band name (`B1` … `B12`), digital numbers; 0 below baseline 04.00."""


def remove_offset(
    dn: NDArray[np.uint16], offset: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.bool_]]:
    """Digital numbers as if they were stored without an offset.

    dn: (y, x) uint16. The offset is removed before anything is resampled, so that the same scene
    stored at two baselines gives the same bits.

    Returns scaled (y, x) float32, 0 where nothing was observed; observed (y, x); saturated (y, x).
    """
    observed = dn != NO_OBSERVATION
    scaled = dn.astype("float32")
    scaled += np.float32(offset)
    if not observed.all():
        scaled[~observed] = 0
    return scaled, observed, dn == SATURATED


def to_reflectance(
    scaled: NDArray[np.float32], quantification: float, out: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """(DN + BOA_ADD_OFFSET) / BOA_QUANTIFICATION_VALUE; not clamped. Same shape, float64, unitless.

    out: where it is written, if it is to be written into an array that is there.
    """
    reflectance: NDArray[np.float64] = np.divide(scaled, quantification, out=out, dtype="float64")
    return reflectance


def is_clear_class(scene_class: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Where the scene classification (y, x) uint8 is clear; same shape, bool."""
    return _IS_CLEAR[scene_class]


def normalized_difference(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """(a - b) / (a + b), 0 where the sum is 0, clipped to [-1, 1]; same shape, float64."""
    total = a + b
    ratio = a - b
    # numpy divides several times faster everywhere than where a mask says so.
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio /= total
    ratio[total == 0] = 0
    clipped: NDArray[np.float64] = np.clip(ratio, -1.0, 1.0, out=ratio)
    return clipped


def add_indices(reflectance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Append NDVI = (B8-B4)/(B8+B4) and NDWI = (B3-B8)/(B3+B8).

    reflectance: (12, y, x) float64. Returns (14, y, x) float64.
    """
    b3, b4, b8 = (reflectance[REFLECTANCE_BANDS.index(name)] for name in ("B3", "B4", "B8"))
    bands = np.empty((len(BANDS), *reflectance.shape[1:]))
    bands[: len(REFLECTANCE_BANDS)] = reflectance
    bands[BANDS.index("NDVI")] = normalized_difference(b8, b4)
    bands[BANDS.index("NDWI")] = normalized_difference(b3, b8)
    return bands
