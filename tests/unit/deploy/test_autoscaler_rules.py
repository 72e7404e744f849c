"""The rules by which workers come and go, and what a worker is given."""

import math
import re

import pytest

from landpatch.forecast import BAND_SHARE, PATCH_CPU_S, PRODUCT_BYTES, PRODUCT_TILES, TILE_CPU_S
from landpatch.ledger import KINDS
from landpatch.patch import PATCH_SIZE_M
from tests.unit.deploy.cluster import find, words_of
from tests.unit.deploy.known import defaults
from tests.unit.deploy.kustomize import Object
from tests.unit.deploy.overlays import container, overlay, spec

PRODUCT_SIDE_M = 109_800


def cores_that_an_account_feeds() -> float:
    """The account's bytes a second over those of a product, times what a product costs one core."""
    settings = defaults()
    patches = (PRODUCT_SIDE_M / PATCH_SIZE_M) ** 2
    product_cpu_s = PRODUCT_TILES * TILE_CPU_S + patches * PATCH_CPU_S
    bytes_per_s = settings.eo_connections * settings.eo_connection_bytes_per_s
    return bytes_per_s / (PRODUCT_BYTES * BAND_SHARE) * product_cpu_s


def check_scaling(objects: list[Object]) -> list[str]:
    """Faults of the autoscaler's rules."""
    faults = []
    scaled = {each["spec"]["scaleTargetRef"]["name"]: each["spec"] for each in find(objects, "ScaledObject")}
    if scaled.keys() != {"image-worker", "label-worker"}:
        return [f"scaled are {list(scaled)}"]
    for name, rule in scaled.items():
        words = words_of(container(objects, name))
        hands = int(words[words.index("--concurrency") + 1])
        metadata = rule["triggers"][0]["metadata"]
        counted = re.fullmatch(r'landpatch_pending_tasks\{kind="(\w+)"\}', metadata["valueLocation"])
        if not counted or counted[1] not in KINDS or counted[1] != words[words.index("--queues") + 1]:
            faults.append(f"{name}: counts {metadata['valueLocation']}")
        if rule["minReplicaCount"] != 0 or int(metadata["activationTargetValue"]) != 0:
            faults.append(f"{name}: does not go to zero, or does not come back for one task")
        if int(metadata["targetValue"]) < hands:
            faults.append(f"{name}: more workers than tasks for their hands")
        if "replicas" in spec(objects, "Deployment", name):
            faults.append(f"{name}: how many there are is said twice")
        down = rule["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]["scaleDown"]
        if min(down["stabilizationWindowSeconds"], rule["cooldownPeriod"]) < 120:
            faults.append(f"{name}: goes at the first lull")
    cores = int(container(objects, "image-worker")["resources"]["requests"]["cpu"])
    if scaled["image-worker"]["maxReplicaCount"] != math.ceil(cores_that_an_account_feeds() / cores):
        faults.append("image-worker: another ceiling than the account feeds")
    return faults


def test_workers_come_and_go_with_what_is_pending_up_to_what_the_account_feeds():
    assert cores_that_an_account_feeds() == pytest.approx(31, abs=1)
    assert check_scaling(overlay("production")) == []


@pytest.mark.parametrize(
    "damage",
    [
        lambda rule: rule.update(maxReplicaCount=50),
        lambda rule: rule.update(minReplicaCount=1),
        lambda rule: rule.update(cooldownPeriod=10),
        lambda rule: rule["triggers"][0]["metadata"].update(targetValue="1"),
        lambda rule: rule["triggers"][0]["metadata"].update(
            valueLocation='landpatch_pending_tasks{kind="labels"}'
        ),
        lambda rule: rule["triggers"][0]["metadata"].update(
            valueLocation='landpatch_queue_waiting_messages{queue="images"}'
        ),
        lambda rule: rule["scaleTargetRef"].update(name="indexer"),
    ],
)
def test_another_rule_is_found(damage):
    objects = overlay("production")
    damage(spec(objects, "ScaledObject", "image-worker"))
    assert check_scaling(objects) != []


def test_an_image_worker_has_the_memory_that_its_processes_may_use():
    found = container(overlay("production"), "image-worker")
    words = words_of(found)
    processes = int(words[words.index("--concurrency") + 1])
    limit = int(found["resources"]["limits"]["memory"].removesuffix("Mi")) * 2**20
    assert limit >= processes * defaults().memory_bytes + 256 * 2**20
