"""The whole cut: tiles, zones and swaths go on into each other."""

import numpy as np
import pytest

from landpatch.composite import compose_best
from landpatch.patch import Patch
from tests.scenes import (
    GROUPS,
    IN_THREE_TILES,
    NO_OFFSET,
    TILES,
    centres,
    depth_m,
    difference_dn,
    hills,
    hole_bound_dn,
    keep_in,
    resampling_bound_dn,
    transformer,
    write_product,
)


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
