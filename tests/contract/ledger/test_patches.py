"""What the ledger says of patches, and how far a region is."""

import pytest

from landpatch.records import Outcome, Work
from tests.contract.ledger.asked import REGION, cut, label, open_round, request

pytestmark = pytest.mark.stack


def test_the_last_word_on_a_patch_counts(ledger):
    run, _ = ledger.start(request())
    ledger.record(REGION, run, "images", {"p": Outcome("failed", "é: “broken”"), "q": Outcome("missing")})
    ledger.record(REGION, run, "images", {"p": Outcome("complete")})
    ledger.record(REGION, run, "images", {})
    assert ledger.outcomes(REGION, "images") == {"p": Outcome("complete"), "q": Outcome("missing")}
    assert ledger.outcomes_of(REGION, "images", ["q", "r"]) == {"q": Outcome("missing")}
    assert ledger.outcomes(REGION, "labels") == {}


def test_scenes_and_observations_kept_are_remembered(ledger):
    run, _ = ledger.start(request())
    ledger.keep_observation(REGION, run, "p", "b")
    ledger.keep_observation(REGION, run, "p", "b")
    ledger.keep_scenes(REGION, run, '["é"]')
    assert ledger.kept_observations(REGION) == {("p", "b")}
    assert ledger.scenes(REGION) == '["é"]'


def test_progress_counts(ledger):
    run, _ = ledger.start(request())
    ledger.note(REGION, run, patches=28, labels=28, message="asking the catalogue")
    open_round(ledger, run, 1, 3)
    ledger.finish(cut(run), Work(), {"p": Outcome("complete"), "q": Outcome("partial")})
    ledger.record(REGION, run, "labels", {"p": Outcome("complete")})
    at = ledger.progress(REGION)
    assert (at.state, at.round, at.message) == ("cutting", 1, "asking the catalogue")
    assert (at.products_done, at.products_total) == (1, 3)
    assert (at.images_done, at.images_total) == (2, 28)
    assert (at.labels_done, at.labels_total) == (1, 28)


def test_progress_of_a_region_that_nobody_asked_for_is_absent(ledger):
    at = ledger.progress("LU000/2021")
    assert (at.state, at.round, at.products_total, at.images_done) == ("absent", 0, 0, 0)
    assert ledger.regions() == []


def test_pending_tasks_are_counted_over_all_regions(ledger):
    one, _ = ledger.start(request())
    other, _ = ledger.start(request(nuts="LU000"))
    open_round(ledger, one, 1, 3)
    ledger.add_labels("LU000/2021", other, [label(other, nuts="LU000")])
    assert ledger.pending_everywhere() == {"images": 3, "labels": 1, "control": 2}


@pytest.mark.parametrize("name", ["3757500_2887500_0_20", "0_0_0_0", "12345_0_0_1", "-2500_0_0_1", "p"])
def test_a_patch_keeps_its_name(ledger, name):
    run, _ = ledger.start(request())
    ledger.record(REGION, run, "images", {name: Outcome("missing", "a reason. with_all")})
    ledger.keep_observation(REGION, run, name, "scene")
    assert ledger.outcomes(REGION, "images") == {name: Outcome("missing", "a reason. with_all")}
    assert ledger.kept_observations(REGION) == {(name, "scene")}
