"""What the ground is made of: variants of each land cover class, their spectra and scene classes.

A material is a uint8: 16 times the class (12: the sea) plus a variant. Spectra are surface reflectance
of the twelve bands. They are typical values, chosen to agree with the statistics of a genuine product
(T29UNU, 2022-10-05) per scene class.
"""

from datetime import date

import numpy as np
from numpy.typing import NDArray

from services.sandbox.noise import Window, mix, smooth_noise

BANDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12")
VARIANTS = 16
SEA = 12
CLOUD = (0.52, 0.50, 0.49, 0.50, 0.51, 0.55, 0.57, 0.57, 0.58, 0.60, 0.38, 0.29)
"""A thick cloud's reflectance."""
SHADOW = (0.75, 0.62, 0.52, 0.48, 0.46, 0.45, 0.44, 0.44, 0.43, 0.42, 0.40, 0.40)
"""What a cloud's shadow leaves of each band: least of the long waves, where the sky gives no light."""

_SPECTRA = {
    1: (0.085, 0.100, 0.120, 0.128, 0.142, 0.168, 0.182, 0.190, 0.200, 0.205, 0.215, 0.190),
    2: (0.016, 0.019, 0.032, 0.021, 0.055, 0.150, 0.180, 0.190, 0.200, 0.200, 0.090, 0.042),
    3: (0.020, 0.024, 0.048, 0.027, 0.085, 0.270, 0.340, 0.355, 0.375, 0.375, 0.155, 0.070),
    4: (0.020, 0.026, 0.045, 0.032, 0.075, 0.210, 0.260, 0.275, 0.290, 0.290, 0.140, 0.070),
    5: (0.028, 0.035, 0.060, 0.050, 0.100, 0.210, 0.250, 0.265, 0.280, 0.280, 0.180, 0.100),
    6: (0.032, 0.040, 0.074, 0.054, 0.122, 0.280, 0.330, 0.350, 0.365, 0.365, 0.205, 0.112),
    8: (0.050, 0.060, 0.085, 0.090, 0.130, 0.200, 0.220, 0.240, 0.260, 0.260, 0.250, 0.180),
    9: (0.090, 0.110, 0.140, 0.165, 0.185, 0.200, 0.210, 0.220, 0.230, 0.235, 0.280, 0.240),
    10: (0.036, 0.038, 0.040, 0.024, 0.018, 0.014, 0.013, 0.012, 0.011, 0.010, 0.005, 0.004),
    11: (0.850, 0.880, 0.870, 0.860, 0.840, 0.820, 0.810, 0.800, 0.770, 0.700, 0.120, 0.100),
    SEA: (0.048, 0.044, 0.030, 0.013, 0.009, 0.007, 0.007, 0.006, 0.006, 0.005, 0.003, 0.002),
}
_GREEN_CROP = (0.024, 0.030, 0.066, 0.030, 0.105, 0.360, 0.450, 0.470, 0.490, 0.480, 0.170, 0.078)
_RIPE_CROP = (0.050, 0.066, 0.105, 0.125, 0.175, 0.230, 0.260, 0.280, 0.300, 0.310, 0.310, 0.215)
_BARE_SOIL = (0.058, 0.072, 0.098, 0.128, 0.155, 0.180, 0.200, 0.215, 0.230, 0.240, 0.285, 0.235)
_BRIGHT_ROOF = (0.180, 0.210, 0.230, 0.240, 0.250, 0.265, 0.275, 0.285, 0.290, 0.290, 0.280, 0.250)
_RED_ROOF = (0.060, 0.066, 0.085, 0.130, 0.150, 0.170, 0.185, 0.195, 0.205, 0.210, 0.230, 0.210)
_GARDEN = _SPECTRA[6]


def lay_materials(codes: NDArray[np.uint8], window: Window) -> NDArray[np.uint8]:
    """The material at each pixel of a window; codes: CLC+ codes, (y, x) uint8."""
    ground = np.where(codes > 11, SEA, codes).astype("uint8")
    speckle = (mix(21, window.columns[None, :], window.rows[:, None]) >> np.uint32(28)).astype("uint8")
    stand = np.asarray(smooth_noise(22, window, 9) * 10 + smooth_noise(23, window, 40) * 6).astype("uint8")
    mixed = (stand * 3 + speckle) // 4
    variant: NDArray[np.uint8] = np.where(ground == 1, speckle, mixed).astype("uint8")
    fields = (ground == 7) | (ground == 6)
    if fields.any():
        np.copyto(variant, _lay_parcels(window), where=fields)
    materials: NDArray[np.uint8] = ground * np.uint8(VARIANTS) + variant % np.uint8(VARIANTS)
    return materials


def _lay_parcels(window: Window) -> NDArray[np.uint8]:
    """Fields: strips that lie one way in each neighbourhood; the variant of each, (y, x) uint8."""
    x = window.columns[None, :] + smooth_noise(24, window, 70) * 24
    y = window.rows[:, None] + smooth_noise(25, window, 70) * 24
    block_x = np.floor((x + smooth_noise(26, window, 150) * 60) / 130).astype("int64")
    block_y = np.floor((y + smooth_noise(27, window, 150) * 60) / 130).astype("int64")
    block = mix(28, block_x, block_y)
    angle = np.linspace(0, np.pi, 16, endpoint=False, dtype="float32")[block & np.uint32(15)]
    narrow = np.array([6, 8, 11, 16], dtype="float32")[(block >> np.uint32(4)) & np.uint32(3)]
    cos, sin = np.cos(angle), np.sin(angle)
    strip = np.floor((x * cos + y * sin) / narrow)
    length = np.floor((y * cos - x * sin + strip * 17) / (narrow * 3.3))
    parcel = mix(29, strip.astype("int64") + block_x * 7919, length.astype("int64") + block_y * 104729)
    return (parcel >> np.uint32(28)).astype("uint8")


def look_up_spectra(day: date) -> NDArray[np.float32]:
    """Reflectance of every material on a day; (band, 256) float32."""
    table = np.zeros((len(BANDS), 256), dtype="float32")
    day_of_year = day.timetuple().tm_yday
    for ground in range(1, SEA + 1):
        for variant in range(VARIANTS):
            table[:, ground * VARIANTS + variant] = _spectrum(ground, variant, day_of_year)
    return table


def _spectrum(ground: int, variant: int, day_of_year: int) -> NDArray[np.float32]:
    share = variant / (VARIANTS - 1)
    if ground == 7:
        return _crop(variant, day_of_year)
    base = np.array(_SPECTRA[ground], dtype="float32")
    if ground == 1:
        return _town(base, variant)
    if ground == 6:
        dry = np.clip((day_of_year - 170) / 100, 0, 1) * 0.35 + (variant % 4 == 0) * 0.3
        return _blend(base, _RIPE_CROP, dry * share) * np.float32(0.9 + 0.2 * share)
    if ground in {10, 11, SEA}:
        return base * np.float32(0.92 + 0.16 * share)
    return base * np.float32(0.74 + 0.52 * share)


def _crop(variant: int, day_of_year: int) -> NDArray[np.float32]:
    """A crop through the year: it greens, ripens, is cut, and a second one may follow."""
    peak = 125 + 9 * (variant % 11)
    green = float(np.exp(-(((day_of_year - peak) / 38) ** 2)))
    ripe = float(np.exp(-(((day_of_year - peak - 55) / 26) ** 2)))
    ground = _blend(np.array(_BARE_SOIL, dtype="float32"), _RIPE_CROP, ripe)
    return _blend(ground, _GREEN_CROP, green) * np.float32(0.86 + 0.02 * variant)


def _town(base: NDArray[np.float32], variant: int) -> NDArray[np.float32]:
    if variant == 15:
        return np.array(_BRIGHT_ROOF, dtype="float32")
    if variant >= 11:
        return np.array(_RED_ROOF, dtype="float32") * np.float32(0.9 + 0.05 * (variant - 11))
    if variant <= 2:
        return _blend(base, _GARDEN, 0.5)
    return base * np.float32(0.70 + 0.05 * variant)


def _blend(first: NDArray[np.float32], second: tuple[float, ...], share: float) -> NDArray[np.float32]:
    return first + (np.array(second, dtype="float32") - first) * np.float32(share)


def look_up_scene_classes(day: date) -> NDArray[np.uint8]:
    """Scene class of every material under a clear sky on a day; (256,) uint8.

    4 vegetation, 5 bare, 6 water, 11 snow; source: Level-2A Algorithm Theoretical Basis Document.
    """
    spectra = look_up_spectra(day)
    red, infrared = spectra[BANDS.index("B04")], spectra[BANDS.index("B08")]
    total = np.where(red + infrared > 0, red + infrared, 1)
    classes = np.where((infrared - red) / total > 0.38, 4, 5).astype("uint8")
    ground = np.arange(256) // VARIANTS
    classes[(ground == 10) | (ground == SEA)] = 6
    classes[ground == 11] = 11
    return classes
