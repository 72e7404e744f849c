"""The rule that workers come and go by, against what Kubernetes and KEDA say of theirs."""

from dataclasses import replace
from itertools import pairwise

import pytest

from benchmarks.autoscaler import SYNC_S, Direction, Entry, History, Policy, Rule, poll, sync

FREELY = Direction(0, (Policy("Percent", 1000, 15), Policy("Pods", 1000, 15)))
RULE = Rule(
    least=0, most=100, target=2, activation=0, polling_s=15, cooldown_s=300, up=FREELY,
    down=Direction(0, (Policy("Percent", 100, 15),)),
)  # fmt: skip


def sizes(rule: Rule, begin: int, metric: float, times: list[float]) -> list[int]:
    """How many workers there are after each look of the autoscaler, with the same metric all the time."""
    history, found = History(replicas=begin, active_at=0), []
    for now in times:
        history = sync(rule, history, now, metric)
        found.append(history.replicas)
    return found


@pytest.mark.parametrize(
    ("current", "metric", "expected"),
    [
        # desiredReplicas = ceil(metric / target)
        (1, 10, 5),
        (1, 9, 5),
        (5, 4, 2),
        (5, 5, 3),
        (4, 8, 4),
        # Within a tenth of the target nothing changes.
        (10, 21, 10),
        (10, 23, 12),
        (10, 19, 10),
        (10, 17, 9),
        # Never more than there may be, and the last one is not the autoscaler's to take.
        (50, 1000, 100),
        (3, 0, 1),
    ],
)
def test_there_are_as_many_as_the_metric_asks_for(current, metric, expected):
    assert sizes(RULE, current, metric, [1000]) == [expected]


def test_by_default_the_way_up_from_one_is_five_ten_twenty():
    """scaleUp's default: 100 % or 4 pods in 15 s, whichever is more (kubernetes.io, default behavior)."""
    up = Direction(0, (Policy("Percent", 100, 15), Policy("Pods", 4, 15)))
    assert sizes(replace(RULE, up=up), 1, 200, [0, 15, 30, 45, 60, 75]) == [5, 10, 20, 40, 80, 100]


def test_the_example_of_the_manual_goes_down_by_a_tenth_and_then_by_four():
    """From 80 to 10 by 4 pods or 10 % a minute: 8, then 8 (7.2 rounded up), and 4 once there are 40."""
    down = Direction(0, (Policy("Pods", 4, 60), Policy("Percent", 10, 60)))
    found = [80, *sizes(replace(RULE, down=down), 80, 20, [60.0 * minute for minute in range(1, 17)])]
    assert found[:3] == [80, 72, 64]
    steps = [before - after for before, after in pairwise(found)]
    assert [step for before, step in zip(found, steps, strict=False) if before > 40] == [8, 8, 7, 6, 6, 5]
    assert {step for before, step in zip(found, steps, strict=False) if 14 <= before <= 40} == {4}
    assert found[-1] == 10


def test_with_the_policy_that_allows_least_fewer_go():
    down = Direction(0, (Policy("Pods", 5, 60), Policy("Percent", 10, 60)), select="Min")
    assert sizes(replace(RULE, down=down), 80, 20, [60, 120]) == [75, 70]
    up = Direction(0, (Policy("Pods", 5, 60), Policy("Percent", 50, 60)), select="Min")
    assert sizes(replace(RULE, up=up), 4, 200, [60, 121]) == [6, 9]


def test_a_direction_that_is_disabled_is_not_taken():
    assert sizes(replace(RULE, down=replace(RULE.down, select="Disabled")), 8, 2, [60, 600]) == [8, 8]
    assert sizes(replace(RULE, up=replace(RULE.up, select="Disabled")), 1, 20, [60, 600]) == [1, 1]


def test_no_more_come_in_a_period_than_its_policy_says():
    """4 pods in 30 s, looked at every 15 s."""
    up = Direction(0, (Policy("Pods", 4, 30),))
    assert sizes(replace(RULE, up=up), 1, 200, [0, 15, 30, 45, 60]) == [5, 5, 9, 9, 13]


def test_what_went_within_the_period_may_come_back_at_once():
    """Policies count from how many there were when their period began."""
    rule = replace(
        RULE, up=Direction(0, (Policy("Pods", 1, 60),)), down=Direction(0, (Policy("Percent", 100, 15),))
    )
    history = sync(rule, History(replicas=8, active_at=0), 0, 8)
    assert history.replicas == 4
    assert sync(rule, history, 15, 200).replicas == 9


def test_the_way_down_waits_until_nothing_in_its_window_has_wanted_more():
    rule = replace(RULE, down=replace(RULE.down, window_s=300))
    history = History(replicas=1, active_at=0)
    found = {}
    for look in range(60):
        now = look * SYNC_S
        history = sync(rule, history, now, 16 if now < 60 or now == 150 else 4)
        found[now] = history.replicas
    assert {found[now] for now in found if now <= 435} == {8}
    assert {found[now] for now in found if now >= 450} == {2}


def test_the_way_up_waits_as_long_as_its_window_says():
    rule = replace(RULE, up=replace(RULE.up, window_s=60))
    found = sizes(rule, 1, 16, [0, 15, 30, 45, 60, 75])
    assert found == [1, 1, 1, 1, 8, 8]


def test_one_that_is_gone_is_not_called_back_by_what_was_wanted_before():
    """The window of the way down keeps what is there; it brings nobody."""
    rule = replace(RULE, down=replace(RULE.down, window_s=300))
    history = History(replicas=2, active_at=0, wanted=(Entry(0, 8),))
    assert sync(rule, history, 15, 4).replicas == 2


# KEDA


def test_the_first_comes_when_there_is_work_and_the_autoscaler_brings_none():
    idle = History()
    assert sync(RULE, idle, 0, 50).replicas == 0
    assert poll(RULE, idle, 0, 0).replicas == 0
    assert poll(RULE, idle, 0, 50) == History(replicas=1, active_at=0)
    assert poll(replace(RULE, least=3), idle, 0, 50).replicas == 3


def test_only_above_its_threshold_there_is_work():
    rule = replace(RULE, activation=5)
    assert poll(rule, History(), 0, 5).replicas == 0
    assert poll(rule, History(), 0, 6).replicas == 1


def test_all_go_when_there_has_been_no_work_for_the_time_of_the_cooldown():
    history = poll(RULE, History(replicas=8), 100, 1)
    for now in range(115, 401, 15):
        history = poll(RULE, history, now, 0)
        assert history.replicas == 8
    assert poll(RULE, history, 400, 0).replicas == 8
    assert poll(RULE, history, 401, 0).replicas == 0


def test_work_in_the_cooldown_begins_it_anew():
    history = poll(RULE, History(replicas=8), 0, 1)
    history = poll(RULE, history, 299, 1)
    assert poll(RULE, history, 310, 0).replicas == 8
    assert poll(RULE, history, 600, 0).replicas == 0


def test_with_a_least_number_they_do_not_go_below_it():
    rule = replace(RULE, least=2)
    assert poll(rule, History(replicas=5, active_at=0), 1000, 0).replicas == 5
    assert poll(rule, History(replicas=0, active_at=0), 1000, 0).replicas == 2
    assert sizes(rule, 5, 0, [1000]) == [2]


@pytest.mark.parametrize("replicas", [0, 1, 8])
def test_while_the_metric_cannot_be_had_nobody_comes_or_goes(replicas):
    history = History(replicas=replicas, active_at=0)
    assert poll(RULE, history, 10_000, None).replicas == replicas
    assert sync(RULE, history, 10_000, None).replicas == replicas
