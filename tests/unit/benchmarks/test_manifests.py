"""The simulated rule is the one in the manifests: what is changed there is changed here."""

import copy

import pydantic
import pytest
import yaml

from benchmarks.autoscaler import Direction, Policy
from benchmarks.manifests import SCALED, Series, read_all, read_rule
from landpatch.ledger import KINDS


@pytest.fixture
def manifest() -> dict:
    return copy.deepcopy(yaml.safe_load((SCALED / "image-worker.yaml").read_text()))


def test_every_deployment_that_is_scaled_is_read_with_its_worker():
    scaled = {each.name: each for each in read_all()}
    assert scaled.keys() == {"image-worker", "label-worker"}
    assert scaled["image-worker"].words[:5] == ("python", "-m", "celery", "-A", "services.image_worker")
    assert scaled["image-worker"].grace_s == 3660
    assert (scaled["image-worker"].cores, scaled["label-worker"].cores) == (4, 0.5)
    for each in scaled.values():
        assert each.series.name == "landpatch_pending_tasks"
        assert each.series.labels["kind"] in KINDS


def test_a_number_that_is_changed_in_a_manifest_is_changed_in_the_rule(manifest):
    spec = manifest["spec"]
    spec |= {"minReplicaCount": 1, "maxReplicaCount": 17, "pollingInterval": 7, "cooldownPeriod": 77}
    spec["triggers"][0]["metadata"] |= {"targetValue": "2.5", "activationTargetValue": "3"}
    spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"] = {
        "scaleUp": {
            "stabilizationWindowSeconds": 11,
            "policies": [{"type": "Pods", "value": 3, "periodSeconds": 13}],
        },
        "scaleDown": {
            "stabilizationWindowSeconds": 19,
            "selectPolicy": "Min",
            "policies": [
                {"type": "Percent", "value": 25, "periodSeconds": 23},
                {"type": "Pods", "value": 1, "periodSeconds": 29},
            ],
        },
    }
    name, rule, series = read_rule(manifest)
    assert name == "image-worker"
    assert (rule.least, rule.most, rule.polling_s, rule.cooldown_s) == (1, 17, 7, 77)
    assert (rule.target, rule.activation) == (2.5, 3)
    assert rule.up == Direction(11, (Policy("Pods", 3, 13),), "Max")
    assert rule.down == Direction(19, (Policy("Percent", 25, 23), Policy("Pods", 1, 29)), "Min")
    assert series == Series("landpatch_pending_tasks", {"kind": "images"})


@pytest.mark.parametrize(
    "change",
    [
        lambda spec: spec.update(idleReplicaCount=0),
        lambda spec: spec.pop("cooldownPeriod"),
        lambda spec: spec["triggers"].append(spec["triggers"][0]),
        lambda spec: spec["triggers"][0].update(metricType="Value"),
        lambda spec: spec["triggers"][0].update(useCachedMetrics=True),
        lambda spec: spec["fallback"].update(behavior="static"),
        lambda spec: spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]["scaleUp"].update(
            tolerance="0.05"
        ),
    ],
)
def test_what_is_not_simulated_is_refused(manifest, change):
    change(manifest["spec"])
    with pytest.raises(pydantic.ValidationError):
        read_rule(manifest)
