"""Somebody who looks at a map in a real browser."""

import io
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import numpy as np
from PIL import Image
from playwright.sync_api import Browser

from landpatch.grid import to_lonlat
from landpatch.patch import parse_patch
from landpatch.picture import encode_png
from tests.waiting import LONG_S, wait_until

SIZE = {"width": 1200, "height": 800}
BASE_GREEN = (0, 200, 0)
PICTURES_ARE_THERE = (
    "[...document.querySelectorAll('img.leaflet-tile')].every(img => !img.src || img.complete)"
)
CORNER = "document.querySelector('.leaflet-map-pane').getBoundingClientRect().toJSON()"


@contextmanager
def looking(browser: Browser, height_px: int = SIZE["height"]) -> Iterator["Looker"]:
    """Somebody with a page of their own, for whom every base map is of one colour."""
    page = browser.new_page(viewport={**SIZE, "height": height_px})
    tile = np.full((256, 256, 4), 255, "uint8")
    tile[..., :3] = BASE_GREEN
    page.route(
        re.compile("^https:"), lambda route: route.fulfill(body=encode_png(tile), content_type="image/png")
    )
    try:
        yield Looker(page)
    finally:
        page.close()


class Looker:
    """Somebody who looks at a map."""

    def __init__(self, page):
        self.page = page
        page.set_default_timeout(LONG_S * 1000)
        self.asked, self.said = [], []
        page.on("request", lambda request: self.asked.append(request.url))
        page.on("console", lambda message: self.said.append(message.text))
        page.on("pageerror", lambda error: self.said.append(str(error)))

    def open(self, path):
        self.page.goto(path.as_uri())
        self.settle()

    def settle(self):
        """Wait until every picture is there."""
        # The page's policy forbids what wait_for_function does.
        wait_until(lambda: self.page.evaluate(PICTURES_ARE_THERE), what="every picture is there")
        self.page.wait_for_timeout(600)  # zooming and fading take 250 ms each
        wait_until(self._stands_still, what="the map stands still")

    def _stands_still(self):
        before = self.page.evaluate(CORNER)
        self.page.wait_for_timeout(200)
        return self.page.evaluate(CORNER) == before

    def places(self, patches: Iterable[str], east_m: float, north_m: float) -> list[tuple[int, int]]:
        """Where on the screen a place in each patch is, from its lower left corner."""
        corners = [parse_patch(patch) for patch in patches]
        lonlat = [to_lonlat().transform(corner.xmin + east_m, corner.ymin + north_m) for corner in corners]
        points = self.page.evaluate(
            "places => places.map(([lon, lat]) => map.latLngToContainerPoint([lat, lon]))", lonlat
        )
        return [(round(point["x"]), round(point["y"])) for point in points]

    def place(self, patch, east_m, north_m):
        """Where on the screen a place in a patch is, from its lower left corner."""
        return self.places([patch], east_m, north_m)[0]

    def colours(self, patches: Iterable[str], east_m: float, north_m: float) -> np.ndarray:
        """The colour that is seen at a place in each patch, (patch, 3)."""
        with Image.open(io.BytesIO(self.page.screenshot())) as picture:
            seen = np.asarray(picture.convert("RGB"))
        places = self.places(patches, east_m, north_m)
        return np.array([seen[y - 2 : y + 3, x - 2 : x + 3].mean(axis=(0, 1)) for x, y in places])

    def colour(self, patch, east_m, north_m):
        """The colour that is seen there."""
        return self.colours([patch], east_m, north_m)[0]

    def sees(self, patch, place, wanted, off=6):
        """Wait until a place has about that colour, and fail when it does not."""
        wait_until(
            lambda: np.abs(self.colour(patch, *place) - wanted).max() <= off,
            what=f"{wanted} at {place} of {patch}",
        )  # fmt: skip
