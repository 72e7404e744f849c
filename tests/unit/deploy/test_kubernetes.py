"""The Kubernetes manifests, and that each of their checks finds what it is there to find."""

import math
import re
import shutil
import subprocess
from collections.abc import Callable
from copy import deepcopy
from functools import lru_cache

import pytest
import yaml

from landpatch import __version__
from landpatch.forecast import BAND_SHARE, PATCH_CPU_S, PRODUCT_BYTES, PRODUCT_TILES, TILE_CPU_S
from landpatch.ledger import KINDS
from landpatch.patch import PATCH_SIZE_M
from landpatch.settings import Settings
from tests.environment import ROOT
from tests.unit.deploy.cluster import (
    Pod,
    check_commands,
    check_environment,
    check_lives,
    check_references,
    check_schemas,
    check_security,
    find,
    may_enter,
    may_leave,
    name_of,
    pods,
    reaches,
    secrets_of,
    selects,
    words_of,
)
from tests.unit.deploy.known import SECRETS, SETTINGS, defaults
from tests.unit.deploy.kustomize import Object, apply_component, build, identity, read_objects
from tests.waiting import LONG_S

K8S = ROOT / "k8s"
OVERLAYS = ("sandbox", "production")
JOBS = {"sandbox": "sandbox-region.yaml", "production": "region.yaml"}
PRODUCT_SIDE_M = 109_800
PUBLIC = "198.51.100.7"
"""An address of documentation, for one of the public services."""


def printed_secrets() -> list[Object]:
    """What scripts/k8s-secrets.sh prints."""
    script = subprocess.run([ROOT / "scripts" / "k8s-secrets.sh"], capture_output=True, text=True, check=True)
    items: list[Object] = yaml.safe_load(script.stdout)["items"]
    return items


@pytest.fixture(scope="module")
def printed() -> list[Object]:
    return printed_secrets()


EXAMPLE = K8S / "overlays" / "production" / "secrets.example.yaml"


@lru_cache
def _build(name: str) -> tuple[Object, ...]:
    return (*build(K8S / "overlays" / name), *read_objects(K8S / "jobs" / JOBS[name]))


def overlay(name: str) -> list[Object]:
    """An overlay with the Job that goes with it."""
    return deepcopy(list(_build(name)))


def run(check: str, name: str, objects: list[Object], printed: list[Object]) -> list[str]:
    """The faults that a check finds in the objects of an overlay."""
    secrets = secrets_of(printed if name == "sandbox" else read_objects(EXAMPLE))
    if check == "references":
        return check_references(objects, {key: set(value) for key, value in secrets.items()})
    return check_environment(objects, secrets) if check == "environment" else CHECKS[check](objects)


CHECKS: dict[str, Callable[..., list[str]]] = {
    "schemas": check_schemas,
    "security": check_security,
    "references": check_references,
    "environment": check_environment,
    "commands": check_commands,
    "lives": check_lives,
}


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("name", OVERLAYS)
def test_an_overlay_passes_every_check(name, check, printed):
    assert run(check, name, overlay(name), printed) == []


def test_the_secrets_of_the_sandbox_pass_the_schemas_and_are_new_each_time(printed):
    assert check_schemas(printed) == []
    first, second = secrets_of(printed), secrets_of(printed_secrets())
    assert first.keys() == second.keys()
    for name in ("landpatch-store", "landpatch-flower", "landpatch-redis-server"):
        assert first[name] != second[name]
    password = first["landpatch-redis-server"]["redis.conf"].removeprefix("requirepass ")
    assert len(password) == 48
    assert password in first["landpatch-redis"]["LANDPATCH_REDIS_URL"]


def container(objects: list[Object], name: str) -> Object:
    """The first container of a pod."""
    (pod,) = [pod for pod in pods(objects) if pod.name == name]
    found: Object = pod.spec["containers"][0]
    return found


def spec(objects: list[Object], kind: str, name: str) -> Object:
    """What an object asks for."""
    (one,) = [each for each in objects if each["kind"] == kind and name_of(each) == name]
    found: Object = one["spec"]
    return found


def _take_away_budgets(objects: list[Object]) -> None:
    objects[:] = [each for each in objects if each["kind"] != "PodDisruptionBudget"]


def _take_away_config(objects: list[Object]) -> None:
    objects[:] = [each for each in objects if each["kind"] != "ConfigMap"]


def _settings(objects: list[Object]) -> dict[str, str]:
    (config,) = [each for each in find(objects, "ConfigMap") if name_of(each) == "landpatch-settings"]
    data: dict[str, str] = config["data"]
    return data


BREAKS: dict[str, tuple[str, Callable[[list[Object]], object]]] = {
    "a field that there is not": (
        "schemas",
        lambda them: container(them, "image-worker").update(comand=["python"]),
    ),
    "a number for a text": ("schemas", lambda them: _settings(them).update(LANDPATCH_LEASE_S=90)),
    "a field that KEDA does not know": (
        "schemas",
        lambda them: spec(them, "ScaledObject", "image-worker").update(maxReplicas=8),
    ),
    "a rule without a query": (
        "schemas",
        lambda them: spec(them, "PrometheusRule", "landpatch")["groups"][0]["rules"][0].pop("expr"),
    ),
    "a privileged pod": (
        "security",
        lambda them: container(them, "flower")["securityContext"].update(privileged=True),
    ),
    "a pod as root": (
        "security",
        lambda them: spec(them, "Deployment", "indexer")["template"]["spec"]["securityContext"].update(
            runAsUser=0
        ),
    ),
    "a root filesystem to write to": (
        "security",
        lambda them: container(them, "metrics")["securityContext"].update(readOnlyRootFilesystem=False),
    ),
    "the network of the node": (
        "security",
        lambda them: spec(them, "Deployment", "metrics")["template"]["spec"].update(hostNetwork=True),
    ),
    "a folder of the node": (
        "security",
        lambda them: spec(them, "Deployment", "metrics")["template"]["spec"]["volumes"].append(
            {"name": "host", "hostPath": {"path": "/"}}
        ),
    ),
    "variables for Services": (
        "security",
        lambda them: spec(them, "Deployment", "flower")["template"]["spec"].pop("enableServiceLinks"),
    ),
    "no limit of memory": (
        "security",
        lambda them: container(them, "image-worker")["resources"].pop("limits"),
    ),
    "an image of no version": (
        "security",
        lambda them: container(them, "indexer").update(image="landpatch-worker:latest"),
    ),
    "a Secret that nobody makes": (
        "references",
        lambda them: container(them, "image-worker")["envFrom"].append({"secretRef": {"name": "other"}}),
    ),
    "a key that is not in the Secret": (
        "references",
        lambda them: container(them, "metrics")["env"][0]["valueFrom"]["secretKeyRef"].update(key="KEY"),
    ),
    "no settings": ("references", _take_away_config),
    "no claim": (
        "references",
        lambda them: spec(them, "Deployment", "flower")["template"]["spec"]["volumes"][1].update(
            persistentVolumeClaim={"claimName": "other"}
        ),
    ),
    "a Service to nobody": (
        "references",
        lambda them: spec(them, "Service", "metrics")["selector"].update(
            {"app.kubernetes.io/component": "metric"}
        ),
    ),
    "a Service to a port that nobody has": (
        "references",
        lambda them: spec(them, "Service", "flower")["ports"][0].update(targetPort="other"),
    ),
    "an autoscaler that asks elsewhere": (
        "references",
        lambda them: spec(them, "ScaledObject", "image-worker")["triggers"][0]["metadata"].update(
            url="http://metrics.landpatch.svc:9090/metrics"
        ),
    ),
    "an unknown variable": (
        "environment",
        lambda them: container(them, "image-worker")["env"].append(
            {"name": "LANDPATCH_THREAD", "value": "2"}
        ),
    ),
    "an unknown setting": ("environment", lambda them: _settings(them).update(LANDPATCH_LEASES="90")),
    "a wrong value": ("environment", lambda them: _settings(them).update(LANDPATCH_EO_CONNECTIONS="none")),
    "a secret among the settings": (
        "environment",
        lambda them: _settings(them).update(EO_S3_SECRET_ACCESS_KEY="plain"),
    ),
    "no credentials for who needs them": (
        "environment",
        lambda them: container(them, "image-worker")["envFrom"].pop(),
    ),
    "credentials for who needs none": (
        "environment",
        lambda them: container(them, "flower")["envFrom"].append({"secretRef": {"name": "landpatch-store"}}),
    ),
    "a wrong queue": (
        "commands",
        lambda them: container(them, "label-worker")["args"].__setitem__(1, "label"),
    ),
    "a queue that two services take": (
        "commands",
        lambda them: container(them, "label-worker")["args"].__setitem__(1, "images"),
    ),
    "a module that there is not": (
        "commands",
        lambda them: container(them, "reconciler")["command"].__setitem__(2, "services.reconcile"),
    ),
    "an option that there is not": (
        "commands",
        lambda them: container(them, "metrics")["command"].__setitem__(3, "--host"),
    ),
    "a probe that runs nothing": (
        "commands",
        lambda them: container(them, "indexer")["startupProbe"]["exec"]["command"].__setitem__(2, "health"),
    ),
    "a worker that is killed in its task": (
        "lives",
        lambda them: spec(them, "Deployment", "image-worker")["template"]["spec"].update(
            terminationGracePeriodSeconds=3600
        ),
    ),
    "a worker that gives its task back": (
        "lives",
        lambda them: container(them, "image-worker")["env"].append(
            {"name": "REMAP_SIGTERM", "value": "SIGQUIT"}
        ),
    ),
    "a probe that sees only that it listens": (
        "lives",
        lambda them: container(them, "image-worker").update(livenessProbe={"tcpSocket": {"port": 1}}),
    ),
    "nobody who looks": ("lives", lambda them: container(them, "flower").pop("livenessProbe")),
    "no budgets": ("lives", _take_away_budgets),
    "a budget that blocks a drain": (
        "lives",
        lambda them: spec(them, "PodDisruptionBudget", "indexer").update(maxUnavailable=0),
    ),
}


@pytest.mark.parametrize("broken", BREAKS)
def test_a_check_finds_what_is_broken(broken, printed):
    check, damage = BREAKS[broken]
    objects = overlay("production")
    damage(objects)
    assert run(check, "production", objects, printed) != []


# kustomize


@pytest.mark.parametrize("name", OVERLAYS)
def test_kubectl_makes_the_same_of_an_overlay(name):
    if not (tool := shutil.which("kubectl")):
        pytest.skip("needs kubectl")
    folder = K8S / "overlays" / name
    made = subprocess.run(
        [tool, "kustomize", folder], capture_output=True, text=True, check=True, timeout=LONG_S
    )
    theirs = sorted(yaml.safe_load_all(made.stdout), key=identity)
    assert theirs == sorted(build(folder), key=identity)


def test_every_manifest_is_used():
    used = {EXAMPLE, *(K8S / "jobs" / name for name in JOBS.values())}
    for settings in K8S.rglob("kustomization.yaml"):
        said = yaml.safe_load(settings.read_text())
        names = said.get("resources", []) + [patch["path"] for patch in said.get("patches", [])]
        names += [name for each in said.get("configMapGenerator", []) for name in each["files"]]
        used |= {settings, *(settings.parent / each for each in names if each.endswith(".yaml"))}
    assert set(K8S.rglob("*.yaml")) - {K8S / "overlays" / "production" / "secrets.yaml"} == used


@pytest.mark.parametrize("name", OVERLAYS)
def test_no_secret_is_in_a_manifest(name):
    assert find(overlay(name), "Secret") == []


def test_the_example_of_the_secrets_has_every_secret_and_no_value():
    example = read_objects(EXAMPLE)
    assert check_schemas(example) == []
    data = [pair for each in example for pair in each["stringData"].items()]
    assert sorted(data) == sorted((name, "") for name in SECRETS)


@pytest.mark.parametrize("name", OVERLAYS)
def test_the_images_are_of_this_version(name):
    ours = {
        each["image"]
        for pod in pods(overlay(name))
        for each in pod.containers
        if "landpatch" in each["image"]
    }
    assert {image.rpartition(":")[2] for image in ours} == {__version__}


def test_every_setting_can_be_set():
    """Each may stand in the ConfigMap that all services read, or in the Secrets of those who need it."""
    objects = overlay("production")
    readers = [
        pod.name
        for pod in pods(objects)
        for each in pod.containers
        if {"configMapRef": {"name": "landpatch-settings"}} not in each["envFrom"]
    ]
    assert readers == []
    _settings(objects).update(dict.fromkeys(SETTINGS - SECRETS - _settings(objects).keys(), ""))
    assert check_environment(objects, secrets_of(read_objects(EXAMPLE))) == []


def test_a_patch_changes_what_it_names_and_no_more():
    requests = container(overlay("sandbox"), "image-worker")["resources"]
    assert requests["requests"]["cpu"] == "1"
    assert requests["limits"] == container(overlay("production"), "image-worker")["resources"]["limits"]


# the network

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


def test_with_tracing_workers_reach_the_collector_and_all_else_is_as_before(printed):
    objects = apply_component(K8S / "components" / "tracing", overlay("production"))
    for check in CHECKS:
        assert run(check, "production", objects, printed) == []
    settings = Settings.model_validate({"OTEL_TRACES_EXPORTER": "otlp", **_settings(objects)})
    assert settings.traces_exporter == "otlp"
    port = int(settings.traces_endpoint.rpartition(":")[2])
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


# scale


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
