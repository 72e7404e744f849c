"""Checks of Kubernetes objects: each gives the faults that it finds."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import yaml

from landpatch.celery import HARD_LIMIT_S
from tests.unit.deploy.known import (
    SECRETS,
    SETTINGS,
    check_command,
    check_consumers,
    check_values,
    check_variables,
)
from tests.unit.deploy.kustomize import Object

KUBERNETES = "1.34"
SCHEMAS = Path(__file__).parents[2] / "data" / "schemas"
CRDS = {
    "ScaledObject": "keda.sh_scaledobjects.yaml",
    "PodMonitor": "monitoring.coreos.com_podmonitors.yaml",
    "PrometheusRule": "monitoring.coreos.com_prometheusrules.yaml",
}
RESTRICTED_VOLUMES = {"configMap", "emptyDir", "persistentVolumeClaim", "projected", "secret"}
"""Of those that the restricted Pod Security Standard allows, the ones in use here."""


@dataclass(frozen=True)
class Pod:
    """A pod as its template makes it."""

    name: str
    labels: dict[str, str]
    spec: Object
    namespace: str = "landpatch"

    @property
    def containers(self) -> list[Object]:
        """Those that prepare it and those that run in it."""
        return [*self.spec.get("initContainers", []), *self.spec["containers"]]


def find(objects: list[Object], *kinds: str) -> list[Object]:
    """The objects of some kinds."""
    return [each for each in objects if each["kind"] in kinds]


def name_of(one: Object) -> str:
    """An object's name, or what it begins with."""
    return str(one["metadata"].get("name") or one["metadata"]["generateName"])


def pods(objects: list[Object]) -> list[Pod]:
    """The pods of all objects that make some."""
    return [
        Pod(name_of(each), each["spec"]["template"]["metadata"]["labels"], each["spec"]["template"]["spec"])
        for each in find(objects, "Deployment", "StatefulSet", "Job")
    ]


def role(pod: Pod, container: Object) -> str:
    """Which service a container is: the pod's, or its own where there are several."""
    return pod.labels["app.kubernetes.io/component"] if len(pod.containers) == 1 else str(container["name"])


def words_of(container: Object) -> list[str]:
    """A container's command."""
    return [*container["command"], *container.get("args", [])]


# schemas


def check_schemas(objects: list[Object]) -> list[str]:
    """Faults against the schemas of Kubernetes and of custom resources; a field they do not know is one."""
    faults = []
    for each in objects:
        try:
            if each["kind"] in CRDS:
                _crd_validator(each["kind"], each["apiVersion"]).validate(each)
            else:
                kubernetes_validate.validate(each, KUBERNETES, strict=True)
        except (jsonschema.ValidationError, kubernetes_validate.ValidationError) as error:
            faults.append(f"{each['kind']} {name_of(each)}: {error.message}")
    return faults


@lru_cache
def _crd_validator(kind: str, api_version: str) -> jsonschema.Draft7Validator:
    crd = yaml.safe_load((SCHEMAS / CRDS[kind]).read_text())
    group, _, version = api_version.partition("/")
    assert crd["spec"]["group"] == group
    (served,) = [each for each in crd["spec"]["versions"] if each["name"] == version]
    return jsonschema.Draft7Validator(_closed(served["schema"]["openAPIV3Schema"]))


def _closed(schema: Any, top: bool = True) -> Any:
    """The schema, refusing fields that it does not name: the API server would drop them in silence."""
    if isinstance(schema, list):
        return [_closed(each, False) for each in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: _closed(value, False) for key, value in schema.items()}
    if top:
        closed["properties"]["metadata"] = {"type": "object"}
    named = isinstance(schema.get("properties"), dict) and schema.get("type") == "object"
    if (
        named
        and "additionalProperties" not in schema
        and "x-kubernetes-preserve-unknown-fields" not in schema
    ):
        closed["additionalProperties"] = False
    return closed


# security


def check_security(objects: list[Object]) -> list[str]:
    """Faults against the restricted Pod Security Standard, and against what we ask beyond it."""
    return [fault for pod in pods(objects) for fault in _check_pod(pod)]


def _check_pod(pod: Pod) -> Iterator[str]:
    spec = pod.spec
    context = spec.get("securityContext", {})
    for field in ("hostNetwork", "hostPID", "hostIPC", "hostUsers"):
        if field in spec:
            yield f"{pod.name}: {field}"
    if context.get("runAsNonRoot") is not True or context.get("runAsUser", 0) < 1:
        yield f"{pod.name}: may run as root"
    if context.get("seccompProfile", {}).get("type") != "RuntimeDefault":
        yield f"{pod.name}: no seccomp profile"
    if context.keys() & {"sysctls", "seLinuxOptions", "appArmorProfile", "windowsOptions"}:
        yield f"{pod.name}: more in its context than is allowed"
    if spec.get("automountServiceAccountToken") is not False:
        yield f"{pod.name}: has a token of the cluster"
    # They would set FLOWER_PORT and the like, which Flower takes for a setting.
    if spec.get("enableServiceLinks") is not False:
        yield f"{pod.name}: gets a variable for every Service"
    for volume in spec.get("volumes", []):
        if not (volume.keys() - {"name"}) <= RESTRICTED_VOLUMES:
            yield f"{pod.name}: volume {volume['name']} is of another kind"
    for container in pod.containers:
        yield from _check_container(pod.name, container)


def _check_container(pod: str, container: Object) -> Iterator[str]:
    where = f"{pod}/{container['name']}"
    context = container.get("securityContext", {})
    expected = {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    if context != expected:
        yield f"{where}: security context {context}"
    if any("hostPort" in port for port in container.get("ports", [])):
        yield f"{where}: a port of the node"
    resources = container.get("resources", {})
    if not {"cpu", "memory"} <= resources.get("requests", {}).keys() or "memory" not in resources.get(
        "limits", {}
    ):
        yield f"{where}: no requests or no limit of memory"
    tag = container["image"].rpartition(":")[2]
    if not re.fullmatch(r"\d+(\.\d+)+(-\w+)?", tag):
        yield f"{where}: image {container['image']} is of no version"


# references and variables


def check_references(objects: list[Object], secrets: dict[str, set[str]]) -> list[str]:
    """Faults of names: what is asked for and is not there. secrets: keys of those there will be."""
    configs = {name_of(each) for each in find(objects, "ConfigMap")}
    claims = {name_of(each) for each in find(objects, "PersistentVolumeClaim")}
    services = {name_of(each) for each in find(objects, "Service")}
    faults = []
    for pod in pods(objects):
        wanted = set(re.findall(r"""["']secretRef["']: \{["']name["']: ["']([\w-]+)""", repr(pod.spec)))
        wanted |= set(re.findall(r"""["']secretName["']: ["']([\w-]+)""", repr(pod.spec)))
        faults += [f"{pod.name}: no Secret {name}" for name in wanted - secrets.keys()]
        maps = set(re.findall(r"""["']configMapRef["']: \{["']name["']: ["']([\w-]+)""", repr(pod.spec)))
        faults += [f"{pod.name}: no ConfigMap {name}" for name in maps - configs]
        for key in re.findall(r"'secretKeyRef': (\{[^}]*\})", repr(pod.spec)):
            asked = yaml.safe_load(key)
            if asked["key"] not in secrets.get(asked["name"], set()):
                faults.append(f"{pod.name}: no {asked['key']} in Secret {asked['name']}")
        mounted = {
            mount["name"] for container in pod.containers for mount in container.get("volumeMounts", [])
        }
        volumes = {volume["name"] for volume in pod.spec.get("volumes", [])}
        faults += [
            f"{pod.name}: no volume {name}" for name in mounted - volumes - _templates(objects, pod.name)
        ]
        faults += [
            f"{pod.name}: no claim {volume['persistentVolumeClaim']['claimName']}"
            for volume in pod.spec.get("volumes", [])
            if volume.get("persistentVolumeClaim", {}).get("claimName", "") not in {*claims, ""}
        ]
    for each in find(objects, "StatefulSet"):
        if each["spec"]["serviceName"] not in services:
            faults.append(f"{name_of(each)}: no Service {each['spec']['serviceName']}")
    return faults + _check_selectors(objects) + _check_hosts(objects, services)


def _templates(objects: list[Object], name: str) -> set[str]:
    return {
        claim["metadata"]["name"]
        for each in find(objects, "StatefulSet")
        if name_of(each) == name
        for claim in each["spec"].get("volumeClaimTemplates", [])
    }


def _check_selectors(objects: list[Object]) -> list[str]:
    """Whoever selects pods has to find some; whoever makes pods has to select them and them alone."""
    faults = []
    every = pods(objects)
    for each in find(objects, "Deployment", "StatefulSet"):
        found = [pod.name for pod in every if selects(each["spec"]["selector"], pod.labels)]
        if found != [name_of(each)]:
            faults.append(f"{name_of(each)}: selects {found}")
    for each in find(objects, "Service", "PodDisruptionBudget", "PodMonitor"):
        selector = each["spec"]["selector"]
        selector = {"matchLabels": selector} if each["kind"] == "Service" else selector
        found_pods = [pod for pod in every if selects(selector, pod.labels)]
        several = each["kind"] == "PodMonitor"
        if len(found_pods) != 1 and not (several and found_pods):
            faults.append(f"{each['kind']} {name_of(each)}: selects {[pod.name for pod in found_pods]}")
        asked = {port["targetPort"] for port in each["spec"].get("ports", [])}
        asked |= {endpoint["port"] for endpoint in each["spec"].get("podMetricsEndpoints", [])}
        for pod in found_pods:
            open_ports = {port["name"] for container in pod.containers for port in container.get("ports", [])}
            faults += [
                f"{each['kind']} {name_of(each)}: {pod.name} has no port {port}"
                for port in asked - open_ports
            ]
    return faults


def _check_hosts(objects: list[Object], services: set[str]) -> list[str]:
    """Addresses of one word have to be Services of ours, with that port."""
    ports = {
        (name_of(each), str(port["port"]))
        for each in find(objects, "Service")
        for port in each["spec"]["ports"]
    }
    text = json.dumps([*find(objects, "ConfigMap", "ScaledObject"), *(pod.spec for pod in pods(objects))])
    used = re.findall(r"http://([a-z-]+)(?:\.landpatch\.svc)?:(\d+)", text)
    return [f"no Service {name}:{port}" for name, port in used if (name, port) not in ports]


def environment_of(
    container: Object, configs: dict[str, dict[str, str]], secrets: dict[str, dict[str, str]]
) -> dict[str, str]:
    """What a container finds in its environment; `?` where only the cluster knows."""
    found: dict[str, str] = {}
    for source in container.get("envFrom", []):
        if "configMapRef" in source:
            found |= configs.get(source["configMapRef"]["name"], {})
        if "secretRef" in source:
            found |= secrets.get(source["secretRef"]["name"], {})
    for each in container.get("env", []):
        found[each["name"]] = each.get("value", "?")
    return found


def _is_dashboard(config: Object) -> bool:
    """For Grafana, not for a service."""
    return "grafana_dashboard" in config["metadata"]["labels"]


def check_environment(objects: list[Object], secrets: dict[str, dict[str, str]]) -> list[str]:
    """Faults of variables: unknown ones, missing ones, wrong values, secrets where they are not needed."""
    configs = {name_of(each): each["data"] for each in find(objects, "ConfigMap") if not _is_dashboard(each)}
    faults = [
        f"{name}: {key} is no setting, or a secret"
        for name, data in configs.items()
        for key in data.keys() - (SETTINGS - SECRETS)
    ]
    for pod in pods(objects):
        for container in pod.containers:
            environment = environment_of(container, configs, secrets)
            service = role(pod, container)
            faults += check_variables(service, environment)
            faults += check_values({name: text for name, text in environment.items() if text != "?"})
    return faults


def check_commands(objects: list[Object]) -> list[str]:
    """Faults of commands, and of who takes from which queue."""
    faults = [
        fault
        for pod in pods(objects)
        for container in pod.containers
        for fault in check_command(role(pod, container), words_of(container))
    ]
    for pod in pods(objects):
        for container in pod.containers:
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                if "exec" in container.get(probe, {}):
                    faults += check_command(pod.name, container[probe]["exec"]["command"])
    commands = [words_of(container) for pod in pods(objects) for container in pod.containers]
    return faults + check_consumers(commands)


# life and scale


def check_lives(objects: list[Object]) -> list[str]:
    """Faults of probes, of how long a stop may take, of budgets for disruptions."""
    faults = []
    budgets = [each["spec"] for each in find(objects, "PodDisruptionBudget")]
    for each in find(objects, "Deployment", "StatefulSet"):
        (pod,) = pods([each])
        for container in pod.containers:
            if "livenessProbe" not in container:
                faults.append(f"{pod.name}/{container['name']}: nobody looks whether it lives")
            if "celery" in container["command"] or "services.reconciler" in container["command"]:
                faults += _check_worker(pod, container)
        if each["kind"] == "Deployment" and not any(selects(it["selector"], pod.labels) for it in budgets):
            faults.append(f"{pod.name}: no budget for disruptions")
        if any(budget.get("maxUnavailable") in {0, None} for budget in budgets):
            faults.append("a budget under which a node can never be drained")
    return faults


def _check_worker(pod: Pod, container: Object) -> Iterator[str]:
    if container["livenessProbe"].get("exec", {}).get("command") != ["python", "-m", "services.health"]:
        yield f"{pod.name}: its probe does not see whether it takes messages"
    if "celery" not in container["command"]:
        return
    if pod.spec.get("terminationGracePeriodSeconds", 30) <= HARD_LIMIT_S:
        yield f"{pod.name}: is killed before the longest task has ended"
    spreads = pod.spec.get("topologySpreadConstraints", [])
    if not any(selects(each["labelSelector"], pod.labels) for each in spreads):
        yield f"{pod.name}: all of them may be on one node"
    if any(each["name"] == "REMAP_SIGTERM" for each in container.get("env", [])):
        yield f"{pod.name}: would give its task back instead of ending it"


def selects(selector: Object, labels: dict[str, str]) -> bool:
    """Whether a label selector selects these labels."""
    for key, value in selector.get("matchLabels", {}).items():
        if labels.get(key) != value:
            return False
    for each in selector.get("matchExpressions", []):
        assert each["operator"] == "In"
        if labels.get(each["key"]) not in each["values"]:
            return False
    return True


def secrets_of(objects: list[Object]) -> dict[str, dict[str, str]]:
    """Keys and values of Secrets."""
    return {name_of(each): each["stringData"] for each in objects}
