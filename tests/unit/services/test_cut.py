"""The whole cut, from JP2 files to observations, on scenes whose pixels encode where they are.

What is expected comes from pyproj at every pixel, and from nothing of what is tested.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pytest
from pyproj import Transformer

from landpatch.composite import compose_best
from landpatch.grid import Patch
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
IN_THREE_TILES = (4067500, 2942500)
"""Lies whole in 31UGR and 31UGQ of one zone and in 32ULA of the next."""


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


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("jp2")


def write_product(tile, patch, fields, cache, classes=lambda x, y: np.full(x.shape, 4)):
    """All files of a product. fields: DN of EPSG:3035 coordinates; the bands of a pixel size take turns."""
    files = {}
    for size_m, names in GROUPS.items():
        written = [write_band(tile, size_m, patch, field, cache) for field in fields]
        files |= {name: written[number % len(written)] for number, name in enumerate(names)}
    return files | {"SCL": write_band(tile, 20, patch, classes, cache, bits=8)}


def position_fields(patch):
    """DN that tell the EPSG:3035 coordinates, seven to a metre: of x, and of y."""

    def encode(value, origin):
        return np.clip(np.round(7 * (value - origin + 800)), 0, 31_000) + 100

    return [lambda x, y: encode(x, patch.xmin), lambda x, y: encode(y, patch.ymin)]


def position_errors_m(seen, patch, radiometry=NO_OFFSET):
    """By pixel size: the distance in x and y between where each pixel is and where it says it is."""
    truth = (centres(patch)[0] - patch.xmin, centres(patch)[1] - patch.ymin)
    errors = {}
    for size_m, names in GROUPS.items():
        layers = [seen.reflectance[REFLECTANCE_BANDS.index(name)] for name in names]
        dn = [layer * radiometry.quantification - radiometry.offsets["B1"] for layer in layers]
        errors[size_m] = np.stack(
            [(layer - 100) / 7 - 800 - truth[number % 2] for number, layer in enumerate(dn)]
        )
    return errors


@pytest.mark.parametrize("city", CITIES)
def test_every_pixel_of_every_band_is_where_it_says_it_is(city, cut, cache):
    name, xmin, ymin = CITIES[city]
    patch = Patch(0, xmin, ymin, 0)
    files = write_product(TILES[name], patch, position_fields(patch), cache)
    seen = cut(files, OFFSET, [patch])[patch.name]
    assert (seen.clarity == 2).all()
    for size_m, errors in position_errors_m(seen, patch, OFFSET).items():
        # A quarter of a decimetre is what seven steps a metre and bilinear weights can tell.
        assert np.abs(errors).max() <= 0.08 + 0.002 * size_m, f"{city}, {size_m} m"


def test_the_grids_of_10_20_and_60_m_agree_on_where_a_pixel_is(cut, cache):
    name, xmin, ymin = CITIES["Paris"]
    patch = Patch(0, xmin, ymin, 0)
    files = write_product(TILES[name], patch, position_fields(patch), cache)
    errors = position_errors_m(cut(files, NO_OFFSET, [patch])[patch.name], patch)
    for coarse in (20, 60):
        # Half a pixel of 20 m or 60 m taken for one of 10 m would be 5 m or 25 m.
        assert abs(errors[coarse].mean(axis=(1, 2)) - errors[10].mean()).max() < 0.05


def test_the_scene_class_is_that_of_the_native_pixel_that_holds_the_centre(cut, cache):
    name, xmin, ymin = CITIES["Lisbon"]
    patch, tile = Patch(0, xmin, ymin, 0), TILES[name]

    def classes(x, y):
        native_x, native_y = transformer(3035, tile.epsg).transform(x, y)
        col = np.floor((native_x - tile.ulx) / 20).astype(int)
        row = np.floor((tile.uly - native_y) / 20).astype(int)
        return np.array([4, 9, 8, 5, 10, 3, 6, 0, 2, 1, 7, 11])[(col * 5 + row * 7) % 12]

    files = write_product(tile, patch, [lambda x, y: np.full(x.shape, 2000)], cache, classes)
    seen = cut(files, NO_OFFSET, [patch])[patch.name]
    clear = np.isin(classes(*centres(patch)), [2, 4, 5, 6, 7, 11])
    assert (seen.clarity == np.where(clear, 2, 1)).all()


def test_at_a_tile_edge_pixels_are_seen_up_to_the_edge_and_not_beyond(cut, cache):
    tile = TILES["31UDQ"]
    x, y = transformer(tile.epsg, 3035).transform(tile.ulx + 50_000, tile.uly)
    patch = Patch(0, int(x // 2500 * 2500), int(y // 2500 * 2500), 0)
    files = write_product(tile, patch, position_fields(patch), cache)
    seen = cut(files, NO_OFFSET, [patch])[patch.name]
    native_y = transformer(3035, tile.epsg).transform(*centres(patch))[1]
    inside = native_y < tile.uly
    assert 0.05 < inside.mean() < 0.95
    assert ((seen.clarity > 0) == inside).all()
    assert (seen.reflectance[:, ~inside] == 0).all()
    for size_m, errors in position_errors_m(seen, patch).items():
        deep = native_y < tile.uly - size_m / 2
        assert np.abs(errors[:, deep]).max() <= 0.08 + 0.002 * size_m
        # In the outermost half pixel the edge's own value is kept.
        assert np.abs(errors[:, inside]).max() <= 0.7 * size_m


def hills(x, y):
    """A smooth scene, DN."""
    return 5000 + 1500 * np.sin(x / 700) * np.cos(y / 500)


def resampling_bound_dn(size_m):
    """What bilinear weights on rounded values may miss of `hills`: h²/8 (|f_xx| + |f_yy|), and a half."""
    return size_m**2 / 8 * 1500 * (1 / 700**2 + 1 / 500**2) * 1.05 + 0.5


def difference_dn(one, other):
    """By pixel size: the differences of two layers of reflectance."""
    return {
        size_m: np.stack(
            [10_000 * (one[REFLECTANCE_BANDS.index(n)] - other[REFLECTANCE_BANDS.index(n)]) for n in names]
        )
        for size_m, names in GROUPS.items()
    }


@pytest.fixture(scope="module")
def three_views(cut, cache):
    """The same hills as three tiles show them."""
    patch = Patch(0, *IN_THREE_TILES, 0)
    field = [lambda x, y: np.round(hills(x, y))]
    return {
        name: cut(write_product(TILES[name], patch, field, cache), NO_OFFSET, [patch])[patch.name]
        for name in ("31UGR", "31UGQ", "32ULA")
    }


@pytest.mark.parametrize("other", ["31UGQ", "32ULA"])
def test_two_tiles_and_two_zones_show_the_same_within_the_error_of_resampling(three_views, other):
    truth = np.broadcast_to(hills(*centres(Patch(0, *IN_THREE_TILES, 0))) / 10_000, (12, 250, 250))
    one, two = three_views["31UGR"].reflectance, three_views[other].reflectance
    for size_m, errors in difference_dn(one, truth).items():
        assert np.abs(errors).max() <= resampling_bound_dn(size_m)
    for size_m, seam in difference_dn(one, two).items():
        assert np.abs(seam).max() <= 2 * resampling_bound_dn(size_m)


def test_a_patch_put_together_across_a_zone_border_has_no_seam(cut, cache):
    patch = Patch(0, *IN_THREE_TILES, 0)
    x, y = centres(patch)
    border = patch.xmin + 1250

    def half(west):
        def field(x, y):
            return np.where((x < border + 15 if west else x > border - 15), np.round(hills(x, y)), 0)

        return [field]

    observations = [
        cut(write_product(TILES[name], patch, half(west), cache), NO_OFFSET, [patch])[patch.name]
        for name, west in (("31UGR", True), ("32ULA", False))
    ]
    assert all(0.4 < (seen.clarity > 0).mean() < 0.6 for seen in observations)
    composite = compose_best(observations)
    assert composite.valid_fraction > 0.95
    seen = composite.clarity > 0
    truth = np.broadcast_to(hills(x, y) / 10_000, (12, 250, 250))
    for size_m, errors in difference_dn(composite.bands, truth).items():
        # Beside a hole a value comes from fewer neighbours, at most one native pixel away.
        near = np.abs(x - border) < 2 * 60
        assert np.abs(errors[:, seen & ~near]).max() <= resampling_bound_dn(size_m)
        assert np.abs(errors[:, seen & near]).max() <= 1500 * (1 / 700 + 1 / 500) * size_m


def test_the_halves_of_a_split_datastrip_become_one_image(cut, cache):
    patch, tile = Patch(0, *IN_THREE_TILES, 0), TILES["31UGR"]

    def north(x, y):
        return y - patch.ymin > 1250 + 0.2 * (x - patch.xmin - 1250)

    halves = [
        [lambda x, y: np.where(north(x, y), np.round(hills(x, y)), 0)],
        [lambda x, y: np.where(north(x, y), 0, np.round(hills(x, y)))],
    ]
    seen = [cut(write_product(tile, patch, half, cache), NO_OFFSET, [patch])[patch.name] for half in halves]
    composite = compose_best(seen)
    # The halves meet on the native grid of 60 m in another line than on that of 10 m.
    assert composite.valid_fraction > 0.97
    assert sum(composite.shares) == pytest.approx(composite.valid_fraction)
    assert min(composite.shares) > 0.4
    assert all(observation.clarity.max() == 2 for observation in seen)


def test_one_pixel_without_observation_leaves_its_neighbours_as_they_are(cut, cache):
    name, xmin, ymin = CITIES["Helsinki"]
    patch, tile = Patch(0, xmin, ymin, 0), TILES[name]

    def hole(x, y):
        native_x, native_y = transformer(3035, tile.epsg).transform(x, y)
        col, row = (native_x - tile.ulx) // 10, (tile.uly - native_y) // 10
        return (col % 17 == 3) & (row % 13 == 5)

    files = write_product(tile, patch, [lambda x, y: np.full(x.shape, 1234)], cache)
    holed = write_band(tile, 10, patch, lambda x, y: np.where(hole(x, y), 0, 1234), cache)
    seen = cut(files | {"B4": holed}, OFFSET, [patch])[patch.name]
    expected = hole(*centres(patch))
    assert expected.any()
    assert ((seen.clarity == 0) == expected).all()
    assert (seen.reflectance[:, expected] == 0).all()
    assert np.abs(seen.reflectance[:, ~expected] - 234 / 10_000).max() < 5e-9


def test_dark_pixels_below_the_offset_stay_valid_and_negative(cut, cache):
    name, xmin, ymin = CITIES["Valletta"]
    patch = Patch(0, xmin, ymin, 0)
    files = write_product(TILES[name], patch, [lambda x, y: np.full(x.shape, 1)], cache)
    seen = cut(files, OFFSET, [patch])[patch.name]
    assert (seen.clarity == 2).all()
    assert (seen.reflectance == -999 / 10_000).all()


def test_one_scene_stored_at_two_baselines_gives_the_same_bits(cut, cache):
    name, xmin, ymin = CITIES["Bucharest"]
    patch = Patch(0, xmin, ymin, 0)
    rng = np.random.default_rng(11)
    noise = rng.integers(1, 9000, (600, 600))
    old, new = (
        write_product(
            TILES[name], patch, [lambda x, y, add=add: noise[: x.shape[0], : x.shape[1]] + add], cache
        )
        for add in (0, 1000)
    )
    before, after = cut(old, NO_OFFSET, [patch])[patch.name], cut(new, OFFSET, [patch])[patch.name]
    assert np.ptp(before.reflectance) > 0.5
    assert before.reflectance.tobytes() == after.reflectance.tobytes()


def test_a_saturated_pixel_is_valid_but_not_clear(cut, cache):
    name, xmin, ymin = CITIES["Canaries"]
    patch, tile = Patch(0, xmin, ymin, 0), TILES[name]

    def bright(x, y):
        native_x, native_y = transformer(3035, tile.epsg).transform(x, y)
        return ((native_x - tile.ulx) // 20 % 9 == 1) & ((tile.uly - native_y) // 20 % 7 == 2)

    files = write_product(tile, patch, [lambda x, y: np.full(x.shape, 3000)], cache)
    sixteen = write_band(tile, 20, patch, lambda x, y: np.where(bright(x, y), 65_535, 3000), cache, bits=16)
    seen = cut(files | {"B11": sixteen}, NO_OFFSET, [patch])[patch.name]
    assert (seen.clarity == np.where(bright(*centres(patch)), 1, 2)).all()
