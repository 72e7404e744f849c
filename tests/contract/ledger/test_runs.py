"""A region's runs, and the rounds of a run: begun once, and over when they are over."""

from datetime import UTC, datetime

import pytest

from landpatch.messages import CutScene, PatchWork, PlanRegion, SceneRef
from landpatch.records import DeadLetter, Outcome, Work
from tests.contract.ledger.asked import REGION, THREADS, cut, label, open_round, race, request

pytestmark = pytest.mark.stack


def test_a_run_begins_and_a_second_request_for_it_joins_it(ledger):
    run, asked = ledger.start(request())
    assert asked == request()
    assert ledger.start(request()) == (run, request())
    assert ledger.facts(REGION)["state"] == "queued"


def test_a_run_that_begins_asks_for_its_plan(ledger):
    run, _ = ledger.start(request(), only_failed=True)
    ledger.start(request())
    assert ledger.claim(REGION, run, "control", 60) == [
        PlanRegion(run=run, request=request(), only_failed=True)
    ]


def test_who_asks_with_other_options_is_told_what_the_run_under_way_was_asked_for(ledger):
    run, _ = ledger.start(request(max_cloud=30))
    assert ledger.start(request(max_cloud=5)) == (run, request(max_cloud=30))


def test_of_many_who_ask_at_once_one_begins_and_all_get_its_run(ledger):
    options = [request(max_cloud=number) for number in range(4 * THREADS)]
    answers = race(ledger.start, options)
    assert len(set(answers)) == 1
    assert answers[0][1] in options


@pytest.mark.parametrize("end", ["close", "fail"])
def test_a_run_that_is_over_gives_way_to_a_new_one_of_which_nothing_old_is_known(ledger, end):
    old, _ = ledger.start(request())
    open_round(ledger, old, 1, 1)
    ledger.add_labels(REGION, old, [label(old)])
    ledger.record(REGION, old, "images", {"p": Outcome("failed", "broken")})
    ledger.record(REGION, old, "labels", {"p": Outcome("complete")})
    ledger.keep_observation(REGION, old, "p", "scene")
    ledger.keep_scenes(REGION, old, "[]")
    ledger.bury(cut(old), DeadLetter("broken", 5))
    ledger.finish(cut(old), Work(5, 1))
    ledger.note(REGION, old, message="x", patches=3)
    assert getattr(ledger, end)(REGION, old, "{}")
    assert ledger.active() == []
    new, asked = ledger.start(request(max_cloud=5))
    assert new != old
    assert asked == request(max_cloud=5)
    assert set(ledger.facts(REGION)) == {"run", "request", "state", "round"}
    assert (ledger.facts(REGION)["state"], ledger.facts(REGION)["round"]) == ("queued", "0")
    assert ledger.outcomes(REGION, "images") == ledger.outcomes(REGION, "labels") == {}
    assert ledger.tried(REGION) == ledger.work(REGION) == ledger.dead_letters(REGION) == {}
    assert ledger.kept_observations(REGION) == set()
    assert ledger.scenes(REGION) == ""
    assert ledger.pending(REGION, "images") == ledger.pending(REGION, "labels") == 0
    assert ledger.is_current(cut(new))
    assert not ledger.is_current(cut(old))
    assert ledger.active() == [REGION]


def test_a_run_that_is_over_changes_nothing_in_the_next(ledger):
    old, _ = ledger.start(request())
    ledger.fail(REGION, old, "broken")
    new, _ = ledger.start(request())
    open_round(ledger, new, 1, 1)
    before = ledger.facts(REGION)
    ledger.record(REGION, old, "images", {"p": Outcome("complete")})
    ledger.keep_observation(REGION, old, "p", "scene")
    ledger.keep_scenes(REGION, old, "[]")
    ledger.add_labels(REGION, old, [label(old)])
    ledger.bury(cut(old), DeadLetter("broken", 5))
    assert not open_round(ledger, old, 2, 1)
    assert not ledger.note(REGION, old, state="done")
    assert not ledger.close(REGION, old, "{}")
    assert not ledger.fail(REGION, old, "broken")
    assert not ledger.begin(cut(old), "me", 60)
    assert not ledger.finish(cut(old), Work(10**9, 14), {"p": Outcome("complete")})
    assert not ledger.begin_index(old, request())
    assert ledger.claim(REGION, old, "images", 60) == []
    assert ledger.facts(REGION) == before
    assert ledger.outcomes(REGION, "images") == ledger.work(REGION) == ledger.dead_letters(REGION) == {}
    assert ledger.kept_observations(REGION) == set()
    assert ledger.pending(REGION, "labels") == 0
    assert ledger.is_pending(REGION, "images", cut(new).task)


@pytest.mark.parametrize("end", ["close", "fail"])
def test_a_run_that_is_over_is_not_changed_by_what_comes_late(ledger, redis_client, end):
    run, _ = ledger.start(request())
    open_round(ledger, run, 1, 1)
    getattr(ledger, end)(REGION, run, "the last word")
    before = ledger.facts(REGION), sorted(redis_client.keys("*"))
    ledger.record(REGION, run, "images", {"p": Outcome("complete")})
    ledger.keep_observation(REGION, run, "p", "scene")
    assert not ledger.begin(cut(run), "me", 60)
    assert not ledger.finish(cut(run), Work())
    assert not open_round(ledger, run, 2, 1)
    assert not ledger.begin_index(run, request())
    assert (ledger.facts(REGION), sorted(redis_client.keys("*"))) == before


def test_regions_and_years_do_not_know_of_each_other(ledger):
    one, _ = ledger.start(request())
    other, _ = ledger.start(request(nuts="LU000"))
    open_round(ledger, one, 1, 1)
    assert one != other
    assert ledger.pending("LU000/2021", "images") == 0
    assert not ledger.is_current(cut(one, nuts="LU000"))
    assert ledger.regions() == ledger.active() == ["FR101/2021", "LU000/2021"]


def test_a_region_that_is_closed_keeps_its_sums_alone(ledger, redis_client):
    run, _ = ledger.start(request())
    ledger.note(REGION, run, patches=2, labels=2)
    ledger.record(REGION, run, "images", {"p": Outcome("complete"), "q": Outcome("partial")})
    ledger.record(REGION, run, "labels", {"p": Outcome("complete")})
    ledger.keep_scenes(REGION, run, "[]")
    ledger.close(REGION, run, "{}")
    at = ledger.progress(REGION)
    assert (at.state, at.images_done, at.labels_done, at.images_total) == ("done", 2, 1, 2)
    assert len(redis_client.keys(f"*{REGION}*")) == 1


# rounds


def test_a_round_is_opened_once_and_its_messages_are_there_until_they_are_claimed(ledger):
    run, _ = ledger.start(request())
    assert open_round(ledger, run, 1, 2)
    assert not open_round(ledger, run, 1, 2)
    assert ledger.claim(REGION, run, "images", 60) == [cut(run, 0), cut(run, 1)]
    assert ledger.claim(REGION, run, "images", 60) == []


def test_what_is_settled_with_a_round_is_recorded_only_by_who_opens_it(ledger):
    run, _ = ledger.start(request())
    gone = Outcome("missing", "no product in the catalogue covers it")
    assert ledger.open_round(REGION, run, 1, [cut(run)], {"1_2500_0_0": gone})
    assert not ledger.open_round(REGION, run, 1, [cut(run)], {"2_5000_0_0": gone})
    assert ledger.outcomes(REGION, "images") == {"1_2500_0_0": gone}


def test_a_round_that_is_opened_again_does_not_make_what_is_done_pending(ledger):
    run, _ = ledger.start(request())
    open_round(ledger, run, 1, 2)
    ledger.finish(cut(run, 0), Work())
    assert not open_round(ledger, run, 1, 2)
    assert not ledger.is_pending(REGION, "images", "1:settle-0")
    assert ledger.is_pending(REGION, "images", "1:settle-1")


def scene(run: str, number: int, letter: str, *patches: str) -> CutScene:
    """A message that asks to cut patches out of a scene."""
    return CutScene(
        run=run, nuts="FR101", year=2021, round=number, recipe="r", composite="best",
        scene=SceneRef(
            id=letter * 8, name=f"S2A_MSIL2A_{'X' * 50}", s3_path="a", baseline=(5, 0),
            sensed=datetime(2021, 6, 1, tzinfo=UTC),
        ),
        patches=tuple(PatchWork(name=name) for name in patches),
    )  # fmt: skip


def test_the_scenes_that_patches_are_sent_to_are_known_in_the_order_of_the_rounds(ledger):
    run, _ = ledger.start(request())
    one, two = "0_0_0_0", "2500_0_0_1"
    ledger.open_round(REGION, run, 1, [scene(run, 1, "b", one, two)])
    ledger.finish(scene(run, 1, "b", one, two), Work())
    ledger.open_round(REGION, run, 2, [scene(run, 2, "a", one), cut(run, 0, 2)])
    ledger.open_round(REGION, "an-older-run", 3, [scene("an-older-run", 3, "c", one)])
    assert ledger.tried(REGION) == {one: ["b" * 8, "a" * 8], two: ["b" * 8]}


@pytest.mark.parametrize("number", [2, 3])
def test_a_round_is_opened_only_after_the_one_before_it(ledger, number):
    run, _ = ledger.start(request())
    assert not open_round(ledger, run, number, 1)
    assert ledger.pending(REGION, "images") == 0
    open_round(ledger, run, 1, 1)
    assert open_round(ledger, run, 2, 1)
    assert not open_round(ledger, run, 1, 1)
    assert ledger.progress(REGION).round == 2


def test_a_round_without_tasks_is_opened(ledger):
    run, _ = ledger.start(request())
    assert open_round(ledger, run, 1, 0)
    assert ledger.pending(REGION, "images") == 0


def test_a_round_may_have_thousands_of_tasks(ledger):
    run, _ = ledger.start(request())
    assert open_round(ledger, run, 1, 5000)
    assert ledger.pending(REGION, "images") == 5000
    assert len(ledger.claim(REGION, run, "images", 60)) == 5000


def test_many_who_open_a_round_at_once_open_it_once(ledger):
    run, _ = ledger.start(request())
    opened = race(lambda _: open_round(ledger, run, 1, 2), list(range(4 * THREADS)))
    assert sum(opened) == 1
    assert ledger.pending(REGION, "images") == 2
    assert ledger.progress(REGION).products_total == 2
