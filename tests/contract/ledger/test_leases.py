"""A task in hand is one worker's, until its lease runs out."""

import pytest

from landpatch.ledger import Overdue
from landpatch.records import Work
from tests.contract.ledger.asked import REGION, THREADS, cut, open_round, race, request

pytestmark = pytest.mark.stack


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
