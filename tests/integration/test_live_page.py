"""A region is built by real workers, and the live page shows it happen, in a real browser."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.contract.watch.browsed import await_counts, await_pictures, await_shares, card, click, looking
from tests.contract.watch.served import serving
from tests.environment import ROOT, clean_environment

pytestmark = pytest.mark.stack

KEY = "FR101/2021"
"""Which other tests have built: what is made again is the same."""


def read_legend(browser) -> dict[str, int]:
    """Patches by state, as they are shown."""
    entries = (
        card(browser, KEY)
        .locator(".legend li")
        .evaluate_all("all => all.map(each => [each.dataset.state, each.querySelector('b').textContent])")
    )
    return {state: int(count) for state, count in entries if count != "0"}


def test_the_page_shows_a_region_being_built_and_then_its_patches(stack, paris):
    for kind in ("images", "labels"):
        shutil.rmtree(stack.state / "store/landpatch/data" / kind / KEY)
    command = [Path(sys.executable).parent / "landpatch", "region", "FR101"]
    environment = clean_environment(LANDPATCH_STATE_DIR=str(stack.state))
    with (
        serving(stack.settings()) as served,
        looking(served.url) as browser,
        subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE) as building,
    ):
        seen = []
        while building.poll() is None:
            seen.append(read_legend(browser))
            browser.wait_for_timeout(100)
        assert building.returncode == 0, building.stderr.read().decode()
        await_counts(browser, KEY, complete=28)
        card(browser, KEY).locator(".state.done").wait_for()
        assert any({"queued", "cutting"} & counts.keys() for counts in seen), (
            "it was seen while it was not done"
        )
        assert {sum(counts.values()) for counts in seen} <= {0, 28}
        await_shares(browser, KEY, complete=1)
        click(browser, "complete", KEY)
        panel = browser.locator("#panel")
        panel.get_by_text("S2").first.wait_for()
        assert await_pictures(browser) == [250] * 4
        assert "label complete" in panel.inner_text()
        assert panel.locator(".classes li").count() > 1
        assert "sandbox" in panel.inner_text()
