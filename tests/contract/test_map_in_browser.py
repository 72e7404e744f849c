"""The map of a region in a real browser: what it shows, what it fetches, what a click tells."""

from urllib.parse import urlsplit

import numpy as np
import pytest

import landpatch
from tests.browser import browsing
from tests.contract.looker import BASE_GREEN, SIZE, Looker, looking
from tests.contract.paris import make_settings, store_region
from tests.waiting import wait_until

pytestmark = pytest.mark.stack

PATCH_OF = "patches[data.patches.findIndex(patch => patch.name === name)]"


@pytest.fixture(scope="module")
def region(s3, data):
    return store_region(s3, data)


@pytest.fixture(scope="module")
def drawn(region, s3, data, tmp_path_factory):
    """The map of Paris as a file."""
    return landpatch.map("FR101", output=tmp_path_factory.mktemp("map"), settings=make_settings(s3, data))


@pytest.fixture(scope="module")
def browser():
    with browsing() as running:
        yield running


@pytest.fixture
def looker(browser, drawn):
    """A map that has been opened from its file, with a base map of one colour."""
    with looking(browser) as looker:
        looker.open(drawn.path)
        yield looker


def test_the_file_fetches_nothing_but_its_base_map_and_nothing_goes_wrong(looker, drawn):
    hosts = {urlsplit(url).hostname for url in looker.asked if urlsplit(url).scheme in {"http", "https"}}
    assert hosts == {"gisco-services.ec.europa.eu"}
    assert {url for url in looker.asked if url.startswith("file:")} == {drawn.path.as_uri()}
    assert looker.said == []


def test_without_a_base_map_it_fetches_nothing(region, browser, s3, data, tmp_path):
    drawn = landpatch.map("FR101", output=tmp_path, base_map=None, settings=make_settings(s3, data))
    page = browser.new_page(viewport=SIZE)
    looker = Looker(page)
    looker.open(drawn.path)
    assert [url for url in looker.asked if not url.startswith("data:")] == [drawn.path.as_uri()]
    looker.sees(region[0].patch, (600, 1250), (255, 255, 255))
    assert looker.said == []
    page.close()


def test_layers_show_the_pixels_of_the_patches_in_their_place(looker, region):
    name = region[2].patch
    left, right = (600, 1250), (1900, 1250)
    # As in the panels of a preview: white is 0.4.
    for layer, halves in {
        "true": ((255, 255, 255), (64, 128, 255)),
        "false": ((255, 255, 255), (191, 64, 128)),
        "ndvi": ((255, 255, 191), (134, 203, 103)),
    }.items():
        looker.page.check(f"input[name=image][value={layer}]")
        looker.settle()
        for place, wanted in zip((left, right), halves, strict=True):
            looker.sees(name, place, wanted)
    looker.page.check("input[name=image][value=none]")
    looker.sees(name, left, BASE_GREEN)
    looker.page.check("input[name=label]")
    looker.page.locator("input[type=range]").nth(1).fill("1")
    looker.settle()
    looker.sees(name, left, (255, 1, 0), 1)
    looker.sees(name, right, (0, 128, 255), 1)
    looker.page.locator("input[type=range]").nth(1).fill("0.5")
    looker.sees(name, left, np.mean([(255, 1, 0), BASE_GREEN], axis=0), 3)


def test_what_was_not_observed_and_what_lies_outside_lets_the_base_map_through(looker, region):
    for place in ((1250, 40), (-400, 1250)):
        looker.sees(region[0].patch, place, BASE_GREEN)


def test_zoomed_in_and_out_a_place_keeps_its_colour(looker, region):
    for zoom in (16, 13, 10):
        looker.page.evaluate(
            f"([name, zoom]) => map.setView({PATCH_OF}.getCenter(), zoom, {{animate: false}})",
            [region[2].patch, zoom],
        )
        looker.settle()
        looker.sees(region[2].patch, (600, 1500), (255, 255, 255), 12)


def test_a_click_on_a_patch_tells_what_it_was_made_of_as_text(looker, region):
    looker.page.mouse.click(*looker.place(region[1].patch, 1250, 1250))
    told = looker.page.locator(".leaflet-popup-content").inner_text()
    for part in (region[1].patch, "partial", "96.0 %", "97.0 %", "S2A_<b>first</b>", "2021-06-01 10:50",
                 "2021-05-11", "03.01", "75.0 %", "CLC+ Backbone 2021", "Sealed", "Water"):  # fmt: skip
        assert part in told


def test_a_missing_patch_tells_why(looker, region):
    looker.page.evaluate(f"name => {PATCH_OF}.openPopup()", region[-1].patch)
    told = looker.page.locator(".leaflet-popup-content").inner_text()
    assert "missing: no <i>product</i> | covers it" in told


def test_states_and_the_boundary_can_be_switched_on_and_off(looker, region):
    looker.page.check("input[name=image][value=none]")
    looker.page.check("input[name=states]")
    looker.settle()
    # 55 % of the state's colour over the base map.
    for row, colour in ((region[0], (240, 228, 66)), (region[-1], (153, 153, 153))):
        wanted = 0.55 * np.array(colour) + 0.45 * np.array(BASE_GREEN)
        looker.sees(row.patch, (300, 300), wanted, 8)
    assert looker.page.locator(".panel").inner_text().count("partial") == 1
    looker.page.uncheck("input[name=states]")
    looker.settle()
    looker.sees(region[0].patch, (300, 300), BASE_GREEN)
    drawn = looker.page.screenshot()
    looker.page.uncheck("input[name=boundary]")
    wait_until(lambda: looker.page.screenshot() != drawn, what="the boundary is gone")
