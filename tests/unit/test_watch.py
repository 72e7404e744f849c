"""What the live page is told: states as digits, only what has changed, and rates."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from landpatch.records import Outcome, Progress
from landpatch.watch.pace import WINDOW_S, Tally
from landpatch.watch.sights import Reason, Row, Snapshot, View
from landpatch.watch.states import STATES, count_states, describe_change, mark_states
from landpatch.watch.telling import Told, tell

AT = Progress("cutting", 1, 4, 1, 28, 5, 28, 3, "", 0)


def digits(states):
    return "".join(str(STATES.index(state)) for state in states).encode()


def apply(before, change):
    """What the page makes of a change."""
    if change is None:
        return before
    if "all" in change:
        return change["all"].encode()
    text = list(before.decode())
    for digit, places in change["some"].items():
        for place in places:
            text[place] = digit
    return "".join(text).encode()


# states


def test_a_patch_is_what_has_become_of_it_else_in_hand_else_what_the_rest_is():
    names = {"a": 0, "b": 1, "c": 2, "d": 3, "e": 4}
    outcomes = {"b": Outcome("complete"), "c": Outcome("missing", "why"), "elsewhere": Outcome("failed")}
    marked = mark_states(names, outcomes, [1, 3], "queued")
    assert marked == digits(["queued", "complete", "missing", "cutting", "queued"])
    assert mark_states({}, {}, [], "queued") == b""


def test_a_state_that_nobody_knows_is_unknown():
    assert mark_states({"a": 0}, {"a": Outcome("<b>")}, [], "queued") == digits(["unknown"])


def test_states_are_counted_and_those_that_none_has_are_left_out():
    assert count_states(digits(["queued", "failed", "queued"])) == {"queued": 2, "failed": 1}


texts = st.integers(0, 300).flatmap(
    lambda size: st.tuples(*[st.text("0123456", min_size=size, max_size=size)] * 2)
)


@given(texts)
def test_a_change_turns_one_text_into_the_other(pair):
    before, after = (text.encode() for text in pair)
    change = describe_change(before, after)
    assert (change is None) == (before == after)
    assert apply(before, json.loads(json.dumps(change))) == after


def test_a_change_is_never_much_longer_than_the_text_and_short_where_little_has_changed():
    before = b"0" * 16_342
    few = before[:900] + b"2" * 8 + before[908:]
    assert len(json.dumps(describe_change(before, few))) < 100
    many = b"02" * 8171
    assert describe_change(before, many) == {"all": many.decode()}


def test_who_knows_nothing_or_another_map_is_told_all():
    assert describe_change(None, b"012") == {"all": "012"}
    assert describe_change(b"0120", b"012") == {"all": "012"}


# rates


def test_a_rate_is_that_of_the_last_minutes():
    tally = Tally()
    for second in range(600):
        tally.add(second, second * (1 if second < 300 else 3))
    pace = tally.pace(total=599 * 3 + 300)
    assert pace.per_s == pytest.approx(3)
    assert pace.eta_s == pytest.approx(100)


def test_what_stands_still_has_no_end_in_sight():
    tally = Tally()
    assert tally.pace(10).eta_s is None
    for second in range(int(3 * WINDOW_S)):
        tally.add(second, 5)
    assert (tally.pace(10).per_s, tally.pace(10).eta_s) == (0, None)


def test_what_is_full_has_nothing_left_to_wait_for():
    tally = Tally()
    tally.add(0, 0)
    tally.add(10, 10)
    assert tally.pace(10).eta_s is None


def test_a_count_that_has_fallen_begins_anew():
    tally = Tally()
    tally.add(0, 100)
    tally.add(1, 0)
    tally.add(2, 4)
    assert tally.pace(8).per_s == pytest.approx(4)


def test_seldom_looks_are_compared_all_the_same():
    tally = Tally()
    tally.add(0, 0)
    tally.add(10 * WINDOW_S, 60)
    assert tally.pace(120).per_s == pytest.approx(60 / (10 * WINDOW_S))


# news


def snapshot(number=1, images=b"0000", **other):
    view = View("FR101/2021", "run", "intersects", images, b"0000", other.pop("reasons", ()))
    rows = other.pop("rows", (Row("FR101/2021", AT), Row("LU000/2021", AT)))
    return Snapshot(number, rows=rows, views={"FR101/2021": view}, waiting={"images": 3}, **other)


def test_who_comes_is_told_all_of_what_it_wants_and_nothing_of_the_rest():
    message, _ = tell(snapshot(), ["FR101/2021", "BE100/2021"], Told())
    assert set(message["rows"]) == {"FR101/2021", "LU000/2021"}
    assert set(message["views"]) == {"FR101/2021"}
    assert message["views"]["FR101/2021"] == {
        "run": "run", "cover": "intersects", "images": {"all": "0000"}, "images_counts": {"queued": 4},
        "labels": {"all": "0000"}, "labels_counts": {"queued": 4}, "reasons": [], "letters": [], "fault": "",
    }  # fmt: skip
    assert message["waiting"] == {"images": 3}
    assert "views" not in tell(snapshot(), [], Told())[0]


def test_who_knows_it_all_is_told_nothing():
    _, told = tell(snapshot(), ["FR101/2021"], Told())
    assert tell(snapshot(2), ["FR101/2021"], told)[0] == {}


def test_only_what_has_changed_is_told():
    _, told = tell(snapshot(images=b"0" * 100), ["FR101/2021"], Told())
    reason = Reason("image", "failed", "why", 1, ("a",))
    message, told = tell(snapshot(2, b"0" * 99 + b"5", reasons=(reason,)), ["FR101/2021"], told)
    (view,) = message["views"].values()
    assert view["images"] == {"some": {"5": [99]}}
    assert view["images_counts"] == {"queued": 99, "failed": 1}
    assert view["reasons"][0]["reason"] == "why"
    assert set(view) == {"images", "images_counts", "reasons"}
    assert set(message) == {"views"}


def test_a_region_that_is_gone_is_told_and_so_is_a_fault():
    _, told = tell(snapshot(), [], Told())
    message, _ = tell(snapshot(2, rows=(Row("LU000/2021", AT),), fault="Redis is away"), [], told)
    assert message == {"fault": "Redis is away", "rows": {"FR101/2021": None}}


def test_another_run_is_told_from_the_beginning():
    _, told = tell(snapshot(), ["FR101/2021"], Told())
    again = Snapshot(2, views={"FR101/2021": View("FR101/2021", "other", "within", b"00")})
    message, _ = tell(again, ["FR101/2021"], told)
    (view,) = message["views"].values()
    assert (view["run"], view["cover"], view["images"]) == ("other", "within", {"all": "00"})


def test_news_are_json_and_hold_names_as_they_are():
    hostile = Reason("image", "failed", "</script><img src=x onerror=alert(1)>", 1, ())
    message, _ = tell(snapshot(reasons=(hostile,)), ["FR101/2021"], Told())
    assert json.loads(json.dumps(message))["views"]["FR101/2021"]["reasons"][0]["reason"] == hostile.reason
