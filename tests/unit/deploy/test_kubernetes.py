"""The Kubernetes manifests, and that each of their checks finds what it is there to find."""

import os
import shutil
import subprocess
from collections.abc import Callable

import pytest
import yaml

from landpatch import __version__
from landpatch.settings import Settings
from tests.environment import ROOT
from tests.unit.deploy.cluster import (
    check_commands,
    check_environment,
    check_lives,
    check_references,
    check_schemas,
    check_security,
    find,
    pods,
    secrets_of,
)
from tests.unit.deploy.known import SECRETS, SETTINGS
from tests.unit.deploy.kustomize import Object, apply_component, build, identity, read_objects
from tests.unit.deploy.overlays import (
    EXAMPLE,
    JOBS,
    K8S,
    OVERLAYS,
    TRACING,
    container,
    overlay,
    settings_of,
    spec,
)
from tests.waiting import LONG_S


def printed_secrets() -> list[Object]:
    """What scripts/k8s-secrets.sh prints."""
    script = subprocess.run([ROOT / "scripts" / "k8s-secrets.sh"], capture_output=True, text=True, check=True)
    items: list[Object] = yaml.safe_load(script.stdout)["items"]
    return items


@pytest.fixture(scope="module")
def printed() -> list[Object]:
    return printed_secrets()


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


def _take_away_budgets(objects: list[Object]) -> None:
    objects[:] = [each for each in objects if each["kind"] != "PodDisruptionBudget"]


def _take_away_config(objects: list[Object]) -> None:
    objects[:] = [each for each in objects if each["kind"] != "ConfigMap"]


BREAKS: dict[str, tuple[str, Callable[[list[Object]], object]]] = {
    "a field that there is not": (
        "schemas",
        lambda them: container(them, "image-worker").update(comand=["python"]),
    ),
    "a number for a text": ("schemas", lambda them: settings_of(them).update(LANDPATCH_LEASE_S=90)),
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
    "an unknown setting": ("environment", lambda them: settings_of(them).update(LANDPATCH_LEASES="90")),
    "a wrong value": ("environment", lambda them: settings_of(them).update(LANDPATCH_EO_CONNECTIONS="none")),
    "a secret among the settings": (
        "environment",
        lambda them: settings_of(them).update(EO_S3_SECRET_ACCESS_KEY="plain"),
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
    "workers on one node": (
        "lives",
        lambda them: spec(them, "Deployment", "label-worker")["template"]["spec"].pop(
            "topologySpreadConstraints"
        ),
    ),
    "others spread, not the workers": (
        "lives",
        lambda them: spec(them, "Deployment", "image-worker")["template"]["spec"][
            "topologySpreadConstraints"
        ][0]["labelSelector"]["matchLabels"].update({"app.kubernetes.io/component": "flower"}),
    ),
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
        (pytest.fail if os.environ.get("CI") else pytest.skip)("needs kubectl")
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
    settings_of(objects).update(dict.fromkeys(SETTINGS - SECRETS - settings_of(objects).keys(), ""))
    assert check_environment(objects, secrets_of(read_objects(EXAMPLE))) == []


def test_a_patch_changes_what_it_names_and_no_more():
    requests = container(overlay("sandbox"), "image-worker")["resources"]
    assert requests["requests"]["cpu"] == "1"
    assert requests["limits"] == container(overlay("production"), "image-worker")["resources"]["limits"]


def test_with_tracing_every_check_is_passed_and_workers_send_traces(printed):
    objects = apply_component(TRACING, overlay("production"))
    for check in CHECKS:
        assert run(check, "production", objects, printed) == []
    settings = Settings.model_validate({"OTEL_TRACES_EXPORTER": "otlp", **settings_of(objects)})
    assert settings.traces_exporter == "otlp"
