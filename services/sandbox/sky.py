"""The sky of a day: clouds and their shadows, a function of EPSG:3035 position and date alone."""

from dataclasses import dataclass
from datetime import date
from functools import cache

import numpy as np
from numpy.typing import NDArray

from services.sandbox.noise import Window, smooth_noise

COARSE = 10
"""Every how many pixels `thickness` can be had on a coarse lattice."""
_OCTAVES = ((900, 0.46), (300, 0.26), (100, 0.15), (30, 0.09), (10, 0.04))
"""Knot distance in pixels, a multiple of COARSE, and weight."""
_SHADOW_EAST_PX, _SHADOW_NORTH_PX = 45, -80
"""From a shadow to its cloud: towards the sun of the late morning, a cloud some 1.3 km high."""
_SOFTNESS = 0.06
_DEEP = 0.16
"""Density above the edge from which on a cloud is as bright as can be."""
_SALT = 10_000


@dataclass(frozen=True, slots=True)
class Sky:
    """The clouds of one day."""

    day: date
    cover: float
    """Share of the ground under clouds over a large area, 0 to 1."""

    def clouds(self, window: Window) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """How opaque and how bright the clouds are, each (y, x) float32 from 0 to 1."""
        density = _density(self.day, window, 1)
        bright = np.clip((density - _level(self.cover)) / _DEEP, 0, 1).astype("float32")
        return _soften(density, self.cover), bright

    def shade(self, window: Window) -> NDArray[np.float32]:
        """How deep the clouds' shadow is, (y, x) float32 from 0 (none) to 1."""
        over = window.shift(_SHADOW_EAST_PX, _SHADOW_NORTH_PX)
        return _soften(_density(self.day, over, 1), self.cover)

    def coarse_opacity(self, window: Window) -> NDArray[np.float32]:
        """How opaque the clouds are at every COARSEth lattice point; the window counts in such points."""
        return _soften(_density(self.day, window, COARSE), self.cover)


def _density(day: date, window: Window, step: int) -> NDArray[np.float32]:
    field = np.zeros((window.height, window.width), dtype="float32")
    for octave, (knot_px, weight) in enumerate(_OCTAVES):
        knot = knot_px // step
        seed = (day.toordinal() + _SALT) * 16 + octave
        field += smooth_noise(seed, window, knot) * np.float32(weight / 2)
        # a second lattice half a step aside, so that the clouds do not line up with the first
        field += smooth_noise(seed + 8, window.shift(knot // 2, knot // 2), knot) * np.float32(weight / 2)
    return field


def _soften(density: NDArray[np.float32], cover: float) -> NDArray[np.float32]:
    level = np.clip((density - _level(cover)) / _SOFTNESS + 0.5, 0, 1)
    opacity: NDArray[np.float32] = (level * level * (3 - 2 * level)).astype("float32")
    return opacity


@cache
def _level(cover: float) -> np.float32:
    """The density that a share `cover` of the ground exceeds."""
    field = _density(date(2000, 1, 1), Window(0, 0, 2048, 2048), COARSE)
    return np.float32(np.quantile(field, 1 - cover))
