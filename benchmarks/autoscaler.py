"""How many workers there should be: the rules of KEDA and of the HorizontalPodAutoscaler of Kubernetes. Pure.

Two loops that do not know of each other set the number of replicas. KEDA's (`poll`) brings the first when
there is work and takes the last away when there has been none for a while; the autoscaler's (`sync`) sets
everything in between. Times are seconds on whatever clock.

Sources: keda.sh, "Scaling Deployments, StatefulSets & Custom Resources" and "ScaledObject specification", and
pkg/scaling/executor/scale_scaledobjects.go; kubernetes.io, "Horizontal Pod Autoscaling" (algorithm details,
configurable scaling behavior), and pkg/controller/podautoscaler/{horizontal,replica_calculator}.go.
"""

import math
from dataclasses import dataclass, field, replace
from typing import Literal

SYNC_S = 15.0
"""How often the autoscaler looks: kube-controller-manager's default, which a ScaledObject cannot change."""
TOLERANCE = 0.1
"""By which share the metric may be off its target without effect; the default as well."""


@dataclass(frozen=True, slots=True)
class Policy:
    """How much may change in a period."""

    kind: Literal["Pods", "Percent"]
    value: int
    period_s: float


@dataclass(frozen=True, slots=True)
class Direction:
    """What holds for going up, or for going down."""

    window_s: float
    """How far back what was wanted counts: the least of it on the way up, the most on the way down."""
    policies: tuple[Policy, ...]
    select: Literal["Max", "Min", "Disabled"] = "Max"
    """Which policy holds where there are several: that which allows most, or least."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What a ScaledObject says."""

    least: int
    most: int
    target: float
    """Of the metric, for each worker."""
    activation: float
    """Above it there is work."""
    polling_s: float
    cooldown_s: float
    up: Direction
    down: Direction


@dataclass(frozen=True, slots=True)
class Entry:
    """A number at a time."""

    at: float
    number: int


@dataclass(frozen=True, slots=True)
class History:
    """How many workers there are to be, and what of the past counts for what comes next."""

    replicas: int = 0
    active_at: float | None = None
    """When KEDA last saw work."""
    wanted: tuple[Entry, ...] = field(default=())
    """What the autoscaler would have had from the metric alone."""
    changes: tuple[Entry, ...] = field(default=())
    """What the autoscaler has changed, with its sign."""


def poll(rule: Rule, history: History, now: float, metric: float | None) -> History:
    """KEDA's loop. metric: None when it cannot be had; then nobody comes or goes."""
    if metric is None:
        return history
    if metric > rule.activation:
        return replace(history, replicas=history.replicas or max(rule.least, 1), active_at=now)
    if history.replicas and rule.least == 0:
        since = history.active_at
        over = since is None or since + rule.cooldown_s < now
        return replace(history, replicas=0) if over else history
    return replace(history, replicas=max(history.replicas, rule.least))


def sync(rule: Rule, history: History, now: float, metric: float | None) -> History:
    """The autoscaler's loop, which leaves alone what has no replicas.

    metric: of all workers together; None when it cannot be had. Then nothing changes, and later the fallback
    of the ScaledObjects (what there is, and at least one) comes to the same.
    """
    current, least = history.replicas, max(rule.least, 1)
    wanted = history.wanted or (Entry(now, current),)
    if current == 0 or metric is None:
        return replace(history, wanted=wanted)
    if not least <= current <= rule.most:
        return _change(rule, replace(history, wanted=wanted), now, min(max(current, least), rule.most))
    proposed = _propose(rule, current, metric)
    steady = _stabilise(rule, wanted, now, current, proposed)
    kept = _recent(wanted, now, max(rule.up.window_s, rule.down.window_s))
    history = replace(history, wanted=(*kept, Entry(now, proposed)))
    return _change(rule, history, now, _limit(rule, history, now, steady))


def _propose(rule: Rule, current: int, metric: float) -> int:
    """As many as the metric asks for (`AverageValue` of an external metric)."""
    share = metric / (rule.target * current)
    return current if abs(1 - share) <= TOLERANCE else math.ceil(metric / rule.target)


def _stabilise(rule: Rule, wanted: tuple[Entry, ...], now: float, current: int, proposed: int) -> int:
    """Up to the least that was wanted in the window of one way, down to the most in that of the other."""
    up = min([proposed, *(entry.number for entry in _recent(wanted, now, rule.up.window_s))])
    down = max([proposed, *(entry.number for entry in _recent(wanted, now, rule.down.window_s))])
    return min(max(current, up), down)


def _limit(rule: Rule, history: History, now: float, steady: int) -> int:
    """No faster than the policies allow, and within what there may be."""
    current = history.replicas
    if steady > current:
        allowed = max(_bound(rule.up, +1, history, now), current)
        return min(steady, rule.most, allowed)
    if steady < current:
        allowed = min(_bound(rule.down, -1, history, now), current)
        return max(steady, rule.least, 1, allowed)
    return steady


def _bound(direction: Direction, sign: Literal[1, -1], history: History, now: float) -> int:
    """How many the policies of a direction let there be."""
    if direction.select == "Disabled":
        return history.replicas
    bounds = []
    for policy in direction.policies:
        recent = _recent(history.changes, now, policy.period_s)
        before = history.replicas - sum(change.number for change in recent)
        if policy.kind == "Pods":
            bounds.append(before + sign * policy.value)
        else:
            share = before * (1 + sign * policy.value / 100)
            bounds.append(math.ceil(share) if sign > 0 else int(share))
    # The policy that allows most is the highest on the way up, the lowest on the way down.
    return max(bounds) if (sign > 0) == (direction.select == "Max") else min(bounds)


def _recent(entries: tuple[Entry, ...], now: float, period_s: float) -> tuple[Entry, ...]:
    return tuple(entry for entry in entries if entry.at > now - period_s)


def _change(rule: Rule, history: History, now: float, replicas: int) -> History:
    if replicas == history.replicas:
        return history
    longest_s = max(policy.period_s for policy in (*rule.up.policies, *rule.down.policies))
    kept = _recent(history.changes, now, longest_s)
    change = Entry(now, replicas - history.replicas)
    return replace(history, replicas=replicas, changes=(*kept, change))
