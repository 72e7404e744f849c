"""The ledger on a real Redis: every step atomic, and the same when it is taken twice."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from threading import Barrier

import pytest
import redis

from landpatch.connection import NO_REDIS
from landpatch.errors import ConfigurationError, InfrastructureError
from landpatch.ledger import Ledger, Overdue, open_ledger
from landpatch.messages import (
    AdvanceRegion,
    CutScene,
    FetchLabels,
    PatchWork,
    PlanRegion,
    RegionRequest,
    SceneRef,
    SettlePatches,
    WriteIndex,
)
from landpatch.records import DeadLetter, Outcome, Work
from landpatch.settings import Settings
from tests.contract.conftest import REDIS_PASSWORD
from tests.waiting import LONG_S

pytestmark = pytest.mark.stack

REGION = "FR101/2021"
THREADS = 8


def cut(run: str, block: int = 0, number: int = 1, nuts: str = "FR101") -> SettlePatches:
    """A message that asks for the task `{number}:settle-{block}`."""
    return SettlePatches(
        run=run, nuts=nuts, year=2021, round=number, recipe="r", composite="best", block=block,
        patches=(PatchWork(name="0_0_0_0"),),
    )  # fmt: skip


def label(run: str, block: int = 0, nuts: str = "FR101") -> FetchLabels:
    """A message that asks for the labels of a block."""
    return FetchLabels(
        run=run, nuts=nuts, year=2021, round=1, label_year=2021, block=block, patches=("0_0_0_0",)
    )


def open_round(ledger, run, number, blocks):
    """Open a round of so many tasks."""
    return ledger.open_round(REGION, run, number, [cut(run, block, number) for block in range(blocks)])


def request(**fields: object) -> RegionRequest:
    return RegionRequest(
        **{"nuts": "FR101", "year": 2021, "start": date(2021, 5, 1), "end": date(2021, 9, 30)} | fields
    )


@pytest.fixture
def ledger(redis_client: redis.Redis, redis_url: str) -> Ledger:
    """A ledger as the workers have it, on an empty Redis."""
    return open_ledger(Settings(_env_file=None, LANDPATCH_REDIS_URL=redis_url))


def race(action, items):
    """Call the action with every item, from threads that start together."""
    barrier = Barrier(THREADS)
    shares = [items[n::THREADS] for n in range(THREADS)]

    def take(share):
        barrier.wait(LONG_S)
        return [action(item) for item in share]

    with ThreadPoolExecutor(THREADS) as pool:
        return [answer for answers in pool.map(take, shares) for answer in answers]


# runs


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


# rounds


def test_a_round_is_opened_once_and_its_messages_are_there_until_they_are_claimed(ledger):
    run, _ = ledger.start(request())
    assert open_round(ledger, run, 1, 2)
    assert not open_round(ledger, run, 1, 2)
    assert ledger.claim(REGION, run, "images", 60) == [cut(run, 0), cut(run, 1)]
    assert ledger.claim(REGION, run, "images", 60) == []


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


# tasks in hand


def test_a_task_in_hand_is_nobody_elses_until_its_lease_runs_out(ledger, redis_client):
    run, _ = ledger.start(request())
    open_round(ledger, run, 1, 1)
    ledger.claim(REGION, run, "images", 60)
    assert ledger.begin(cut(run), "me", 60) == 1
    assert ledger.holder(REGION, "images", cut(run).task) == "me"
    assert ledger.begin(cut(run), "another", 60) == 0
    assert ledger.renew(cut(run), "me", 0)
    assert ledger.holder(REGION, "images", cut(run).task) == ""
    assert ledger.begin(cut(run), "another", 60) == 2
    assert not ledger.renew(cut(run), "me", 60)
    assert ledger.holder(REGION, "images", cut(run).task) == "another"


def test_tasks_in_hand_are_named_and_so_are_their_patches(ledger):
    run, _ = ledger.start(request())
    open_round(ledger, run, 1, 4)
    assert ledger.in_hand(REGION, "images") == []
    assert ledger.begin(cut(run, 0), "a", 60)
    assert ledger.begin(cut(run, 1), "b", 0), "its lease is over at once"
    assert ledger.begin(cut(run, 2), "c", 60)
    ledger.postpone(cut(run, 2), "c", 60)
    assert ledger.in_hand(REGION, "images") == ["1:settle-0"]
    assert ledger.patches_of(REGION, "images", ["1:settle-0", "never"]) == {"1:settle-0": ["0_0_0_0"]}
    assert ledger.patches_of(REGION, "images", []) == {}
    assert ledger.in_hand("LU000/2021", "images") == []


def test_a_message_that_is_delivered_again_takes_its_own_task_again_and_that_counts(ledger):
    run, _ = ledger.start(request())
    open_round(ledger, run, 1, 1)
    assert [ledger.begin(cut(run), "me", 60) for _ in range(3)] == [1, 2, 3]


def test_of_many_who_take_a_task_at_once_one_has_it(ledger):
    run, _ = ledger.start(request())
    open_round(ledger, run, 1, 1)
    attempts = race(lambda owner: ledger.begin(cut(run), str(owner), 60), list(range(4 * THREADS)))
    assert sorted(attempts) == [0] * (4 * THREADS - 1) + [1]


def test_a_task_that_is_done_cannot_be_taken(ledger):
    run, _ = ledger.start(request())
    open_round(ledger, run, 1, 1)
    ledger.begin(cut(run), "me", 60)
    ledger.finish(cut(run), Work())
    assert ledger.begin(cut(run), "me", 60) == 0


def test_a_task_that_is_put_off_is_due_after_the_pause_and_may_be_forgiven(ledger):
    run, _ = ledger.start(request())
    ledger.claim(REGION, run, "control", 60)
    open_round(ledger, run, 1, 1)
    ledger.begin(cut(run), "me", 60)
    assert not ledger.postpone(cut(run), "another", 0)
    assert ledger.postpone(cut(run), "me", 60, forgive=0.875)
    assert ledger.overdue() == []
    assert ledger.begin(cut(run), "next", 60) == 1.125
    assert ledger.postpone(cut(run), "next", 0)
    assert ledger.overdue() == [Overdue(REGION, run, "images", cut(run).task)]


def test_what_is_overdue_is_claimed_by_one_and_loses_its_holder(ledger):
    run, _ = ledger.start(request())
    ledger.claim(REGION, run, "control", 60)
    open_round(ledger, run, 1, 2)
    ledger.claim(REGION, run, "images", 60)
    assert ledger.overdue() == []
    ledger.begin(cut(run, 1), "me", 0)
    (late,) = ledger.overdue()
    assert late == Overdue(REGION, run, "images", "1:settle-1")
    claims = race(lambda _: ledger.claim(REGION, run, "images", 60, late.task), list(range(4 * THREADS)))
    assert [claim for claim in claims if claim] == [[cut(run, 1)]]
    assert ledger.overdue() == []
    assert ledger.begin(cut(run, 1), "another", 60) == 2


def test_a_task_whose_message_still_waits_is_looked_at_later_unless_it_has_been_taken(ledger):
    run, _ = ledger.start(request())
    ledger.claim(REGION, run, "control", 60)
    open_round(ledger, run, 1, 2)
    late = ledger.overdue()
    ledger.begin(cut(run, 1), "me", 0)
    for task in late:
        ledger.wait_on(task, 60)
    assert ledger.overdue() == [Overdue(REGION, run, "images", "1:settle-1")]


# the end of tasks


def advance(ledger, run):
    """The messages that ask for the next step of the region."""
    return [found for found in ledger.claim(REGION, run, "control", 60) if found.task != "plan"]


def test_of_tasks_that_end_in_a_race_exactly_one_was_the_last_and_asks_for_the_next_step(ledger):
    run, _ = ledger.start(request())
    blocks = list(range(40 * THREADS))
    open_round(ledger, run, 1, len(blocks))
    told = race(lambda block: ledger.finish(cut(run, block), Work()), blocks)
    assert sum(told) == 1
    assert ledger.pending(REGION, "images") == 0
    assert advance(ledger, run) == [AdvanceRegion(run=run, nuts="FR101", year=2021, round=1)]


def test_with_everything_delivered_twice_in_a_race_the_end_comes_once_and_never_too_early(ledger):
    run, _ = ledger.start(request())
    blocks = list(range(10 * THREADS))
    open_round(ledger, run, 1, len(blocks) + 1)
    assert not any(race(lambda block: ledger.finish(cut(run, block), Work()), blocks * 2))
    assert ledger.finish(cut(run, len(blocks)), Work())
    assert not ledger.finish(cut(run, len(blocks)), Work())


def test_labels_that_end_last_ask_for_the_next_step_too(ledger):
    run, _ = ledger.start(request())
    ledger.add_labels(REGION, run, [label(run, 0), label(run, 1)])
    open_round(ledger, run, 1, 1)
    assert not ledger.finish(label(run, 0), Work())
    assert ledger.finish(cut(run), Work())
    assert [found.after for found in advance(ledger, run)] == ["images"]
    assert ledger.finish(label(run, 1), Work())
    assert [found.after for found in advance(ledger, run)] == ["labels"]


def test_labels_that_end_before_the_images_ask_for_nothing(ledger):
    run, _ = ledger.start(request())
    ledger.add_labels(REGION, run, [label(run)])
    open_round(ledger, run, 1, 1)
    assert not ledger.finish(label(run), Work())
    assert ledger.finish(cut(run), Work())


def test_a_plan_with_nothing_to_do_asks_for_the_next_step_and_one_with_tasks_does_not(ledger):
    run, _ = ledger.start(request())
    plan = PlanRegion(run=run, request=request())
    open_round(ledger, run, 1, 0)
    assert ledger.finish(plan)
    other, _ = ledger.start(request(nuts="LU000"))
    ledger.open_round("LU000/2021", other, 1, [cut(other, nuts="LU000")])
    assert not ledger.finish(PlanRegion(run=other, request=request(nuts="LU000")))


def test_the_end_of_a_task_records_what_came_out_in_the_same_step(ledger):
    run, _ = ledger.start(request())
    open_round(ledger, run, 1, 1)
    outcomes = {f"{2500 * n}_0_0_{n}": Outcome("complete") for n in range(5000)}
    assert ledger.finish(cut(run), Work(), outcomes)
    assert ledger.outcomes(REGION, "images") == outcomes


def test_the_work_of_a_task_counts_once_however_often_it_is_delivered(ledger):
    run, _ = ledger.start(request())
    open_round(ledger, run, 1, 2)
    ledger.add_labels(REGION, run, [label(run)])
    work = Work(bytes_downloaded=700, requests=14, product="S2A", failure="B4 broken")
    ledger.finish(cut(run), work)
    ledger.finish(cut(run), Work(1, 1))
    ledger.finish(label(run), Work(requests=1))
    assert ledger.work(REGION) == {"images:1:settle-0": work, "labels:0": Work(requests=1)}


def test_the_index_is_asked_for_once_and_only_when_all_is_over(ledger):
    run, _ = ledger.start(request())
    assert not ledger.begin_index(run, request())
    ledger.add_labels(REGION, run, [label(run)])
    open_round(ledger, run, 1, 1)
    ledger.finish(cut(run), Work())
    assert not ledger.begin_index(run, request())
    ledger.finish(label(run), Work())
    assert not ledger.begin_index("another", request())
    assert sum(race(lambda _: ledger.begin_index(run, request()), list(range(4 * THREADS)))) == 1
    asked = [found for found in advance(ledger, run) if isinstance(found, WriteIndex)]
    assert asked == [WriteIndex(run=run, request=request())]
    assert not open_round(ledger, run, 2, 1)


# dead letters


def test_what_is_given_up_is_remembered_when_the_run_is_over(ledger):
    run, _ = ledger.start(request())
    letter = DeadLetter("B4 is broken: “é”", 5, "S2A", 28)
    ledger.bury(cut(run), letter)
    ledger.bury(cut(run), letter)
    assert ledger.progress(REGION).dead_letters == 1
    ledger.close(REGION, run, "{}")
    assert ledger.dead_letters(REGION) == {"images:1:settle-0": letter}


def test_of_messages_that_cannot_be_read_the_last_are_remembered(ledger):
    for number in range(1005):
        ledger.refuse("images.cut_scene", f"reason {number}" + "x" * 5000)
    refused = ledger.refused()
    assert len(refused) == 1000
    assert refused[0].startswith("images.cut_scene: reason 1004x")
    assert max(map(len, refused)) <= 2000


# patches


def test_messages_that_cannot_be_read_are_counted(ledger):
    assert ledger.count_refused() == 0
    for _ in range(3):
        ledger.refuse("task", "no message")
    assert ledger.count_refused() == 3


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


# a Redis that cannot be used


def test_without_a_redis_the_user_is_told_what_to_set():
    with pytest.raises(ConfigurationError, match="LANDPATCH_REDIS_URL") as refused:
        open_ledger(Settings(_env_file=None, LANDPATCH_REDIS_URL=None))
    assert str(refused.value) == NO_REDIS


def test_an_address_that_is_not_of_a_redis_is_a_wrong_setting_and_is_not_repeated():
    with pytest.raises(ConfigurationError, match="not a redis:// URL") as refused:
        open_ledger(Settings(_env_file=None, LANDPATCH_REDIS_URL=f"http://:{REDIS_PASSWORD}@127.0.0.1"))
    assert REDIS_PASSWORD not in str(refused.value)


def test_a_redis_that_can_be_used_passes_the_check(ledger):
    ledger.check()


@pytest.mark.parametrize("password", ["wr0ng-password", ""])
def test_a_wrong_password_is_a_wrong_setting_and_is_not_repeated(redis_url, password):
    url = redis_url.replace(REDIS_PASSWORD, password)
    with pytest.raises(ConfigurationError, match="refuses the password in LANDPATCH_REDIS_URL") as refused:
        open_ledger(Settings(_env_file=None, LANDPATCH_REDIS_URL=url)).check()
    assert "wr0ng" not in str(refused.value)


@pytest.mark.parametrize(
    "use",
    [
        Ledger.check,
        lambda ledger: ledger.start(request()),
        lambda ledger: ledger.facts(REGION),
        lambda ledger: ledger.finish(cut("r"), Work()),
        lambda ledger: ledger.progress(REGION),
    ],
    ids=["check", "start", "facts", "finish", "progress"],
)
def test_a_redis_that_cannot_be_reached_is_a_matter_of_the_infrastructure(silent_port, use):
    url = f"redis://:{REDIS_PASSWORD}@127.0.0.1:{silent_port}/0"
    with pytest.raises(InfrastructureError, match="cannot be reached") as unreached:
        use(open_ledger(Settings(_env_file=None, LANDPATCH_REDIS_URL=url)))
    assert REDIS_PASSWORD not in str(unreached.value)


def test_a_redis_without_memory_is_a_matter_of_the_infrastructure(ledger, redis_client):
    run, _ = ledger.start(request())
    redis_client.config_set("maxmemory", 1)
    try:
        with pytest.raises(InfrastructureError, match="has no memory left"):
            open_round(ledger, run, 1, 1)
        with pytest.raises(InfrastructureError, match="has no memory left"):
            ledger.refuse("a task", "a reason")
    finally:
        redis_client.config_set("maxmemory", 0)


@pytest.mark.parametrize("name", ["3757500_2887500_0_20", "0_0_0_0", "12345_0_0_1", "-2500_0_0_1", "p"])
def test_a_patch_keeps_its_name(ledger, name):
    run, _ = ledger.start(request())
    ledger.record(REGION, run, "images", {name: Outcome("missing", "a reason. with_all")})
    ledger.keep_observation(REGION, run, name, "scene")
    assert ledger.outcomes(REGION, "images") == {name: Outcome("missing", "a reason. with_all")}
    assert ledger.kept_observations(REGION) == {(name, "scene")}


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
