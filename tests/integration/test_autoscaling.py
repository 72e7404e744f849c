"""Workers come and go by the rule of the Kubernetes manifests: a short day of the benchmark, real workers."""

from collections.abc import Iterator
from typing import Any

import pytest

from benchmarks import products
from benchmarks.autoscaling import compare, live_through
from benchmarks.manifests import read_all

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """Two regions at once and then one more, a minute to the second."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(products, "CACHE", tmp_path_factory.mktemp("bench"))
        yield live_through(60, [(0, ["FR101", "BE100"]), (4, ["MT001"])], scaled=True)


def test_no_task_is_lost_and_none_is_done_twice(day):
    audit = day["audit"]
    assert len(day["turnaround_s"]) == 3
    assert audit["patches"] > 28 + 39
    assert audit["image_tasks_opened"] >= 3 * 6
    assert audit["tasks"] > audit["image_tasks_opened"], "there are labels, too"
    found = {name: audit[name] for name in audit if name not in {"patches", "tasks", "image_tasks_opened"}}
    assert found == dict.fromkeys(found, 0)


def test_workers_come_when_there_is_work_and_all_go_when_there_is_none(day):
    for scaled in read_all():
        assert 1 <= day["most"][scaled.name] <= scaled.rule.most
        assert day["started"][scaled.name] >= day["most"][scaled.name]
        assert day["worker_s"][scaled.name] > 0
    assert day["most"]["image-worker"] > 1
    assert (day["left"], day["killed"]) == (0, 0)


def test_a_day_is_compared_with_one_of_as_many_workers_as_there_may_be(day):
    """Its figures: half the worker-seconds and four fifths of the speed, when that is what they are."""
    fixed = day | {
        "turnaround_s": {region: 0.8 * took_s for region, took_s in day["turnaround_s"].items()},
        "worker_s": {name: 2 * spent_s for name, spent_s in day["worker_s"].items()},
    }
    figures = compare(fixed, day)
    assert figures["speed"] == pytest.approx(0.8)
    assert figures["speed_of_the_slowest_region"] == pytest.approx(0.8)
    assert figures["worker_seconds"] == figures["label_worker_seconds"] == pytest.approx(0.5)
    assert (figures["regions"], figures["workers_left"], figures["tasks_lost"]) == (3, 0, 0)
