"""Patches out of a genuine product, whose swath edge and clouds are real, against rasterio's exact warp.

Of the product its 60 m bands B1 and B9 and its scene classification are here. The other ten bands stand
in for the ones that are not: 1500 where B9 has an observation, 0 where it has none.
"""

import xml.etree.ElementTree as ET

import numpy as np
import pytest
import rasterio
from pyproj import Transformer
from rasterio.transform import from_origin
from rasterio.warp import Resampling, reproject
from scipy.ndimage import maximum_filter, minimum_filter

from landpatch.codec import encode_image
from landpatch.composite import compose_best
from landpatch.metadata import parse_radiometry
from landpatch.patch import Patch
from landpatch.radiometry import REFLECTANCE_BANDS
from landpatch.sources.eodata import NATIVE_SIZE_M
from services.sandbox.jp2 import GRIDS, write_jp2

PRODUCT = "S2A_MSIL2A_20221005T115411_N0400_R023_T29UNU_20221005T164454.SAFE"
EPSG, UPPER_LEFT = 32629, (499980, 5900040)
# Row and column of a pixel of the scene classification in the middle of each patch.
PLACES = {
    "clear": (190, 400),
    "cloudy": (3437, 2187),
    "edge in the north": (1562, 3687),
    "edge in the middle": (2312, 3437),
    "edge in the south": (4562, 2687),
    "beyond the swath": (3437, 4437),
}


def patch_at(place):
    row, col = PLACES[place]
    x, y = UPPER_LEFT[0] + 20 * col, UPPER_LEFT[1] - 20 * row
    east, north = Transformer.from_crs(f"EPSG:{EPSG}", "EPSG:3035", always_xy=True).transform(x, y)
    return Patch(list(PLACES).index(place), int(east // 2500 * 2500), int(north // 2500 * 2500), 0)


@pytest.fixture(scope="module")
def paths(data):
    return {path.stem.split("_")[-2]: path for path in (data / "sentinel2" / PRODUCT).rglob("*.jp2")}


@pytest.fixture(scope="module")
def genuine(paths):
    """The native pixels, (y, x), as rasterio reads them."""
    pixels = {}
    for name, path in paths.items():
        with rasterio.open(path) as band:
            pixels[name] = band.read(1)
    return pixels


def stand_in(size_m, observed, cache):
    """A band that has 1500 where the 60 m pixel has an observation, around the patches."""
    grid, factor = GRIDS[size_m], 60 // size_m
    wanted = set()
    for row, col in PLACES.values():
        for shift_row in (-120, 120):
            for shift_col in (-120, 120):
                at = ((row + shift_row) * 20 // size_m, (col + shift_col) * 20 // size_m)
                wanted.add((min(at[0], grid.size - 1) // grid.tile, at[1] // grid.tile))
    pieces = {}
    for row, col in wanted:
        rows, cols = (np.arange(grid.span(n).start, grid.span(n).stop) // factor for n in (row, col))
        pieces[row, col] = np.where(observed[rows[:, None], cols[None, :]], 1500, 0).astype("uint16")
    return write_jp2(grid, pieces, EPSG, UPPER_LEFT, cache)


@pytest.fixture(scope="module")
def observations(cut, paths, genuine, data, tmp_path_factory):
    cache = tmp_path_factory.mktemp("jp2")
    made = {size_m: stand_in(size_m, genuine["B09"] > 0, cache) for size_m in (10, 20)}
    files = {name: made.get(NATIVE_SIZE_M[name]) for name in REFLECTANCE_BANDS}
    files |= {"B1": paths["B01"].read_bytes(), "B9": paths["B09"].read_bytes()}
    files |= {"SCL": paths["SCL"].read_bytes()}
    xml = (data / "sentinel2" / PRODUCT / "MTD_MSIL2A.xml").read_bytes()
    seen = cut(files, parse_radiometry(xml, PRODUCT), [patch_at(place) for place in PLACES])
    return {place: seen[patch_at(place).name] for place in PLACES}


@pytest.fixture(scope="module")
def scale(data):
    """Offset of B1 and B9 and the quantification, read from the metadata in the simplest way."""
    root = ET.parse(data / "sentinel2" / PRODUCT / "MTD_MSIL2A.xml")  # noqa: S314  # our own file
    offsets = {element.get("band_id"): float(element.text) for element in root.iter("BOA_ADD_OFFSET")}
    quantification = float(next(root.iter("BOA_QUANTIFICATION_VALUE")).text)
    return {"B1": offsets["0"], "B9": offsets["9"]}, quantification


def nearest_native(place, size_m):
    """Row and column, on a native grid, of the pixel that holds each patch pixel's centre."""
    patch = patch_at(place)
    east = patch.xmin + 5 + 10.0 * np.arange(250)
    north = patch.ymin + 2495 - 10.0 * np.arange(250)
    x, y = Transformer.from_crs("EPSG:3035", f"EPSG:{EPSG}", always_xy=True).transform(
        *np.meshgrid(east, north)
    )
    return (
        np.floor((UPPER_LEFT[1] - y) / size_m).astype(int),
        np.floor((x - UPPER_LEFT[0]) / size_m).astype(int),
    )


def contrast(native):
    """Greatest difference between a pixel's observed neighbours."""
    seen = native.astype("float64")
    low = minimum_filter(np.where(seen > 0, seen, np.inf), 3)
    return np.where(np.isfinite(low), maximum_filter(seen, 3) - low, 0)


def test_what_lies_beyond_the_swath_gives_no_observation(observations):
    assert observations["beyond the swath"] is None


@pytest.mark.parametrize("place", [place for place in PLACES if place != "beyond the swath"])
def test_valid_and_clear_fractions_are_those_of_an_independent_count(observations, genuine, place):
    composite = compose_best([observations[place]])
    at_60, at_20 = nearest_native(place, 60), nearest_native(place, 20)
    valid = (genuine["B09"][at_60] > 0) & (genuine["B01"][at_60] > 0)
    clear = valid & ~np.isin(genuine["SCL"][at_20], [0, 1, 3, 8, 9, 10])
    assert composite.valid_fraction == valid.mean()
    assert composite.clear_fraction == clear.mean()
    assert ((composite.clarity > 0) == valid).all()
    if place.startswith("edge"):
        assert 0.05 < composite.valid_fraction < 0.95
    else:
        assert composite.valid_fraction == 1
        assert (composite.clear_fraction > 0.8) == (place == "clear")


@pytest.mark.parametrize(("band", "name"), [("B1", "B01"), ("B9", "B09")])
@pytest.mark.parametrize("place", [place for place in PLACES if place != "beyond the swath"])
def test_values_are_those_of_rasterios_exact_warp(observations, genuine, scale, place, band, name):
    offsets, quantification = scale
    patch = patch_at(place)
    # The number that rasterio leaves out must be one that no pixel has once the offset is added.
    native = np.where(genuine[name] > 0, genuine[name] + offsets[band], -9999.0)
    judge = np.full((250, 250), -9999.0)
    reproject(
        native,
        judge,
        src_transform=from_origin(*UPPER_LEFT, 60, 60),
        src_crs=f"EPSG:{EPSG}",
        src_nodata=-9999.0,
        dst_transform=from_origin(patch.xmin, patch.ymin + 2500, 10, 10),
        dst_crs="EPSG:3035",
        dst_nodata=-9999.0,
        resampling=Resampling.bilinear,
        tolerance=0,
        XSCALE=1,
        YSCALE=1,
    )
    seen = observations[place]
    both = (seen.clarity > 0) & (judge != -9999.0)
    assert both.sum() > 0.98 * (seen.clarity > 0).sum()
    ours = seen.reflectance[REFLECTANCE_BANDS.index(band)] * quantification
    # GDAL's own weights are good to some 1/3000 of a native pixel; what that makes depends on the contrast.
    allowance = 0.01 + contrast(genuine[name])[nearest_native(place, 60)] / 2000
    assert (np.abs(ours - judge) <= allowance)[both].all()
    assert np.ptp(judge[both]) > 50


@pytest.mark.parametrize(("band", "name"), [("B1", "B01"), ("B9", "B09")])
@pytest.mark.parametrize("place", ["clear", "cloudy"])
def test_values_are_those_of_the_textbooks_formula(observations, genuine, scale, place, band, name):
    offsets, quantification = scale
    patch = patch_at(place)
    east = patch.xmin + 5 + 10.0 * np.arange(250)
    north = patch.ymin + 2495 - 10.0 * np.arange(250)
    to_native = Transformer.from_crs("EPSG:3035", f"EPSG:{EPSG}", always_xy=True)
    x, y = to_native.transform(*np.meshgrid(east, north))
    col, row = (x - UPPER_LEFT[0]) / 60 - 0.5, (UPPER_LEFT[1] - y) / 60 - 0.5
    left, top = np.floor(col).astype(int), np.floor(row).astype(int)
    right_share, lower_share = col - left, row - top
    dn = genuine[name].astype("float64")
    upper = dn[top, left] * (1 - right_share) + dn[top, left + 1] * right_share
    lower = dn[top + 1, left] * (1 - right_share) + dn[top + 1, left + 1] * right_share
    expected = upper * (1 - lower_share) + lower * lower_share + offsets[band]
    ours = observations[place].reflectance[REFLECTANCE_BANDS.index(band)] * quantification
    assert np.abs(ours - expected).max() < 0.02


def test_the_image_of_a_swath_edge_is_zero_where_nothing_was_seen(observations):
    patch, seen = patch_at("edge in the middle"), observations["edge in the middle"]
    data = encode_image(compose_best([seen]).bands, patch, {})
    with rasterio.MemoryFile(data) as memory, memory.open() as image:
        assert image.bounds == patch.bounds
        bands = image.read()
    assert (bands[:, seen.clarity == 0] == 0).all()
    assert (bands[:12] == seen.reflectance).all()
    assert (bands[:12, seen.clarity > 0] != 0).all()
