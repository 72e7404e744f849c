"""What a request to Sentinel Hub costs. Pure.

Source: https://docs.sentinel-hub.com/api/latest/api/overview/processing-unit/
"""

from landpatch.radiometry import REFLECTANCE_BANDS

MAX_SIDE = 2500
"""Pixels along a side of what is rendered, at most."""
_PIXELS, _BANDS = 512 * 512, 3
"""Of one unit."""
_RENDERED_BANDS = len(REFLECTANCE_BANDS) + 1
"""With the scene classification."""
_SOURCES = 2
"""Bands and scene classification are two sources of one request, as they are resampled differently."""
_LEAST = 0.005
"""Of a request, however small."""


def count_units(width: int, height: int) -> float:
    """Processing units of a request for so many pixels of a scene: all bands and the scene classification, in
    16 bits."""
    return max(_LEAST, width * height / _PIXELS * _RENDERED_BANDS / _BANDS * _SOURCES)
