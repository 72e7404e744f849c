"""Observation + observation -> composite."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from landpatch.radiometry import CLEAR, UNSEEN


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
    """The best that several scenes together show of one patch."""

    reflectance: NDArray[np.float64]
    """(12, 250, 250), 0 where nothing was observed."""
    clarity: NDArray[np.uint8]
    """(250, 250): 0 unseen, 1 obscured, 2 clear."""
    origin: NDArray[np.int16]
    """(250, 250): number of the observation that each pixel is from, -1 where unseen."""

    @property
    def valid_fraction(self) -> float:
        """Share of pixels with a valid observation, 0 to 1."""
        return float(np.count_nonzero(self.clarity != UNSEEN) / self.clarity.size)

    @property
    def clear_fraction(self) -> float:
        """Share of pixels with a clear observation, 0 to 1."""
        return float(np.count_nonzero(self.clarity == CLEAR) / self.clarity.size)

    def shares(self, count: int) -> list[float]:
        """Share of all pixels that comes from each of `count` observations."""
        used = np.bincount(self.origin[self.origin >= 0], minlength=count)
        return [float(pixels / self.origin.size) for pixels in used]


def compose_best(observations: Sequence[Observation]) -> Composite:
    """Compose observations, the preferred one first (at least one).

    A clear pixel of an earlier observation is never replaced; pixels that are not clear are filled by
    clear ones; where none is clear the first valid observation stays.
    """
    first = observations[0]
    reflectance, clarity = first.reflectance.copy(), first.clarity.copy()
    origin = np.where(clarity == UNSEEN, -1, 0).astype("int16")
    for number, observation in enumerate(observations[1:], start=1):
        better = observation.clarity > clarity
        reflectance[:, better] = observation.reflectance[:, better]
        clarity[better] = observation.clarity[better]
        origin[better] = number
    return Composite(reflectance, clarity, origin)
