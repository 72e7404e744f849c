"""The whole cut, from JP2 files to observations, on scenes whose pixels encode where they are.

What is expected comes from pyproj at every pixel, and from nothing of what is tested.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pytest
from pyproj import Transformer

from landpatch.composite import compose_best
from landpatch.patch import Patch
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
DISPLACEMENT_M = 0.004
"""Of a whole band, where the rounding cancels out; twice the largest of the six cities."""


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


@pytest.fixture(scope="module")
def look_at_city(cut, cache):
    """A city's patch, and what is seen of it on a product whose pixels tell their positions."""

    @lru_cache
    def look(city):
        name, xmin, ymin = CITIES[city]
        patch = Patch(0, xmin, ymin, 0)
        return patch, cut(write_product(TILES[name], patch, position_fields(patch), cache), OFFSET, [patch])

    return look


@pytest.mark.parametrize("city", CITIES)
def test_every_pixel_of_every_band_is_where_it_says_it_is(city, look_at_city):
    patch, seen = look_at_city(city)
    assert (seen[patch.name].clarity == 2).all()
    for size_m, errors in position_errors_m(seen[patch.name], patch, OFFSET).items():
        assert np.abs(errors).max() <= POSITION_ERROR_M, f"{city}, {size_m} m"
        assert np.abs(errors.mean(axis=(1, 2))).max() <= DISPLACEMENT_M, f"{city}, {size_m} m"


@pytest.mark.parametrize("city", CITIES)
def test_the_grids_of_10_20_and_60_m_agree_on_where_a_pixel_is(city, look_at_city):
    patch, seen = look_at_city(city)
    errors = position_errors_m(seen[patch.name], patch, OFFSET)
    for axis in (0, 1):
        fine = errors[10][axis::2].mean(axis=0)
        for coarse in (20, 60):
            # A grid read half a pixel off would be 5, 10 or 30 m from the others.
            apart = errors[coarse][axis::2].mean(axis=0) - fine
            assert np.abs(apart).max() <= 2 * POSITION_ERROR_M
            assert abs(apart.mean()) <= 2 * DISPLACEMENT_M


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
    assert 0.3 < clear.mean() < 0.7
    assert (seen.clarity == np.where(clear, 2, 1)).all()


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


@pytest.mark.parametrize(
    ("xmin", "ymin"),
    [(3765000, 2977500), (3820000, 2920000), (3757500, 2867500), (3710000, 2930000), (3815000, 2862500)],
    ids=["north", "east", "south", "west", "south-east"],
)
def test_at_a_tile_edge_pixels_are_seen_up_to_the_edge_and_not_beyond(xmin, ymin, cut, cache):
    patch, tile = Patch(0, xmin, ymin, 0), TILES["31UDQ"]
    seen = cut(write_product(tile, patch, position_fields(patch), cache), OFFSET, [patch])[patch.name]
    x, y = centres(patch)
    depth = depth_m(tile, x, y)
    inside = depth > 0
    assert 0.05 < inside.mean() < 0.95
    assert (seen.clarity == np.where(inside, 2, 0)).all()
    assert (seen.reflectance[:, ~inside] == 0).all()
    for size_m, errors in position_errors_m(seen, patch, OFFSET).items():
        assert np.abs(errors[:, depth > size_m / 2]).max() <= POSITION_ERROR_M
    for size_m in GROUPS:
        # In the outermost half pixel there is no neighbour to go on to: the edge's own value is kept.
        errors = position_errors_m(seen, patch, OFFSET, keep_in(tile, size_m, x, y))[size_m]
        assert np.abs(errors[:, inside]).max() <= POSITION_ERROR_M


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
    assert all((view.clarity == 2).all() for view in three_views.values())
    one, two = three_views["31UGR"].reflectance, three_views[other].reflectance
    for shown in (one, two):
        for size_m, errors in difference_dn(shown, truth).items():
            assert np.abs(errors).max() <= resampling_bound_dn(size_m)
    for size_m, seam in difference_dn(one, two).items():
        assert np.abs(seam).max() <= 2 * resampling_bound_dn(size_m)


def test_two_tiles_of_one_zone_share_their_pixels_and_show_the_same(three_views):
    north, south = three_views["31UGR"].reflectance, three_views["31UGQ"].reflectance
    for seam in difference_dn(north, south).values():
        assert np.abs(seam).max() <= 0.01


@pytest.mark.parametrize(
    ("first", "second", "xmin", "ymin"),
    [("32ULA", "31UGR", 4047500, 2997500), ("31UGR", "31UGQ", 4027500, 2942500)],
    ids=["zone border", "tile border"],
)
def test_beyond_the_edge_of_a_tile_the_next_one_goes_on_without_a_seam(first, second, xmin, ymin, cut, cache):
    patch = Patch(0, xmin, ymin, 0)
    tile, (x, y) = TILES[first], centres(patch)

    def up_to_a_swath_edge(x, y):
        return np.where(depth_m(tile, x, y) < 300, np.round(hills(x, y)), 0)

    fields = {first: lambda x, y: np.round(hills(x, y)), second: up_to_a_swath_edge}
    observations = [
        cut(write_product(TILES[name], patch, [field], cache), NO_OFFSET, [patch])[patch.name]
        for name, field in fields.items()
    ]
    assert all(0.1 < (seen.clarity == 0).mean() < 0.9 for seen in observations)
    composite = compose_best(observations)
    assert composite.valid_fraction == 1
    assert sum(composite.shares) == pytest.approx(1)
    inside = depth_m(tile, x, y) > 0
    assert composite.shares[0] == inside.mean()
    for size_m in GROUPS:
        kept = hills(*keep_in(tile, size_m, x, y))
        truth = np.broadcast_to(np.where(inside, kept, hills(x, y)) / 10_000, (12, 250, 250))
        errors = difference_dn(composite.bands, truth)[size_m]
        assert np.abs(errors).max() <= resampling_bound_dn(size_m)


def put_together(halves, patch, cut, cache):
    """Composite of the halves of `hills`: by tile, where it has pixels."""

    def scene(part):
        return lambda x, y: np.where(part(x, y), np.round(hills(x, y)), 0)

    products = [write_product(TILES[name], patch, [scene(part)], cache) for name, part in halves]
    return compose_best([cut(files, NO_OFFSET, [patch])[patch.name] for files in products])


def assert_hills(composite, patch, from_border_m):
    """from_border_m: of each pixel, how far it is from where the pixels of the observation it comes from
    end."""
    truth = np.broadcast_to(hills(*centres(patch)) / 10_000, (12, 250, 250))
    seen = composite.clarity > 0
    for size_m, errors in difference_dn(composite.bands, truth).items():
        near = from_border_m < 1.5 * size_m
        assert np.abs(errors[:, seen & ~near]).max() <= resampling_bound_dn(size_m)
        assert np.abs(errors[:, seen & near]).max() <= hole_bound_dn(size_m)


@pytest.mark.parametrize("tiles", [("31UGR", "32ULA"), ("31UGR", "31UGQ")], ids=["two zones", "two tiles"])
def test_two_swaths_that_overlap_become_one_image_without_a_seam(tiles, cut, cache):
    patch = Patch(0, *IN_THREE_TILES, 0)
    border, overlap = patch.xmin + 1250, 100
    halves = [
        (tiles[0], lambda x, y: x < border + overlap),
        (tiles[1], lambda x, y: x > border - overlap),
    ]
    composite = put_together(halves, patch, cut, cache)
    assert composite.valid_fraction == 1
    assert sum(composite.shares) == pytest.approx(1)
    assert min(composite.shares) > 0.4
    assert_hills(composite, patch, np.abs(centres(patch)[0] - border - overlap))


def slant_m(patch, x, y):
    """How far north of a slanted line through a patch."""
    return (y - patch.ymin - 1250 - 0.2 * (x - patch.xmin - 1250)) / 1.04**0.5


def test_the_halves_of_a_split_datastrip_become_one_image(cut, cache):
    patch, name = Patch(0, *IN_THREE_TILES, 0), "31UGR"
    tile = TILES[name]

    def north(x, y):
        """The border runs along the pixels of 60 m, the same for all bands."""
        native_x, native_y = transformer(3035, tile.epsg).transform(x, y)
        middle_x = tile.ulx + ((native_x - tile.ulx) // 60 + 0.5) * 60
        middle_y = tile.uly - ((tile.uly - native_y) // 60 + 0.5) * 60
        return slant_m(patch, *transformer(tile.epsg, 3035).transform(middle_x, middle_y)) > 0

    halves = [(name, north), (name, lambda x, y: ~north(x, y))]
    composite = put_together(halves, patch, cut, cache)
    assert composite.valid_fraction == 1
    assert composite.shares[0] == pytest.approx(north(*centres(patch)).mean())
    assert sum(composite.shares) == pytest.approx(1)
    from_border = np.abs(slant_m(patch, *centres(patch)))
    assert_hills(composite, patch, np.maximum(from_border - 60 / 2**0.5, 0))


def test_halves_that_end_in_each_band_on_its_own_grid_lose_pixels_beside_the_border_alone(cut, cache):
    patch, name = Patch(0, *IN_THREE_TILES, 0), "31UGR"
    halves = [
        (name, lambda x, y: slant_m(patch, x, y) > 0),
        (name, lambda x, y: slant_m(patch, x, y) <= 0),
    ]
    composite = put_together(halves, patch, cut, cache)
    from_border = np.abs(slant_m(patch, *centres(patch)))
    lost = composite.clarity == 0
    # Where the native pixel of 60 m is of one half and that of 10 m of the other, neither half is whole.
    assert from_border[lost].max() <= 60 / 2**0.5
    assert composite.valid_fraction > 0.97
    assert (composite.bands[:, lost] == 0).all()
    assert sum(composite.shares) == pytest.approx(composite.valid_fraction)
    assert min(composite.shares) > 0.4
    assert_hills(composite, patch, from_border)


@pytest.mark.parametrize(("band", "size_m"), [("B4", 10), ("B8A", 20), ("B9", 60)])
def test_a_pixel_without_observation_in_one_band_leaves_its_neighbours_as_they_are(band, size_m, cut, cache):
    name, xmin, ymin = CITIES["Helsinki"]
    patch, tile = Patch(0, xmin, ymin, 0), TILES[name]

    def hole(x, y):
        native_x, native_y = transformer(3035, tile.epsg).transform(x, y)
        col, row = (native_x - tile.ulx) // size_m, (tile.uly - native_y) // size_m
        return (col % 17 == 3) & (row % 13 == 5)

    files = write_product(tile, patch, [lambda x, y: np.full(x.shape, 1234)], cache)
    holed = write_band(tile, size_m, patch, lambda x, y: np.where(hole(x, y), 0, 1234), cache)
    seen = cut(files | {band: holed}, OFFSET, [patch])[patch.name]
    expected = hole(*centres(patch))
    assert expected.any()
    assert ((seen.clarity == 0) == expected).all()
    assert (seen.reflectance[:, expected] == 0).all()
    number = REFLECTANCE_BANDS.index(band)
    others = np.arange(12) != number
    assert (seen.reflectance[others][:, ~expected] == 234 / 10_000).all()
    # In the band itself the weights beside a hole renormalise, in float32.
    assert np.abs(seen.reflectance[number, ~expected] * 10_000 - 234).max() <= 2 * np.spacing(np.float32(234))


def test_dark_pixels_below_the_offset_stay_valid_and_negative(cut, cache):
    name, xmin, ymin = CITIES["Valletta"]
    patch = Patch(0, xmin, ymin, 0)

    def gloom(x, y):
        return 500 + (hills(x, y) - 5000) * 499 / RELIEF_DN

    files = write_product(TILES[name], patch, [lambda x, y: np.round(gloom(x, y))], cache)
    seen = cut(files, OFFSET, [patch])[patch.name]
    assert (seen.clarity == 2).all()
    assert (seen.reflectance < 0).all()
    assert seen.reflectance.min() < -990 / 10_000
    truth = np.broadcast_to((gloom(*centres(patch)) - 1000) / 10_000, (12, 250, 250))
    for size_m, errors in difference_dn(seen.reflectance, truth).items():
        assert np.abs(errors).max() <= resampling_bound_dn(size_m)


def test_the_lowest_digital_number_is_the_lowest_reflectance(cut, cache):
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
