"""What the Kubernetes manifests say of workers that come and go; nothing of it is said twice.

A field that the simulation does not follow is refused, so that no rule is simulated that is not in force.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from benchmarks.autoscaler import Direction, Policy, Rule
from benchmarks.products import ROOT

K8S = ROOT / "k8s"
SCALED = K8S / "components" / "autoscaling"


class _Part(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", frozen=True)


class _Policy(_Part):
    type: Literal["Pods", "Percent"]
    value: int = Field(gt=0)
    period_seconds: int = Field(gt=0)


class _Rules(_Part):
    stabilization_window_seconds: int
    select_policy: Literal["Max", "Min", "Disabled"] = "Max"
    policies: tuple[_Policy, ...] = Field(min_length=1)

    def direction(self) -> Direction:
        policies = tuple(Policy(each.type, each.value, each.period_seconds) for each in self.policies)
        return Direction(self.stabilization_window_seconds, policies, self.select_policy)


class _Behavior(_Part):
    scale_up: _Rules
    scale_down: _Rules


class _Autoscaler(_Part):
    behavior: _Behavior


class _Advanced(_Part):
    horizontal_pod_autoscaler_config: _Autoscaler


class _Fallback(_Part):
    """Nobody goes while the metric cannot be had, and nobody comes but the first."""

    failure_threshold: int
    replicas: Literal[1]
    behavior: Literal["currentReplicasIfHigher"]


class _Place(_Part):
    url: str
    format: Literal["prometheus"]
    value_location: str
    target_value: float = Field(gt=0)
    activation_target_value: float


class _Trigger(_Part):
    type: Literal["metrics-api"]
    metric_type: Literal["AverageValue"]
    metadata: _Place


class _Target(_Part):
    name: str


class _Spec(_Part):
    scale_target_ref: _Target
    min_replica_count: int
    max_replica_count: int
    polling_interval: int
    cooldown_period: int
    fallback: _Fallback
    advanced: _Advanced
    triggers: tuple[_Trigger]


@dataclass(frozen=True, slots=True)
class Series:
    """One series of a Prometheus exposition."""

    name: str
    labels: dict[str, str]


@dataclass(frozen=True, slots=True)
class Scaled:
    """A Deployment and the rule by which it is scaled."""

    name: str
    rule: Rule
    series: Series
    words: tuple[str, ...]
    """The worker's command."""
    grace_s: float
    """From being told to stop until being killed."""
    cores: float
    """That each worker asks for."""


def read_rule(scaled_object: dict[str, Any]) -> tuple[str, Rule, Series]:
    """Name of the Deployment, rule and metric of a ScaledObject; raises pydantic.ValidationError."""
    spec = _Spec.model_validate(scaled_object["spec"])
    behavior = spec.advanced.horizontal_pod_autoscaler_config.behavior
    metadata = spec.triggers[0].metadata
    rule = Rule(
        least=spec.min_replica_count,
        most=spec.max_replica_count,
        target=metadata.target_value,
        activation=metadata.activation_target_value,
        polling_s=spec.polling_interval,
        cooldown_s=spec.cooldown_period,
        up=behavior.scale_up.direction(),
        down=behavior.scale_down.direction(),
    )
    name, _, labels = metadata.value_location.partition("{")
    return spec.scale_target_ref.name, rule, Series(name, dict(re.findall(r'(\w+)="([^"]*)"', labels)))


def read_scaled(path: Path) -> Scaled:
    """A ScaledObject of a file, with the Deployment that it scales."""
    name, rule, series = read_rule(yaml.safe_load(path.read_text()))
    pod = yaml.safe_load((K8S / "base" / f"{name}.yaml").read_text())["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    asked = str(container["resources"]["requests"]["cpu"])
    cores = int(asked.removesuffix("m")) / 1000 if asked.endswith("m") else float(asked)
    words = (*container["command"], *container["args"])
    return Scaled(name, rule, series, words, float(pod["terminationGracePeriodSeconds"]), cores)


def read_all() -> list[Scaled]:
    """Every Deployment that is scaled."""
    listed = yaml.safe_load((SCALED / "kustomization.yaml").read_text())["resources"]
    return [read_scaled(SCALED / name) for name in listed]
