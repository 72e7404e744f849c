"""The overlays of `k8s/`, as lists of objects, and what is looked up in them."""

from copy import deepcopy
from functools import lru_cache

from tests.environment import ROOT
from tests.unit.deploy.cluster import find, name_of, pods
from tests.unit.deploy.kustomize import Object, build, read_objects

K8S = ROOT / "k8s"
OVERLAYS = ("sandbox", "production")
JOBS = {"sandbox": "sandbox-region.yaml", "production": "region.yaml"}
EXAMPLE = K8S / "overlays" / "production" / "secrets.example.yaml"
TRACING = K8S / "components" / "tracing"


@lru_cache
def _build(name: str) -> tuple[Object, ...]:
    return (*build(K8S / "overlays" / name), *read_objects(K8S / "jobs" / JOBS[name]))


def overlay(name: str) -> list[Object]:
    """An overlay with the Job that goes with it."""
    return deepcopy(list(_build(name)))


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


def settings_of(objects: list[Object]) -> dict[str, str]:
    """What the ConfigMap that all services read holds."""
    (config,) = [each for each in find(objects, "ConfigMap") if name_of(each) == "landpatch-settings"]
    data: dict[str, str] = config["data"]
    return data
