"""Observation + observation -> composite."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from landpatch.radiometry import CLEAR, UNSEEN, add_indices

Method = Literal["best", "median"]
MEDIAN_ROWS = 10
"""That are sorted at a time."""


@dataclass(frozen=True, slots=True)
class Observation:
    """What one scene shows of one patch."""

    scene_id: str
    """Id of the product in the catalogue."""
    reflectance: NDArray[np.float64]
    """(12, 250, 250), 0 where nothing was observed."""
    clarity: NDArray[np.uint8]
    """(250, 250): 0 unseen, 1 obscured, 2 clear."""


@dataclass(frozen=True, slots=True)
class Composite:
    """What several observations together show of one patch."""

    bands: NDArray[np.float64]
    """(14, 250, 250): 12 reflectances, NDVI, NDWI; 0 where nothing was observed."""
    clarity: NDArray[np.uint8]
    """(250, 250): 0 unseen, 1 obscured, 2 clear."""
    shares: tuple[float, ...]
    """Share of all pixels that comes from each observation, in the order given."""

    @property
    def valid_fraction(self) -> float:
        """Share of pixels with a valid observation, 0 to 1."""
        return float(np.count_nonzero(self.clarity != UNSEEN) / self.clarity.size)

    @property
    def clear_fraction(self) -> float:
        """Share of pixels with a clear observation, 0 to 1."""
        return float(np.count_nonzero(self.clarity == CLEAR) / self.clarity.size)


def compose(observations: Iterable[Observation], how: Method) -> Composite:
    """Compose observations (at least one), the preferred one first, by `compose_best` or
    `compose_median`."""
    return compose_median(list(observations)) if how == "median" else compose_best(observations)


def compose_best(observations: Iterable[Observation]) -> Composite:
    """Take each pixel from one observation.

    A clear pixel of an earlier observation is never replaced; pixels that are not clear are filled by
    clear ones; where none is clear the first valid observation stays. Observations are taken one at a time,
    so that of many that are still to be read only one has to be in memory.
    """
    each = iter(observations)
    first = next(each)
    reflectance, clarity = first.reflectance, first.clarity
    origin = np.zeros(clarity.shape, dtype="int16")
    count = 1
    for observation in each:
        if count == 1:
            reflectance, clarity = reflectance.copy(), clarity.copy()
        better = observation.clarity > clarity
        reflectance[:, better] = observation.reflectance[:, better]
        clarity[better] = observation.clarity[better]
        origin[better] = count
        count += 1
    seen = clarity != UNSEEN
    used = (np.count_nonzero(seen & (origin == number)) for number in range(count))
    shares = tuple(float(pixels / origin.size) for pixels in used)
    return Composite(add_indices(reflectance), clarity, shares)


def compose_median(observations: Sequence[Observation]) -> Composite:
    """Take, in each band and pixel, the median of the clear observations.

    NDVI and NDWI are the medians of the indices of each date. Where nothing is clear the pixel is as in
    `compose_best`, and counts as obscured. Of an even number the median is the mean of the middle two.
    """
    best = compose_best(observations)
    clear = np.stack([observation.clarity == CLEAR for observation in observations])
    count = clear.sum(axis=0)
    some = count > 0
    # A few rows at a time: to sort takes the observations once more.
    for top in range(0, some.shape[0], MEDIAN_ROWS):
        rows = slice(top, top + MEDIAN_ROWS)
        median = _median([each.reflectance[:, rows] for each in observations], clear[:, rows], count[rows])
        best.bands[:, rows][:, some[rows]] = median[:, some[rows]]
    shares = [float(np.where(own, 1 / np.maximum(count, 1), 0).sum() / some.size) for own in clear]
    # What is nowhere clear comes from single observations, as in the best composite.
    rest = compose_best(_without(observation, some) for observation in observations)
    shares = [share + other for share, other in zip(shares, rest.shares, strict=True)]
    return Composite(best.bands, best.clarity, tuple(shares))


def _median(
    reflectances: Sequence[NDArray[np.float64]], clear: NDArray[np.bool_], count: NDArray[np.intp]
) -> NDArray[np.float64]:
    """(14, y, x) medians where anything is clear.

    reflectances: (12, y, x) each. clear: (observation, y, x). count: (y, x), how many are clear.
    """
    values = np.stack([add_indices(reflectance) for reflectance in reflectances])
    values[np.broadcast_to(~clear[:, None], values.shape)] = np.inf
    values.sort(axis=0)
    low, high = (
        np.take_along_axis(values, np.broadcast_to(middle, (1, *values.shape[1:])), axis=0)[0]
        for middle in (np.maximum(count - 1, 0) // 2, np.minimum(count // 2, len(values) - 1))
    )
    median: NDArray[np.float64] = (low + high) / 2
    return median


def _without(observation: Observation, pixels: NDArray[np.bool_]) -> Observation:
    clarity = np.where(pixels, UNSEEN, observation.clarity).astype("uint8")
    return Observation(observation.scene_id, observation.reflectance, clarity)
