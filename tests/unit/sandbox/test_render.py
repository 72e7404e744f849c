"""Pixels of a product."""

from dataclasses import replace
from datetime import date

import numpy as np
import pytest
import shapely

from services.sandbox.landscape import class_at, load_regions
from services.sandbox.render import Chunk, render_chunk
from services.sandbox.scenes import find_anchor, load_tiles, make_transformer, plan_scenes
from services.sandbox.sky import Sky

TILES = {tile.id: tile for tile in load_tiles()}
TILE = TILES["31UDQ"]
CENTRE = load_regions()["FR101"].centroid


def _chunk_at(tile, x, y, size=480):
    """The chunk whose middle is about at an EPSG:3035 place."""
    east, north = make_transformer(3035, tile.epsg).transform(x, y)
    row, col = (tile.uly - north) / 10 - size / 2, (east - tile.ulx) / 10 - size / 2
    return Chunk(round(row / 240) * 240, round(col / 240) * 240, size, size)


def _render(scene, chunk, *files):
    return {(band, size): pixels for band, size, pixels in render_chunk(scene, chunk, list(files))}


def _places(tile, chunk, pixel_m=10):
    """EPSG:3035 places of a chunk's pixel centres, transformed one by one."""
    factor = pixel_m // 10
    cols = np.arange(chunk.col // factor, (chunk.col + chunk.width) // factor)
    rows = np.arange(chunk.row // factor, (chunk.row + chunk.height) // factor)
    x, y = np.meshgrid(tile.ulx + (cols + 0.5) * pixel_m, tile.uly - (rows + 0.5) * pixel_m)
    return make_transformer(tile.epsg, 3035).transform(x, y)


def _scene(kind="none", baseline="0301", cover=0.001, tile=TILE):
    scene = next(s for s in plan_scenes(tile, 2021) if s.cut == kind)
    return replace(scene, baseline=baseline, sky=Sky(date(2021, 6, 14), cover))


def test_an_image_lies_on_its_label():
    chunk = _chunk_at(TILE, CENTRE.x - 4000, CENTRE.y + 3000)
    infrared = _render(_scene(), chunk, ("B08", 10))["B08", 10]
    x, y = _places(TILE, chunk)
    water = {
        (dx, dy): class_at(x + dx, y + dy) == 10 for dx in (-10, -5, 0, 5, 10) for dy in (-10, -5, 0, 5, 10)
    }
    dark = infrared < 600
    agreement = {shift: float((dark == label).mean()) for shift, label in water.items()}
    assert dark.any()
    assert max(agreement, key=agreement.__getitem__) == (0, 0)
    assert agreement[0, 0] > 0.99


def test_the_offset_is_in_the_numbers_of_the_newer_baselines_alone():
    chunk = _chunk_at(TILE, CENTRE.x, CENTRE.y, 240)
    old = _render(_scene(), chunk, ("B04", 10))["B04", 10].astype(int)
    new = _render(_scene(baseline="0510"), chunk, ("B04", 10))["B04", 10].astype(int)
    assert set(np.unique(new - old).tolist()) <= {999, 1000, 1001}


def test_coarser_bands_are_means_of_the_finer():
    chunk = _chunk_at(TILE, CENTRE.x, CENTRE.y, 240)
    bands = _render(_scene(), chunk, ("B04", 10), ("B04", 20), ("B04", 60))
    for size in (20, 60):
        side = size // 10
        means = bands["B04", 10].reshape(240 // side, side, 240 // side, side).mean(axis=(1, 3))
        assert abs(bands["B04", size] - means).max() < 40


def test_pixels_do_not_depend_on_how_a_product_is_cut():
    scene, whole = _scene(cover=0.3), _chunk_at(TILE, CENTRE.x, CENTRE.y)
    both = _render(scene, whole, ("B03", 10), ("SCL", 20))
    right = Chunk(whole.row, whole.col + 240, whole.height, 240)
    part = _render(scene, right, ("B03", 10), ("SCL", 20))
    difference = abs(both["B03", 10][:, 240:].astype(int) - part["B03", 10])
    assert (difference > 2).mean() < 0.001
    assert (both["SCL", 20][:, 120:] != part["SCL", 20]).mean() < 0.001


def test_the_scene_classification_tells_what_is_in_the_image():
    scene = _scene(cover=0.4)
    bands = _render(scene, _chunk_at(TILE, CENTRE.x, CENTRE.y, 720), ("B02", 20), ("B8A", 20), ("SCL", 20))
    classes, blue, infrared = bands["SCL", 20], bands["B02", 20], bands["B8A", 20]
    assert set(np.unique(classes).tolist()) >= {3, 4, 8, 9}
    assert np.percentile(blue[classes == 9], 1) > 1500
    assert np.percentile(blue[classes == 4], 99) < 900
    assert np.median(infrared[classes == 3]) < 0.8 * np.median(infrared[classes == 4])


def test_nothing_is_observed_beyond_the_edge_of_the_swath():
    scene = _scene("edge")
    east, north = find_anchor(TILE)
    x, y = make_transformer(TILE.epsg, 3035).transform(east, north)
    bands = _render(scene, _chunk_at(TILE, x, y), ("B04", 10), ("B09", 60), ("SCL", 20))
    for pixels in bands.values():
        assert 0.1 < (pixels == 0).mean() < 0.9
    assert ((bands["SCL", 20] == 0) != (bands["B04", 10][::2, ::2] == 0)).mean() < 0.005


def test_two_datastrips_make_one_whole():
    north, south = (_scene(kind) for kind in ("north", "south"))
    east, up = find_anchor(TILE)
    x, y = make_transformer(TILE.epsg, 3035).transform(east, up)
    chunk = _chunk_at(TILE, x, y)
    first, second = (_render(scene, chunk, ("B04", 10))["B04", 10] for scene in (north, south))
    np.testing.assert_array_equal((first == 0), (second > 0))


@pytest.mark.parametrize("kind", ["none", "edge", "north", "south"])
def test_a_footprint_holds_what_is_observed_and_nothing_else(kind):
    scene, random = _scene(kind), np.random.default_rng(1)
    x = TILE.ulx + random.uniform(0, 109_800, 4000)
    y = TILE.uly - random.uniform(0, 109_800, 4000)
    np.testing.assert_array_equal(shapely.contains_xy(scene.footprint(), x, y), scene.sees(x, y))


@pytest.mark.parametrize("cover", [0.3])
def test_neighbouring_tiles_show_the_same_sky(cover):
    x, y = 4034000, 2975000
    classes = {}
    for name in ("31UGR", "32ULA"):
        chunk = _chunk_at(TILES[name], x, y, 720)
        pixels = _render(_scene(cover=cover, tile=TILES[name]), chunk, ("SCL", 20))["SCL", 20]
        east, north = _places(TILES[name], chunk, 20)
        places = zip((east // 40).ravel().tolist(), (north // 40).ravel().tolist(), strict=True)
        classes[name] = dict(zip(places, pixels.ravel().tolist(), strict=True))
    shared = classes["31UGR"].keys() & classes["32ULA"].keys()
    cloudy = [(classes["31UGR"][p] in {8, 9}, classes["32ULA"][p] in {8, 9}) for p in shared]
    assert len(shared) > 5000
    assert 0.02 < np.mean([one for one, _ in cloudy]) < 0.98
    assert np.mean([one == two for one, two in cloudy]) > 0.97
