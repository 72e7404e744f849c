"""Observation + observation -> composite."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from landpatch.radiometry import CLEAR, UNSEEN, add_indices

Method = Literal["best", "median"]


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


def compose(observations: Sequence[Observation], how: Method) -> Composite:
    """Compose observations (at least one), the preferred one first, by `compose_best` or
    `compose_median`."""
    return compose_median(observations) if how == "median" else compose_best(observations)


def compose_best(observations: Sequence[Observation]) -> Composite:
    """Take each pixel from one observation.

    A clear pixel of an earlier observation is never replaced; pixels that are not clear are filled by
    clear ones; where none is clear the first valid observation stays.
    """
    first = observations[0]
    if len(observations) == 1:
        share = float(np.count_nonzero(first.clarity != UNSEEN) / first.clarity.size)
        return Composite(add_indices(first.reflectance), first.clarity, (share,))
    reflectance, clarity = first.reflectance.copy(), first.clarity.copy()
    origin = np.where(clarity == UNSEEN, -1, 0).astype("int16")
    for number, observation in enumerate(observations[1:], start=1):
        better = observation.clarity > clarity
        reflectance[:, better] = observation.reflectance[:, better]
        clarity[better] = observation.clarity[better]
        origin[better] = number
    used = np.bincount(origin[origin >= 0], minlength=len(observations))
    shares = tuple(float(pixels / origin.size) for pixels in used)
    return Composite(add_indices(reflectance), clarity, shares)


def compose_median(observations: Sequence[Observation]) -> Composite:
    """Take, in each band and pixel, the median of the clear observations.

    NDVI and NDWI are the medians of the indices of each date. Where nothing is clear the pixel is as in
    `compose_best`, and counts as obscured. Of an even number the median is the mean of the middle two.
    """
    best = compose_best(observations)
    clear = np.stack([observation.clarity == CLEAR for observation in observations])
    values = np.stack([add_indices(observation.reflectance) for observation in observations])
    values[np.broadcast_to(~clear[:, None], values.shape)] = np.inf
    values.sort(axis=0)
    count = clear.sum(axis=0)
    low, high = (
        np.take_along_axis(values, np.broadcast_to(middle, (1, *values.shape[1:])), axis=0)[0]
        for middle in (np.maximum(count - 1, 0) // 2, np.minimum(count // 2, len(observations) - 1))
    )
    some = count > 0
    bands = best.bands
    bands[:, some] = (low[:, some] + high[:, some]) / 2
    weights = np.where(clear, 1 / np.maximum(count, 1), 0)
    shares = [float(weight.sum() / some.size) for weight in weights]
    # What is nowhere clear comes from single observations, as in the best composite.
    rest = compose_best([_without(observation, some) for observation in observations])
    shares = [share + other for share, other in zip(shares, rest.shares, strict=True)]
    return Composite(bands, best.clarity, tuple(shares))


def _without(observation: Observation, pixels: NDArray[np.bool_]) -> Observation:
    clarity = np.where(pixels, UNSEEN, observation.clarity).astype("uint8")
    return Observation(observation.scene_id, observation.reflectance, clarity)
