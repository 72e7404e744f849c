"""The map of a region: every pixel knows where it is, so that its value tells whether it lies there."""

import io
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image
from pyproj import Transformer

from landpatch import mercator
from landpatch.mosaic import MAP_BANDS, make_mosaic, patch_bounds
from landpatch.patch import Patch
from landpatch.radiometry import BANDS
from landpatch.tiles import Whites, draw_tiles, find_whites, zoom_out

WEST, SOUTH = 3_757_500, 2_887_500
PATCHES = [Patch(0, WEST, SOUTH, 0), Patch(1, WEST + 2500, SOUTH, 0), Patch(2, WEST, SOUTH + 2500, 0)]
CENTRES = np.arange(250) * 10 + 5


def make_image(patch):
    """B2 tells the easting, B3 the northing, each as metres / 10000 from the corner of all; B4 and B8 are
    0.1 and 0.3."""
    image = np.zeros((14, 250, 250))
    image[BANDS.index("B2")] = (patch.xmin - WEST + CENTRES) / 10_000
    image[BANDS.index("B3")] = (patch.ymin - SOUTH + CENTRES[::-1, None]) / 10_000
    image[BANDS.index("B4")], image[BANDS.index("B8")] = 0.1, 0.3
    return image


def class_at(east, north):
    """A class that differs from pixel to pixel of the 10 m grid."""
    col, row = np.floor((east - WEST) / 10), np.floor((north - SOUTH) / 10)
    return (1 + (7 * col + 3 * row) % 11).astype("uint8")


def make_label(patch):
    return class_at(patch.xmin + CENTRES[None], patch.ymin + CENTRES[::-1, None])


def lay(patches, zoom, image=make_image, label=make_label):
    mosaic = make_mosaic(mercator.cover(patch_bounds(*patches), zoom))
    for patch in patches:
        mosaic.lay(patch, image(patch), label(patch))
    return mosaic


def places(mosaic):
    """East and north in EPSG:3035 of each pixel, by pyproj for every one of them."""
    height, width = mosaic.frame.shape
    grid = mosaic.frame.grid(slice(0, height), slice(0, width))
    x, y = np.meshgrid(
        grid.left + (np.arange(width) + 0.5) * grid.pixel_size_m,
        grid.top - (np.arange(height) + 0.5) * grid.pixel_size_m,
    )
    return Transformer.from_crs("EPSG:3857", "EPSG:3035", always_xy=True).transform(x, y)


def within(east, north, patches, margin=0.0):
    inside = np.zeros(east.shape, bool)
    for patch in patches:
        xmin, ymin, xmax, ymax = patch.bounds
        inside |= (
            (east > xmin + margin)
            & (east < xmax - margin)
            & (north > ymin + margin)
            & (north < ymax - margin)
        )
    return inside


@pytest.mark.parametrize("zoom", [13, 14, 15])
def test_every_pixel_shows_the_place_that_it_lies_at(zoom):
    mosaic = lay(PATCHES, zoom)
    east, north = places(mosaic)
    # The outermost half pixel of a patch has neighbours on one side alone.
    inner = within(east, north, PATCHES, 5)
    b2, b3, b4, b8 = mosaic.reflectance.astype(float)
    assert MAP_BANDS == ("B2", "B3", "B4", "B8")
    assert np.abs(b2 - (east - WEST))[inner].max() <= 0.51
    assert np.abs(b3 - (north - SOUTH))[inner].max() <= 0.51
    assert (b4[mosaic.observed] == 1000).all()
    assert (b8[mosaic.observed] == 3000).all()


def test_every_pixel_has_the_class_of_the_pixel_that_holds_its_centre():
    mosaic = lay(PATCHES, 14)
    east, north = places(mosaic)
    inner = within(east, north, PATCHES, 0.001)
    assert (mosaic.label == class_at(east, north))[inner].mean() > 0.9999
    assert not mosaic.label[~within(east, north, PATCHES, -0.001)].any()


@pytest.mark.parametrize("zoom", [11, 12, 14])
def test_patches_meet_without_a_gap_and_their_corners_are_transparent(zoom):
    mosaic = lay(PATCHES, zoom)
    east, north = places(mosaic)
    assert mosaic.observed[within(east, north, PATCHES, 0.001)].all()
    assert not mosaic.observed[~within(east, north, PATCHES, -0.001)].any()


def test_what_was_not_observed_stays_so_and_does_not_darken_what_is_beside_it():
    def half(patch):
        image = make_image(patch)
        image[:, :, :125] = 0
        return image

    (patch,) = patches = PATCHES[:1]
    mosaic = lay(patches, 14, half)
    east, north = places(mosaic)
    inside = within(east, north, patches, 0.001)
    right = east >= patch.xmin + 1250
    clear_of_edge = np.abs(east - patch.xmin - 1250) > 0.001
    assert (mosaic.observed == right)[inside & clear_of_edge].all()
    assert (mosaic.reflectance[2, mosaic.observed] == 1000).all()
    assert not mosaic.reflectance[:, ~mosaic.observed].any()


def test_from_far_a_pixel_is_the_mean_of_what_it_covers():
    def stripes(patch):
        image = make_image(patch)
        image[BANDS.index("B4"), :, ::2] = 0.3
        return image

    # A pixel has 50 m: of five columns two or three are bright.
    mosaic = lay(PATCHES, 11, stripes)
    assert mosaic.reflectance[2, mosaic.observed].min() >= 1800
    assert mosaic.reflectance[2, mosaic.observed].max() <= 2200


@pytest.mark.parametrize("zoom", [13, 14])
def test_one_zoom_out_every_pixel_lies_where_it_did(zoom):
    mosaic = lay(PATCHES, zoom).halve()
    assert mosaic.frame.zoom == zoom - 1
    east, north = places(mosaic)
    inner = within(east, north, PATCHES, 40)
    assert mosaic.observed[inner].all()
    assert not mosaic.observed[~within(east, north, PATCHES, -40)].any()
    b2, b3, *_ = mosaic.reflectance.astype(float)
    assert np.abs(b2 - (east - WEST))[inner].max() <= 3
    assert np.abs(b3 - (north - SOUTH))[inner].max() <= 3
    assert ((mosaic.label > 0) == mosaic.observed).all()


def test_half_an_observed_pixel_is_shown_and_less_is_not():
    mosaic = make_mosaic(mercator.Frame(14, 8298, 5633, 1, 1))
    mosaic.reflectance[:, 0, :3] = (700, 900, 800)
    mosaic.observed[0, :3] = True
    mosaic.label[:2, :6] = [[0, 4, 5, 0, 1, 2], [6, 0, 0, 0, 3, 7]]
    half = mosaic.halve()
    rows, cols = np.nonzero(half.observed)
    assert half.frame == mercator.Frame(13, 4149, 2816, 1, 1)
    # An even column and an odd row: the tile is the lower left quarter of its parent.
    assert (rows.tolist(), cols.tolist()) == ([128], [0])
    assert half.reflectance[:, 128, 0].tolist() == [800, 800, 800, 800]
    assert half.label[128, :3].tolist() == [4, 0, 1]
    assert not half.label[:128].any()


def test_a_patch_without_an_image_shows_its_label_alone_and_one_without_a_label_its_image():
    labelled = lay(PATCHES[:1], 14, image=lambda _: None)
    assert not labelled.observed.any()
    assert labelled.label.any()
    seen = lay(PATCHES[:1], 14, label=lambda _: None)
    assert seen.observed.any()
    assert not seen.label.any()


def read(tile):
    with Image.open(io.BytesIO(tile.data)) as picture:
        return np.asarray(picture.convert("RGBA")).astype(int)


def draw(mosaic, whites):
    with ThreadPoolExecutor(2) as pool:
        return {(tile.layer, tile.col, tile.row): read(tile) for tile in draw_tiles(mosaic, whites, pool)}


def test_tiles_of_all_layers_lie_on_the_same_grid_in_the_colours_of_their_values():
    def plain(patch):
        image = np.full((14, 250, 250), 0.4)
        image[BANDS.index("B4")], image[BANDS.index("B8")] = 0.1, 0.3
        return image

    mosaic = lay(PATCHES, 13, plain, lambda _: np.full((250, 250), 10, "uint8"))
    tiles = draw(mosaic, Whites(true=4000, false=4000))
    places_of = {
        layer: {key[1:] for key in tiles if key[0] == layer} for layer in ("true", "false", "ndvi", "label")
    }
    assert len(set(map(frozenset, places_of.values()))) == 1
    expected = {
        "true": (64, 255, 255),
        "false": (191, 64, 255),
        "ndvi": (134, 203, 103),
        "label": (0, 128, 255),
    }
    alphas = {}
    for (layer, *place), rgba in tiles.items():
        inner = rgba[8:-8, 8:-8]
        shown = inner[inner[..., 3] == 255][:, :3]
        assert set(np.unique(rgba[..., 3])) <= {0, 255}
        # NDVI is (0.3 - 0.1) / 0.4 = 0.5: three quarters of RdYlGn; pictures lose some colour.
        assert np.abs(np.median(shown, axis=0) - expected[layer]).max() <= (0 if layer == "label" else 4), (
            layer
        )
        alphas.setdefault(tuple(place), []).append(rgba[..., 3].tolist())
    for same in alphas.values():
        assert all(alpha == same[0] for alpha in same)


def test_zooming_out_ends_when_all_is_a_few_tiles_across():
    zooms = [level.frame for level in zoom_out(lay(PATCHES, 15))]
    assert [frame.zoom for frame in zooms] == list(range(15, 15 - len(zooms), -1))
    assert max(zooms[-1].cols, zooms[-1].rows) <= 2 < max(zooms[-2].cols, zooms[-2].rows)


def test_whites_are_those_of_the_region_as_a_whole():
    whites = find_whites(lay(PATCHES, 14))
    # B3 reaches 5000 m / 10000; B2 alike; the 98th percentile of all three bands lies below.
    assert 4000 < whites.true < 5000
    assert 3000 <= whites.false < 5000
