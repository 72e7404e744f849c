"""The map of a region of hundreds of patches in a real browser: all of them are there, and it can be used."""

import json
import struct
from dataclasses import replace

import numpy as np
import pytest
from shapely.geometry import shape

import landpatch
from landpatch.codec import encode_image, encode_label
from landpatch.grid import lay_grid
from landpatch.index import PatchRow, build_patches
from landpatch.inventory import describe_image, describe_label
from landpatch.layout import RegionLayout
from landpatch.radiometry import BANDS
from tests.browser import browsing
from tests.contract.conftest import serving_s3
from tests.contract.looker import BASE_GREEN, looking
from tests.contract.paris import LAYOUT, LEFT, RIGHT, TAGS, make_settings
from tests.waiting import wait_until

pytestmark = pytest.mark.stack

PATCHES = 481
PIXELS = 5_000_000
"""An eighth of what a map has by default, which takes twice the time to draw."""
MOST_BYTES = 5_000_000
CENTRE = (1250, 1250)
MIDDLE = slice(75, 175)
"""Rows and columns of a patch that are of one colour, seen in its centre also from far."""
BRIGHT, DARK = (LEFT, 1), (RIGHT, 10)
"""Values of the bands, and class, of every other patch."""
COLOURS = {
    "true": ((255, 255, 255), (64, 128, 255)),
    "false": ((255, 255, 255), (191, 64, 128)),
    "ndvi": ((255, 255, 191), (134, 203, 103)),
}
"""Of both in the layers: white is 0.4."""
BLENDED = 40
"""How far a colour may be off: from far, neighbours blend. Any two that are told apart differ by over 120."""
CLASS_COLOURS = ((255, 1, 0), (0, 128, 255))
COMPLETE = 0.55 * np.array((0, 158, 115)) + 0.45 * np.array(BASE_GREEN)
"""The colour of the state, over the base map."""
HEIGHT_PX = 1000
"""Of a window in which a patch is some 25 pixels wide when the whole region is shown."""


def make_pair(values, number):
    """A patch that is textured around its middle, as none compresses to nothing."""
    levels = (
        np.random.default_rng(number).choice([0.25, 0.5, 0.75, 1.0], (125, 125)).repeat(2, 0).repeat(2, 1)
    )
    levels[MIDDLE, MIDDLE] = 1
    image = np.stack([values.get(band, 0.2) * levels for band in BANDS])
    return image, np.where(levels == 1, number, 3).astype("uint8")


def corner_of(patch):
    """Where a GeoTIFF says that a patch lies: the bytes of the upper left corner."""
    return struct.pack("<2d", patch.xmin, patch.ymin + 2500)


def product_of(number):
    """The product that a patch is from; patches in a row of the grid have different ones."""
    return f"S2A_MSIL2A_20210601T105031_N0500_R051_T31UG{number % 20:02d}_20230212T061204"


@pytest.fixture(scope="module")
def region(tmp_path_factory, data):
    """LU000 in a real store: its server and its patches."""
    features = json.loads((data / "boundaries.geojson").read_text())["features"]
    grid = lay_grid(next(shape(each["geometry"]) for each in features if each["id"] == "LU000"))
    layout, root = RegionLayout(LAYOUT.prefix, "LU000", 2021), tmp_path_factory.mktemp("luxembourg")
    made = []
    for values, number in (BRIGHT, DARK):
        bands, classes = make_pair(values, number)
        image, label = encode_image(bands, grid[0], TAGS), encode_label(classes)
        name = grid[0].name
        assert image.count(corner_of(grid[0])) == 1
        made.append((image, label, describe_image(image, name, "-"), describe_label(label, name, "-")))
    with serving_s3(root) as s3:
        bucket, rows = root / s3.bucket, []
        for key in (layout.image(grid[0].name), layout.label(grid[0].name)):
            (bucket / key).parent.mkdir(parents=True)
        for number, patch in enumerate(grid):
            # An image elsewhere differs in its corner alone; encoding each anew would take ten times as long.
            image, label, facts, classes = made[number % 2]
            (bucket / layout.image(patch.name)).write_bytes(
                image.replace(corner_of(grid[0]), corner_of(patch))
            )
            (bucket / layout.label(patch.name)).write_bytes(label)
            facts = replace(facts, products=(product_of(number),), shares=(1.0,), dates=facts.dates[:1],
                            baselines=facts.baselines[:1])  # fmt: skip
            rows.append(PatchRow(patch.name, "complete", "", facts, replace(classes, edition=2021), ""))
        (bucket / layout.patches).write_bytes(build_patches(rows, "sandbox"))
        yield s3, [patch.name for patch in grid]


@pytest.fixture(scope="module")
def drawn(region, data, tmp_path_factory):
    """The map as a file."""
    return landpatch.map(
        "LU000", output=tmp_path_factory.mktemp("map"), most_pixels=PIXELS,
        settings=make_settings(region[0], data),
    )  # fmt: skip


@pytest.fixture(scope="module")
def looker(drawn):
    """The map, opened from its file."""
    with browsing() as browser, looking(browser, HEIGHT_PX) as looker:
        looker.open(drawn.path)
        looker.page.uncheck("input[name=boundary]")  # it runs through the middle of some
        yield looker


def count(looker, names, wanted, off):
    """How many patches show in their centre about the colour that is wanted of each."""
    return int((np.abs(looker.colours(names, *CENTRE) - wanted).max(axis=1) <= off).sum())


def alternate(bright, dark):
    """The colours of all patches, (patch, 3)."""
    return np.array([dark if number % 2 else bright for number in range(PATCHES)])


def test_every_patch_is_on_the_map(looker, region):
    names = region[1]
    assert len(names) == PATCHES
    assert looker.page.evaluate("data.patches.map(patch => patch.name)") == sorted(names)
    assert looker.page.evaluate("patches.filter(shape => map.hasLayer(shape)).length") == PATCHES
    assert looker.said == []


def test_the_file_is_of_a_size_that_a_browser_opens(drawn):
    assert drawn.path.stat().st_size < MOST_BYTES
    assert drawn.tiles > 150


@pytest.mark.parametrize("layer", COLOURS)
def test_a_layer_of_the_image_shows_every_patch(looker, region, layer):
    looker.page.check(f"input[name=image][value={layer}]")
    wanted = alternate(*COLOURS[layer])
    wait_until(lambda: count(looker, region[1], wanted, BLENDED) == PATCHES, what=f"all patches in {layer}")


def test_labels_and_states_show_every_patch(looker, region):
    names = region[1]
    looker.page.check("input[name=image][value=none]")
    looker.page.check("input[name=label]")
    looker.page.locator("input[type=range]").nth(1).fill("1")
    wanted = alternate(*CLASS_COLOURS)
    wait_until(lambda: count(looker, names, wanted, 1) == PATCHES, what="all labels")
    looker.page.uncheck("input[name=label]")
    looker.page.check("input[name=states]")
    wait_until(lambda: count(looker, names, COMPLETE, 3) == PATCHES, what="all states")
    assert f"complete {PATCHES}" in " ".join(looker.page.locator(".panel").inner_text().split())
    looker.page.uncheck("input[name=states]")
    wait_until(lambda: count(looker, names, COMPLETE, 3) == 0, what="no states")


@pytest.mark.parametrize("number", [1, PATCHES // 2, PATCHES - 1])
def test_a_click_on_a_patch_tells_where_it_is_from(looker, region, number):
    name = region[1][number]
    looker.page.mouse.click(*looker.place(name, *CENTRE))
    told = looker.page.locator(".leaflet-popup-content", has_text=name)
    told.wait_for()
    for part in ("complete", product_of(number), "2021-06-01 10:50", "05.00", "CLC+ Backbone 2021"):
        assert part in told.inner_text()
    looker.page.keyboard.press("Escape")
    told.wait_for(state="detached")
    looker.settle()
