"""Who reaches whom in the cluster, and that each policy is needed for it."""

import re

import pytest

from landpatch.settings import Settings
from tests.environment import ROOT
from tests.unit.deploy.cluster import Pod, find, name_of, pods, selects, words_of
from tests.unit.deploy.kustomize import Object, apply_component
from tests.unit.deploy.network import may_enter, may_leave, reaches
from tests.unit.deploy.overlays import OVERLAYS, TRACING, container, overlay, settings_of

PUBLIC = "198.51.100.7"
"""An address of documentation, for one of the public services."""
WORKERS = ("dispatcher", "image-worker", "label-worker", "indexer")
ON_REDIS = {*WORKERS, "reconciler", "metrics", "flower", "submit"}
ON_STORE = {*WORKERS, "submit"}
STRANGER = Pod("stranger", {"app": "other"}, {"containers": []})
"""A pod of another namespace."""


def check_strangers(objects: list[Object]) -> list[str]:
    """Where a pod of another namespace gets in."""
    ports = (80, 443, 5555, 6379, 8000, 8080, 9000, 9001, 9464)
    return [
        f"{pod.name}:{port}"
        for pod in pods(objects)
        for port in ports
        if may_enter(objects, STRANGER, pod, port)
    ]


@pytest.mark.parametrize("name", OVERLAYS)
def test_nobody_gets_in_from_elsewhere(name):
    objects = overlay(name)
    assert check_strangers(objects) == []
    assert check_strangers([each for each in objects if name_of(each) != "default-deny"]) != []


def by_component(objects: list[Object]) -> dict[str, Pod]:
    """The pods by what they are."""
    return {pod.labels["app.kubernetes.io/component"]: pod for pod in pods(objects)}


def check_sandbox_network(objects: list[Object]) -> dict[tuple[str, str], bool]:
    """Who reaches whom otherwise than is meant."""
    there = by_component(objects)
    meant = {
        ("redis", 6379): ON_REDIS,
        ("store", 9000): ON_STORE,
        ("store", 8080): set(),
        ("sandbox", 8000): ON_STORE,
        ("sandbox", 9000): {"image-worker", "submit"},
        **{(service, 9464): set() for service in (*WORKERS, "reconciler", "metrics")},
        ("flower", 5555): set(),
    }
    found = {
        (name, f"{to}:{port}"): reaches(objects, there[name], there[to], port)
        for to, port in meant
        for name in there
        if name != to
    }
    return {
        (name, to): reached
        for (name, to), reached in found.items()
        if reached != (name in meant[to.split(":")[0], int(to.split(":")[1])])
    }


def test_in_the_sandbox_everyone_reaches_what_they_need_and_nobody_gets_out():
    objects = overlay("sandbox")
    assert check_sandbox_network(objects) == {}
    assert not [pod.name for pod in pods(objects) if may_leave(objects, pod, PUBLIC, 443)]


def check_production_network(objects: list[Object]) -> list[str]:
    """Who may send where otherwise than is meant."""
    meant = {
        ("10.255.255.10", 6379): ON_REDIS,
        ("10.255.255.20", 443): ON_STORE,
        (PUBLIC, 443): ON_STORE,
        (PUBLIC, 80): set(),
        ("10.1.2.3", 443): set(),
        ("169.254.169.254", 443): set(),
        ("169.254.169.254", 80): set(),
    }
    there = by_component(objects)
    return [
        f"{name} to {address}:{port}"
        for (address, port), who in meant.items()
        for name, pod in there.items()
        if may_leave(objects, pod, address, port) != (name in who)
    ]


def test_in_production_only_workers_reach_out_and_not_into_private_networks():
    objects = overlay("production")
    assert check_production_network(objects) == []
    there = by_component(objects)
    pairs = [(a, b) for a in there for b in there if a != b]
    assert not [(a, b) for a, b in pairs if reaches(objects, there[a], there[b], 5555)]


COUNTING = {*WORKERS, "reconciler", "metrics"}
"""Whoever tells metrics."""


def check_metrics_network(objects: list[Object]) -> list[str]:
    """Where Prometheus and the autoscaler get in otherwise than is meant."""
    meant = {"monitoring": COUNTING, "keda": {"metrics"}, "elsewhere": set()}
    there = by_component(objects)
    faults = []
    for namespace, who in meant.items():
        asks = Pod("asks", {}, {"containers": []}, namespace)
        faults += [
            f"{namespace} at {name}:{port}"
            for name, pod in there.items()
            for port in (80, 5555, 6379, 8000, 8080, 9000, 9464)
            if may_enter(objects, asks, pod, port) != (name in who and port == 9464)
        ]
    return faults


@pytest.mark.parametrize("name", OVERLAYS)
def test_prometheus_reaches_every_service_that_counts_and_the_autoscaler_one(name):
    objects = overlay(name)
    assert check_metrics_network(objects) == []
    for policy in ("at-metrics", "from-autoscaler"):
        assert check_metrics_network([each for each in objects if name_of(each) != policy]) != []


def test_prometheus_asks_every_service_that_counts_where_it_listens():
    objects = overlay("production")
    (monitor,) = find(objects, "PodMonitor")
    asked = {
        name
        for name, pod in by_component(objects).items()
        if selects(monitor["spec"]["selector"], pod.labels)
    }
    assert asked == COUNTING
    for name in COUNTING:
        ports = container(objects, name)["ports"]
        assert ports == [{"name": "metrics", "containerPort": 9464}]
    listen = re.search(r"LANDPATCH_METRICS_LISTEN=(\S+)", (ROOT / "Dockerfile").read_text())
    assert listen is not None
    assert listen[1] == "0.0.0.0:9464"
    words = words_of(container(objects, "metrics"))
    assert words[words.index("--port") + 1] == "9464"


def test_with_tracing_workers_reach_the_collector_and_all_else_is_as_before():
    objects = apply_component(TRACING, overlay("production"))
    endpoint = Settings.model_validate(settings_of(objects)).traces_endpoint
    port = int(endpoint.rpartition(":")[2])
    there = by_component(objects)
    collector = Pod("collector", {}, {"containers": []}, "monitoring")
    assert {name for name, pod in there.items() if may_leave(objects, pod, collector, port)} == set(WORKERS)
    assert not [pod for pod in there.values() if may_leave(overlay("production"), pod, collector, port)]
    assert check_production_network(objects) == []


@pytest.mark.parametrize("name", ["to-public-services", "to-redis", "to-store"])
def test_without_a_policy_of_production_the_network_is_another(name):
    objects = [each for each in overlay("production") if name_of(each) != name]
    assert check_production_network(objects) != []


@pytest.mark.parametrize(
    "name",
    ["to-redis", "at-redis", "to-store", "at-store", "to-sandbox", "at-sandbox", "to-eodata"],
)
def test_without_a_policy_of_the_sandbox_the_network_is_another(name):
    objects = [
        each for each in overlay("sandbox") if (each["kind"], name_of(each)) != ("NetworkPolicy", name)
    ]
    assert check_sandbox_network(objects) != {}
