"""Products whose pixels encode where they are, or show hills.

What is expected of them comes from pyproj at every pixel, and from nothing of what is tested.
"""

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from types import SimpleNamespace

import numpy as np
from pyproj import Transformer

from landpatch.radiometry import REFLECTANCE_BANDS, Radiometry
from services.sandbox.jp2 import GRIDS, write_jp2

NO_OFFSET = Radiometry(10_000.0, dict.fromkeys(REFLECTANCE_BANDS, 0))
OFFSET = Radiometry(10_000.0, dict.fromkeys(REFLECTANCE_BANDS, -1000))
GROUPS = {10: ("B2", "B3", "B4", "B8"), 20: ("B5", "B6", "B7", "B8A", "B11", "B12"), 60: ("B1", "B9")}


@dataclass(frozen=True)
class Tile:
    """A tile of the real Sentinel-2 grid."""

    epsg: int
    ulx: int
    uly: int


TILES = {
    "31UDQ": Tile(32631, 399960, 5500020),
    "29SMC": Tile(32629, 399960, 4300020),
    "35VLG": Tile(32635, 300000, 6700020),
    "35TMK": Tile(32635, 399960, 5000040),
    "33SVV": Tile(32633, 399960, 4000020),
    "28RDS": Tile(32628, 399960, 3200040),
    "31UGR": Tile(32631, 699960, 5600040),
    "31UGQ": Tile(32631, 699960, 5500020),
    "32ULA": Tile(32632, 300000, 5600040),
}
CITIES = {
    "Paris": ("31UDQ", 3757500, 2887500),
    "Lisbon": ("29SMC", 2662500, 1947500),
    "Helsinki": ("35VLG", 5137500, 4210000),
    "Bucharest": ("35TMK", 5600000, 2510000),
    "Valletta": ("33SVV", 4742500, 1395000),
    "Canaries": ("28RDS", 1800000, 1000000),
}
IN_THREE_TILES = (4052500, 2945000)
"""In the south-east of Luxembourg: whole in 31UGR and 31UGQ of one zone and in 32ULA of the next."""
TILE_SIZE_M = 109_800
STEPS_A_METRE = 10
"""DN to a metre, in bands that tell positions."""
POSITION_ERROR_M = 0.1
"""Twice what the rounding to whole DN leaves, at any pixel of any band."""


@lru_cache
def transformer(source, target):
    return Transformer.from_crs(f"EPSG:{source}", f"EPSG:{target}", always_xy=True)


def centres(patch):
    """EPSG:3035 coordinates of a patch's pixel centres, row 0 in the north."""
    return np.meshgrid(patch.xmin + 5 + 10.0 * np.arange(250), patch.ymin + 2495 - 10.0 * np.arange(250))


def native_window(tile, size_m, patch):
    """Rows and columns of a band's pixels around a patch, and their EPSG:3035 coordinates."""
    east, north = np.meshgrid(patch.xmin + np.array([0, 2500]), patch.ymin + np.array([0, 2500]))
    x, y = transformer(3035, tile.epsg).transform(east.astype(float), north.astype(float))
    count = GRIDS[size_m].size
    cols = np.clip([(x.min() - tile.ulx) / size_m - 3, (x.max() - tile.ulx) / size_m + 3], 0, count)
    rows = np.clip([(tile.uly - y.max()) / size_m - 3, (tile.uly - y.min()) / size_m + 3], 0, count)
    rows, cols = slice(*rows.astype(int)), slice(*cols.astype(int))
    centre_x = tile.ulx + (np.arange(cols.start, cols.stop) + 0.5) * size_m
    centre_y = tile.uly - (np.arange(rows.start, rows.stop) + 0.5) * size_m
    return rows, cols, *transformer(tile.epsg, 3035).transform(*np.meshgrid(centre_x, centre_y))


def write_band(tile, size_m, patch, field, cache, bits=15):
    """A band file of which only the surroundings of a patch hold pixels: field(x, y) of EPSG:3035."""
    grid = GRIDS[size_m]
    rows, cols, x, y = native_window(tile, size_m, patch)
    image = np.zeros((grid.size, grid.size), "uint8" if bits == 8 else "uint16")
    image[rows, cols] = field(x, y)
    pieces = {
        (row, col): image[grid.span(row), grid.span(col)]
        for row in range(rows.start // grid.tile, (rows.stop - 1) // grid.tile + 1)
        for col in range(cols.start // grid.tile, (cols.stop - 1) // grid.tile + 1)
    }
    return write_jp2(grid, pieces, tile.epsg, (tile.ulx, tile.uly), cache, bits=bits)


def write_product(tile, patch, fields, cache, classes=lambda x, y: np.full(x.shape, 4)):
    """All files of a product. fields: DN of EPSG:3035 coordinates; the bands of a pixel size take turns."""
    files = {}
    for size_m, names in GROUPS.items():
        written = [write_band(tile, size_m, patch, field, cache) for field in fields]
        files |= {name: written[number % len(written)] for number, name in enumerate(names)}
    return files | {"SCL": write_band(tile, 20, patch, classes, cache, bits=8)}


def write_manifest(files, kind="SHA3-256", hash_of=hashlib.sha3_256):
    """manifest.safe of files by their paths, as genuine ones have it."""
    objects = "".join(
        f'<dataObject ID="d{number}"><byteStream mimeType="application/octet-stream" size="{len(content)}">'
        f'<fileLocation href="./{path}" locatorType="URL"/>'
        f'<checksum checksumName="{kind}">{hash_of(content).hexdigest().upper()}</checksum>'
        "</byteStream></dataObject>"
        for number, (path, content) in enumerate(files.items())
    )
    return (
        '<xfdu:XFDU xmlns:xfdu="urn:ccsds:schema:xfdu:1"><dataObjectSection>'
        f"{objects}</dataObjectSection></xfdu:XFDU>"
    ).encode()


def position_fields(patch):
    """DN that tell the EPSG:3035 coordinates: of x, and of y."""

    def encode(value, origin):
        return np.clip(np.round(STEPS_A_METRE * (value - origin + 250)), 0, 31_000) + 100

    return [lambda x, y: encode(x, patch.xmin), lambda x, y: encode(y, patch.ymin)]


def position_errors_m(seen, patch, radiometry, where=None):
    """By pixel size, (band, row, column): how far in x (every even band) or y (every odd one) each pixel
    is from where it should be. where: EPSG:3035 coordinates that are expected, the pixels' own if none."""
    x, y = centres(patch) if where is None else where
    truth = (x - patch.xmin, y - patch.ymin)
    errors = {}
    for size_m, names in GROUPS.items():
        layers = [seen.reflectance[REFLECTANCE_BANDS.index(name)] for name in names]
        dn = [layer * radiometry.quantification - radiometry.offsets["B1"] for layer in layers]
        errors[size_m] = np.stack(
            [(layer - 100) / STEPS_A_METRE - 250 - truth[number % 2] for number, layer in enumerate(dn)]
        )
    return errors


def assert_in_place(reflectance, patch):
    """Every pixel is where it should be.

    reflectance: (band, y, x), of a product that encodes its coordinates.
    """
    seen = SimpleNamespace(reflectance=reflectance)
    for errors in position_errors_m(seen, patch, OFFSET).values():
        assert np.abs(errors).max() <= POSITION_ERROR_M


def depth_m(tile, x, y):
    """How far inside a tile points of EPSG:3035 are, metres from its nearest edge; negative outside."""
    native_x, native_y = transformer(3035, tile.epsg).transform(x, y)
    right, bottom = tile.ulx + TILE_SIZE_M, tile.uly - TILE_SIZE_M
    return np.minimum.reduce([native_x - tile.ulx, right - native_x, tile.uly - native_y, native_y - bottom])


def keep_in(tile, size_m, x, y):
    """Points of EPSG:3035, those outside of a tile's outermost pixel centres moved on to them."""
    native_x, native_y = transformer(3035, tile.epsg).transform(x, y)
    half = size_m / 2
    return transformer(tile.epsg, 3035).transform(
        np.clip(native_x, tile.ulx + half, tile.ulx + TILE_SIZE_M - half),
        np.clip(native_y, tile.uly - TILE_SIZE_M + half, tile.uly - half),
    )


RELIEF_DN, WEST_EAST_M, NORTH_SOUTH_M = 1500, 700, 500
CURVATURE = RELIEF_DN * (1 / WEST_EAST_M**2 + 1 / NORTH_SOUTH_M**2) * 1.01
"""No |f_uu| + |f_vv| of `hills` is larger, however the axes are turned: `hills` is the mean of two plane
waves. One in a hundred for the scales of the projections; DN a square metre."""
SLOPE = RELIEF_DN / NORTH_SOUTH_M * 1.01
"""No slope of `hills` is steeper; DN a metre."""


def hills(x, y):
    """A smooth scene, DN."""
    return 5000 + RELIEF_DN * np.sin(x / WEST_EAST_M) * np.cos(y / NORTH_SOUTH_M)


def resampling_bound_dn(size_m):
    """What bilinear weights on rounded values may miss of `hills`, and half a DN."""
    return size_m**2 / 8 * CURVATURE + 0.5


def hole_bound_dn(size_m):
    """The same beside a hole: the neighbours that are left lie, weighted, up to half a diagonal away,
    and each up to a diagonal."""
    return size_m / 2**0.5 * SLOPE + size_m**2 * CURVATURE + 0.5


def difference_dn(one, other):
    """By pixel size: the differences of two layers of reflectance."""
    return {
        size_m: np.stack(
            [10_000 * (one[REFLECTANCE_BANDS.index(n)] - other[REFLECTANCE_BANDS.index(n)]) for n in names]
        )
        for size_m, names in GROUPS.items()
    }
