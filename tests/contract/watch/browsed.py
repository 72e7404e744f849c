"""The live page in a real browser: its maps, its counts, its pictures."""

from contextlib import contextmanager

import pytest
from playwright.sync_api import expect

from landpatch.legend import STATE_COLOURS
from tests.browser import browsing
from tests.contract.watch.served import PARIS
from tests.waiting import LONG_S, wait_until

expect.set_options(timeout=LONG_S * 1000)

SHARES = """
canvas => {
  const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  const found = {};
  for (let at = 0; at < data.length; at += 4) {
    if (data[at + 3] !== 255) continue;
    const colour = "#" + [0, 1, 2].map(band => data[at + band].toString(16).padStart(2, "0")).join("");
    found[colour.toUpperCase()] = (found[colour.toUpperCase()] ?? 0) + 1;
  }
  return found;
}
"""
SPOT = """
(canvas, colour) => {
  const context = canvas.getContext("2d");
  const {data} = context.getImageData(0, 0, canvas.width, canvas.height);
  const is = (x, y) => [0, 2, 4].every((digit, band) =>
    data[4 * (y * canvas.width + x) + band] === parseInt(colour.slice(1 + digit, 3 + digit), 16));
  for (let y = 8; y < canvas.height - 8; y++)
    for (let x = 8; x < canvas.width - 8; x++)
      if (is(x, y) && is(x - 7, y) && is(x + 7, y) && is(x, y - 7) && is(x, y + 7))
        return [x * canvas.clientWidth / canvas.width, y * canvas.clientHeight / canvas.height];
  return null;
}
"""


@contextmanager
def looking(url, **context):
    """A page of a browser that has opened an address; fails the test when that has met an error."""
    with browsing() as browser:
        page = browser.new_context(**({"viewport": {"width": 1280, "height": 800}} | context)).new_page()
        page.set_default_timeout(LONG_S * 1000)
        errors = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda said: errors.append(said.text) if "Security Policy" in said.text else None)
        if url:
            page.goto(url)
        yield page
        assert errors == []


def card(browser, key=PARIS):
    return browser.locator(f"article[data-region='{key}']")


def await_counts(browser, key=PARIS, **counts):
    """Wait until the legend says so."""
    for state, count in counts.items():
        entry = card(browser, key).locator(f".legend li[data-state={state}] b")
        expect(entry).to_have_text(f"{count:,}")


def await_map(browser, name, key=PARIS):
    """Wait until the map, which is fetched after the counts are shown, is there and says its name."""
    expect(card(browser, key).locator("h2", has_text=name)).to_be_visible()


def shares(browser, key=PARIS):
    """How much of the map is in the colour of each state."""
    seen = card(browser, key).locator(".map canvas").evaluate(SHARES)
    pixels = {state: seen.get(colour, 0) for state, colour in STATE_COLOURS.items()}
    return {state: count / sum(pixels.values()) for state, count in pixels.items() if count}


def await_shares(browser, key=PARIS, **expected):
    """Wait until the map, which is drawn after the counts are written, is in these colours by so much."""
    wait_until(lambda: shares(browser, key) == pytest.approx(expected, abs=0.05), what=f"a map of {expected}")


def await_pictures(browser):
    """The widths of the pictures of a patch, when all have been shown."""
    pictures = browser.locator("#panel figure")
    pictures.nth(3).wait_for()
    return [
        each.locator("img").evaluate("img => img.decode().then(() => img.naturalWidth)")
        for each in pictures.all()
    ]


def click(browser, state, key=PARIS):
    """Click a patch that has the colour of a state."""
    canvas = card(browser, key).locator(".map canvas")
    x, y = wait_until(
        lambda: canvas.evaluate(SPOT, STATE_COLOURS[state]), what=f"a patch that is {state} is drawn"
    )
    canvas.click(position={"x": x, "y": y})
