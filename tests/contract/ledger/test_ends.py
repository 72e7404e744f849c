"""The end of tasks: recorded once, and exactly one was the last."""

import pytest

from landpatch.messages import AdvanceRegion, PlanRegion, WriteIndex
from landpatch.records import DeadLetter, Outcome, Work
from tests.contract.ledger.asked import REGION, THREADS, cut, label, open_round, race, request

pytestmark = pytest.mark.stack


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


def test_messages_that_cannot_be_read_are_counted(ledger):
    assert ledger.count_refused() == 0
    for _ in range(3):
        ledger.refuse("task", "no message")
    assert ledger.count_refused() == 3
