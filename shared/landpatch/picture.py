"""Arrays -> pictures: composites, indices and classes as RGBA, and RGBA as the bytes of a file.

Pictures are (y, x, 4) uint8: red, green, blue, alpha. Alpha is 0 where there is nothing to show: no
observation, or no label; 255 elsewhere.
"""

from collections.abc import Sequence
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from landpatch.legend import LAND_COVER, NDVI_SCALE, NDWI_SCALE, parse_colour
from landpatch.radiometry import BANDS

TRUE_COLOUR = ("B4", "B3", "B2")
FALSE_COLOUR = ("B8", "B4", "B3")
"""Near infrared as red: vegetation is red, water dark."""
WHITE_PERCENTILE = 98
_STEPS = 256
"""Colours of a scale."""


def true_color(image: NDArray[np.floating], white: float | None = None) -> NDArray[np.uint8]:
    """Bands 4-3-2 as red, green and blue.

    image: (14, y, x) reflectance and indices in the order of `radiometry.BANDS`; a pixel that is 0 in all
    bands was not observed. white: reflectance that is shown as white, by default `find_white` of the image
    itself; give one for pictures that lie side by side.
    """
    return _composite(image, TRUE_COLOUR, white)


def false_color(image: NDArray[np.floating], white: float | None = None) -> NDArray[np.uint8]:
    """Bands 8-4-3 as red, green and blue. Arguments as of `true_color`."""
    return _composite(image, FALSE_COLOUR, white)


def ndvi(image: NDArray[np.floating]) -> NDArray[np.uint8]:
    """NDVI on RdYlGn, from -1 to 1. image: as of `true_color`."""
    return color_scale(image[BANDS.index("NDVI")], is_observed(image), NDVI_SCALE)


def ndwi(image: NDArray[np.floating]) -> NDArray[np.uint8]:
    """NDWI from brown to blue, from -1 to 1. image: as of `true_color`."""
    return color_scale(image[BANDS.index("NDWI")], is_observed(image), NDWI_SCALE)


def classes(label: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A label (y, x) in the colours of its classes; transparent where it has none."""
    return _class_colours()[label]


def is_observed(image: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Where an image (band, y, x) shows something: (y, x), not 0 in every band."""
    observed: NDArray[np.bool_] = (image != 0).any(axis=0)
    return observed


def pick_bands(image: NDArray[np.floating], names: Sequence[str]) -> NDArray[np.floating]:
    """Bands of an image (14, y, x) by name: (band, y, x)."""
    return image[[BANDS.index(name) for name in names]]


def find_white(bands: NDArray[np.floating], observed: NDArray[np.bool_]) -> float:
    """The 98th percentile of the observed pixels of all bands together.

    bands: (band, y, x) reflectance; observed: (y, x). 1 where it would be no divisor: nothing observed, or
    all dark.
    """
    if not observed.any():
        return 1.0
    white = float(np.percentile(bands[:, observed], WHITE_PERCENTILE))
    return white if white > 0 else 1.0


def stretch(bands: NDArray[np.floating], observed: NDArray[np.bool_], white: float) -> NDArray[np.uint8]:
    """Three bands (3, y, x) as red, green and blue, divided by `white` and clipped to [0, 1]."""
    return _to_rgba(np.moveaxis(np.clip(bands / white, 0, 1), 0, -1) * 255, observed)


def color_scale(
    values: NDArray[np.floating], observed: NDArray[np.bool_], scale: tuple[str, ...]
) -> NDArray[np.uint8]:
    """Values (y, x) from -1 to 1 in the colours of a scale of `legend`."""
    step = np.clip((values + 1) / 2 * _STEPS, 0, _STEPS - 1).astype("uint8")
    return _to_rgba(_scale_colours(scale)[step], observed)


def encode_png(rgba: NDArray[np.uint8]) -> bytes:
    """A picture as the bytes of a PNG file; the same picture gives the same bytes."""
    return _encode(".png", rgba, [])


def encode_webp(rgba: NDArray[np.uint8], quality: int | None = None) -> bytes:
    """A picture as the bytes of a WebP file. quality: 1 to 100; None keeps every pixel as it is.

    Alpha is kept as it is in either case.
    """
    # Above 100 means without loss: OpenCV, ImwriteFlags, IMWRITE_WEBP_QUALITY.
    return _encode(".webp", rgba, [cv2.IMWRITE_WEBP_QUALITY, 101 if quality is None else quality])


def _composite(image: NDArray[np.floating], names: Sequence[str], white: float | None) -> NDArray[np.uint8]:
    bands, observed = pick_bands(image, names), is_observed(image)
    return stretch(bands, observed, find_white(bands, observed) if white is None else white)


def _to_rgba(rgb: NDArray[np.floating], observed: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """rgb: (y, x, 3), 0 to 255."""
    rgba = np.zeros((*observed.shape, 4), dtype="uint8")
    rgba[..., :3] = np.rint(rgb)
    rgba[..., 3] = 255
    rgba[~observed] = 0
    return rgba


@lru_cache
def _scale_colours(scale: tuple[str, ...]) -> NDArray[np.float64]:
    """The (step, 3) colours of a scale, interpolated linearly."""
    anchors = np.array([parse_colour(colour) for colour in scale])
    at, to = np.linspace(0, 1, len(scale)), np.linspace(0, 1, _STEPS)
    return np.stack([np.interp(to, at, channel) for channel in anchors.T], axis=-1)


@lru_cache(maxsize=1)
def _class_colours() -> NDArray[np.uint8]:
    """(256, 4): the colour of each class; transparent where there is none."""
    colours = np.zeros((256, 4), dtype="uint8")
    for cover in LAND_COVER:
        colours[cover.number] = (*parse_colour(cover.colour), 255)
    return colours


def _encode(suffix: str, rgba: NDArray[np.uint8], options: list[int]) -> bytes:
    _, encoded = cv2.imencode(suffix, cv2.cvtColor(rgba, cv2.COLOR_RGBA2BGRA), options)
    return encoded.tobytes()
