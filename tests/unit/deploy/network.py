"""What the NetworkPolicies let through, by the rules of Kubernetes."""

from ipaddress import ip_address, ip_network

from tests.unit.deploy.cluster import Pod, find, selects
from tests.unit.deploy.kustomize import Object


def may_leave(objects: list[Object], pod: Pod, to: Pod | str, port: int) -> bool:
    """Whether policies let a pod send to another, or to an address outside."""
    return _allowed(objects, pod, to, port, "Egress", "egress", "to")


def may_enter(objects: list[Object], pod: Pod, to: Pod, port: int) -> bool:
    """Whether policies let a pod take what another sends."""
    return _allowed(objects, to, pod, port, "Ingress", "ingress", "from")


def reaches(objects: list[Object], pod: Pod, to: Pod, port: int) -> bool:
    """Whether one pod reaches another."""
    return may_leave(objects, pod, to, port) and may_enter(objects, pod, to, port)


def _allowed(
    objects: list[Object], pod: Pod, other: Pod | str, port: int, kind: str, rules: str, side: str
) -> bool:
    policies = [
        each["spec"]
        for each in find(objects, "NetworkPolicy")
        if kind in each["spec"]["policyTypes"] and selects(each["spec"]["podSelector"], pod.labels)
    ]
    if not policies:
        return True  # Kubernetes isolates only the pods that a policy selects
    return any(
        (not rule.get("ports") or any(each["port"] == port for each in rule["ports"]))
        and (not rule.get(side) or any(_is_peer(peer, other) for peer in rule[side]))
        for policy in policies
        for rule in policy.get(rules, [])
    )


def _is_peer(peer: Object, other: Pod | str) -> bool:
    if "ipBlock" in peer:
        block = peer["ipBlock"]
        if isinstance(other, Pod) or ip_address(other) not in ip_network(block["cidr"]):
            return False
        return not any(ip_address(other) in ip_network(each) for each in block.get("except", []))
    if not isinstance(other, Pod):
        return False
    namespace = {"kubernetes.io/metadata.name": other.namespace}
    here = {"matchLabels": {"kubernetes.io/metadata.name": "landpatch"}}
    return selects(peer.get("namespaceSelector", here), namespace) and selects(
        peer.get("podSelector", {}), other.labels
    )
