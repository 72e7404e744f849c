"""The ledger on a real Redis: every step atomic, and the same when it is taken twice."""

from concurrent.futures import ThreadPoolExecutor
from datetime import date
from threading import Barrier

import pytest
import redis

from landpatch.errors import ConfigurationError, InfrastructureError
from landpatch.ledger import NO_REDIS, Ledger, Outcome, Work, open_ledger
from landpatch.messages import AdvanceRegion, RegionRequest
from landpatch.settings import Settings
from tests.contract.conftest import REDIS_PASSWORD

pytestmark = pytest.mark.stack

REGION = "FR101/2021"
THREADS = 8


def open_round(ledger, run, number, tasks):
    """Open a round whose messages say which task they are of."""
    return ledger.open_round(REGION, run, number, {task: f"message of {task}" for task in tasks}, {})


def request(**fields: object) -> RegionRequest:
    return RegionRequest(
        **{"nuts": "FR101", "year": 2021, "start": date(2021, 5, 1), "end": date(2021, 9, 30)} | fields
    )


def message(run: str, nuts: str = "FR101") -> AdvanceRegion:
    return AdvanceRegion(run=run, nuts=nuts, year=2021, round=1)


@pytest.fixture
def ledger(redis_client: redis.Redis, redis_url: str) -> Ledger:
    """A ledger as the workers have it, on an empty Redis."""
    return open_ledger(Settings(_env_file=None, LANDPATCH_REDIS_URL=redis_url))


def race(action, items):
    """Call the action with every item, from threads that start together."""
    barrier = Barrier(THREADS)
    shares = [items[n::THREADS] for n in range(THREADS)]

    def take(share):
        barrier.wait(10)
        return [action(item) for item in share]

    with ThreadPoolExecutor(THREADS) as pool:
        return [answer for answers in pool.map(take, shares) for answer in answers]


# runs


def test_a_run_begins_and_a_second_request_for_it_joins_it(ledger):
    run, asked = ledger.start(request())
    assert asked == request()
    assert ledger.start(request()) == (run, request())
    assert ledger.facts(REGION)["state"] == "queued"


def test_who_asks_with_other_options_is_told_what_the_run_under_way_was_asked_for(ledger):
    run, _ = ledger.start(request(max_cloud=30))
    assert ledger.start(request(max_cloud=5)) == (run, request(max_cloud=30))


def test_of_many_who_ask_at_once_one_begins_and_all_get_its_run(ledger):
    options = [request(max_cloud=number) for number in range(4 * THREADS)]
    answers = race(ledger.start, options)
    assert len(set(answers)) == 1
    assert answers[0][1] in options


@pytest.mark.parametrize("state", ["done", "failed"])
def test_a_run_that_is_over_gives_way_to_a_new_one_of_which_nothing_old_is_known(ledger, state):
    old, _ = ledger.start(request())
    open_round(ledger, old, 1, ["1:a"])
    ledger.add_labels(REGION, {"0": "message of 0"})
    ledger.record(REGION, "images", {"p": Outcome("failed", "broken")})
    ledger.record(REGION, "labels", {"p": Outcome("complete")})
    ledger.keep_observation(REGION, "p", "scene")
    ledger.keep_scenes(REGION, "[]")
    ledger.finish(message(old), "images", "1:a", Work(5, 1))
    ledger.note(REGION, state=state, message="x", patches=3)
    new, asked = ledger.start(request(max_cloud=5))
    assert new != old
    assert asked == request(max_cloud=5)
    assert set(ledger.facts(REGION)) == {"run", "request", "state", "round"}
    assert (ledger.facts(REGION)["state"], ledger.facts(REGION)["round"]) == ("queued", "0")
    assert ledger.outcomes(REGION, "images") == ledger.outcomes(REGION, "labels") == {}
    assert ledger.tried(REGION) == ledger.work(REGION) == {}
    assert ledger.kept_observations(REGION) == set()
    assert ledger.scenes(REGION) == ""
    assert ledger.pending(REGION, "images") == ledger.pending(REGION, "labels") == 0
    assert ledger.is_current(message(new))
    assert not ledger.is_current(message(old))


def test_regions_and_years_do_not_know_of_each_other(ledger):
    one, _ = ledger.start(request())
    other, _ = ledger.start(request(nuts="LU000"))
    open_round(ledger, one, 1, ["1:a"])
    assert one != other
    assert ledger.pending("LU000/2021", "images") == 0
    assert not ledger.is_current(message(one, "LU000"))
    assert ledger.regions() == ["FR101/2021", "LU000/2021"]


# rounds


def test_a_round_is_opened_once_and_its_messages_wait_until_they_are_sent(ledger):
    run, _ = ledger.start(request())
    assert open_round(ledger, run, 1, ["1:a", "1:b"])
    assert not open_round(ledger, run, 1, ["1:a", "1:b"])
    assert ledger.outbox(REGION) == {"images:1:a": "message of 1:a", "images:1:b": "message of 1:b"}
    ledger.mark_sent(REGION, "images:1:a")
    assert ledger.outbox(REGION) == {"images:1:b": "message of 1:b"}


def test_a_round_that_is_opened_again_does_not_make_what_is_done_pending(ledger):
    run, _ = ledger.start(request())
    open_round(ledger, run, 1, ["1:a", "1:b"])
    ledger.finish(message(run), "images", "1:a", Work())
    assert not open_round(ledger, run, 1, ["1:a", "1:b"])
    assert not ledger.is_pending(REGION, "images", "1:a")
    assert ledger.is_pending(REGION, "images", "1:b")


def test_a_round_notes_which_scenes_its_patches_are_sent_to(ledger):
    run, _ = ledger.start(request())
    ledger.open_round(REGION, run, 1, {}, {"p": ["b", "a"], "q": []})
    ledger.open_round(REGION, "an older run", 2, {}, {"p": ["c"]})
    assert ledger.tried(REGION) == {"p": ["b", "a"], "q": []}


@pytest.mark.parametrize("number", [2, 3])
def test_a_round_is_opened_only_after_the_one_before_it(ledger, number):
    run, _ = ledger.start(request())
    assert not open_round(ledger, run, number, ["x"])
    assert ledger.pending(REGION, "images") == 0
    open_round(ledger, run, 1, ["1:a"])
    assert open_round(ledger, run, 2, ["2:a"])
    assert not open_round(ledger, run, 1, ["1:a"])
    assert ledger.progress(REGION).round == 2


def test_a_round_of_an_older_run_is_not_opened(ledger):
    old, _ = ledger.start(request())
    ledger.note(REGION, state="done")
    ledger.start(request())
    assert not open_round(ledger, old, 1, ["1:a"])
    assert ledger.pending(REGION, "images") == 0
    assert ledger.progress(REGION).round == 0


def test_a_round_without_tasks_is_opened(ledger):
    run, _ = ledger.start(request())
    assert open_round(ledger, run, 1, [])
    assert ledger.pending(REGION, "images") == 0


def test_a_round_may_have_thousands_of_tasks(ledger):
    run, _ = ledger.start(request())
    assert open_round(ledger, run, 1, [f"1:{number}" for number in range(5000)])
    assert ledger.pending(REGION, "images") == 5000


def test_many_who_open_a_round_at_once_open_it_once(ledger):
    run, _ = ledger.start(request())
    race(lambda _: open_round(ledger, run, 1, ["1:a", "1:b"]), list(range(4 * THREADS)))
    assert ledger.pending(REGION, "images") == 2
    assert ledger.progress(REGION).products_total == 2


# the end of tasks


def test_of_tasks_that_end_in_a_race_exactly_one_is_told_that_it_was_the_last(ledger):
    run, _ = ledger.start(request())
    tasks = [f"1:{number}" for number in range(40 * THREADS)]
    open_round(ledger, run, 1, tasks)
    told = race(lambda task: ledger.finish(message(run), "images", task, Work()), tasks)
    assert sum(told) == 1
    assert ledger.pending(REGION, "images") == 0


def test_a_task_that_ends_twice_before_the_others_is_not_told_that_it_was_the_last(ledger):
    run, _ = ledger.start(request())
    open_round(ledger, run, 1, ["1:a", "1:b"])
    assert not ledger.finish(message(run), "images", "1:a", Work())
    assert not ledger.finish(message(run), "images", "1:a", Work())
    assert ledger.finish(message(run), "images", "1:b", Work())


def test_the_last_that_is_delivered_again_is_told_again_since_its_word_may_not_have_got_out(ledger):
    run, _ = ledger.start(request())
    open_round(ledger, run, 1, ["1:a"])
    assert ledger.finish(message(run), "images", "1:a", Work())
    assert ledger.finish(message(run), "images", "1:a", Work())


def test_with_everything_delivered_twice_in_a_race_the_end_is_told_and_never_too_early(ledger):
    run, _ = ledger.start(request())
    tasks = [f"1:{number}" for number in range(10 * THREADS)]
    open_round(ledger, run, 1, [*tasks, "1:slow"])
    assert not any(race(lambda task: ledger.finish(message(run), "images", task, Work()), tasks * 2))
    assert ledger.finish(message(run), "images", "1:slow", Work())


def test_images_and_labels_end_apart(ledger):
    run, _ = ledger.start(request())
    open_round(ledger, run, 1, ["0"])
    ledger.add_labels(REGION, {"0": "message of 0", "1": "message of 1"})
    ledger.add_labels(REGION, {"1": "message of 1"})
    assert ledger.finish(message(run), "images", "0", Work())
    assert not ledger.finish(message(run), "labels", "0", Work())
    assert ledger.finish(message(run), "labels", "1", Work())


def test_a_task_of_an_older_run_ends_nothing(ledger):
    old, _ = ledger.start(request())
    ledger.note(REGION, state="failed")
    new, _ = ledger.start(request())
    open_round(ledger, new, 1, ["1:a"])
    assert not ledger.finish(message(old), "images", "1:a", Work())
    assert ledger.is_pending(REGION, "images", "1:a")


def test_the_work_of_an_older_run_is_not_counted_in_the_new_one(ledger):
    old, _ = ledger.start(request())
    ledger.note(REGION, state="failed")
    ledger.start(request())
    ledger.finish(message(old), "images", "1:a", Work(bytes_downloaded=10**9, requests=14))
    assert ledger.work(REGION) == {}


def test_the_work_of_a_task_counts_once_however_often_it_is_delivered(ledger):
    run, _ = ledger.start(request())
    open_round(ledger, run, 1, ["1:a", "1:b"])
    work = Work(bytes_downloaded=700, requests=14, product="S2A", failure="B4 broken")
    for _ in range(2):
        ledger.finish(message(run), "images", "1:a", work)
    ledger.finish(message(run), "labels", "1:a", Work(requests=1))
    assert ledger.work(REGION) == {"images:1:a": work, "labels:1:a": Work(requests=1)}


# patches


def test_the_last_word_on_a_patch_counts(ledger):
    ledger.start(request())
    ledger.record(REGION, "images", {"p": Outcome("failed", "é: “broken”"), "q": Outcome("missing")})
    ledger.record(REGION, "images", {"p": Outcome("complete")})
    ledger.record(REGION, "images", {})
    assert ledger.outcomes(REGION, "images") == {"p": Outcome("complete"), "q": Outcome("missing")}
    assert ledger.outcomes(REGION, "labels") == {}


def test_scenes_and_observations_kept_are_remembered(ledger):
    ledger.start(request())
    ledger.keep_observation(REGION, "p", "b")
    ledger.keep_observation(REGION, "p", "b")
    ledger.keep_scenes(REGION, '["é"]')
    assert ledger.kept_observations(REGION) == {("p", "b")}
    assert ledger.scenes(REGION) == '["é"]'


def test_progress_counts(ledger):
    run, _ = ledger.start(request())
    ledger.note(REGION, patches=28, labels=28, message="asking the catalogue")
    open_round(ledger, run, 1, ["1:a", "1:b", "1:c"])
    ledger.finish(message(run), "images", "1:a", Work())
    ledger.record(REGION, "images", {"p": Outcome("complete"), "q": Outcome("partial")})
    ledger.record(REGION, "labels", {"p": Outcome("complete")})
    at = ledger.progress(REGION)
    assert (at.state, at.round, at.message) == ("cutting", 1, "asking the catalogue")
    assert (at.products_done, at.products_total) == (1, 3)
    assert (at.images_done, at.images_total) == (2, 28)
    assert (at.labels_done, at.labels_total) == (1, 28)


def test_progress_of_a_region_that_nobody_asked_for_is_absent(ledger):
    at = ledger.progress("LU000/2021")
    assert (at.state, at.round, at.products_total, at.images_done) == ("absent", 0, 0, 0)
    assert ledger.regions() == []


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
        lambda ledger: ledger.finish(message("r"), "images", "1:a", Work()),
        lambda ledger: ledger.progress(REGION),
    ],
    ids=["check", "start", "facts", "finish", "progress"],
)
def test_a_redis_that_cannot_be_reached_is_a_matter_of_the_infrastructure(silent_port, use):
    url = f"redis://:{REDIS_PASSWORD}@127.0.0.1:{silent_port}/0"
    with pytest.raises(InfrastructureError, match="cannot be reached") as unreached:
        use(open_ledger(Settings(_env_file=None, LANDPATCH_REDIS_URL=url)))
    assert REDIS_PASSWORD not in str(unreached.value)


@pytest.mark.parametrize("name", ["3757500_2887500_0_20", "0_0_0_0", "12345_0_0_1", "-2500_0_0_1", "p"])
def test_a_patch_keeps_its_name(ledger, name):
    run, _ = ledger.start(request())
    ledger.record(REGION, "images", {name: Outcome("missing", "a reason. with_all")})
    ledger.open_round(REGION, run, 1, {"1:a": "text"}, {name: ["scene"]})
    ledger.keep_observation(REGION, name, "scene")
    assert ledger.outcomes(REGION, "images") == {name: Outcome("missing", "a reason. with_all")}
    assert ledger.tried(REGION) == {name: ["scene"]}
    assert ledger.kept_observations(REGION) == {(name, "scene")}


def test_a_region_that_is_closed_keeps_its_sums_alone(ledger, redis_client):
    ledger.start(request())
    ledger.note(REGION, patches=2, labels=2)
    ledger.record(REGION, "images", {"p": Outcome("complete"), "q": Outcome("partial")})
    ledger.record(REGION, "labels", {"p": Outcome("complete")})
    ledger.keep_scenes(REGION, "[]")
    ledger.close(REGION, "{}")
    at = ledger.progress(REGION)
    assert (at.state, at.images_done, at.labels_done, at.images_total) == ("done", 2, 1, 2)
    assert len(redis_client.keys(f"*{REGION}*")) == 1


def test_a_region_that_is_done_is_never_indexing_again(ledger):
    run, _ = ledger.start(request())
    assert not ledger.begin_index(REGION, run)
    ledger.note(REGION, state="cutting")
    assert not ledger.begin_index(REGION, "another run")
    assert ledger.begin_index(REGION, run)
    assert ledger.begin_index(REGION, run)
    ledger.close(REGION, "{}")
    assert not ledger.begin_index(REGION, run)
    assert ledger.facts(REGION)["state"] == "done"


def test_no_round_is_opened_once_all_is_cut(ledger):
    run, _ = ledger.start(request())
    assert ledger.open_round(REGION, run, 1, {}, {})
    ledger.begin_index(REGION, run)
    assert not ledger.open_round(REGION, run, 2, {"2:a": "text"}, {})
    ledger.close(REGION, "{}")
    assert not ledger.open_round(REGION, run, 2, {"2:a": "text"}, {})
    assert ledger.progress(REGION).state == "done"
