"""Builds what the overlays use of kustomize, and refuses what it does not know.

So the manifests can be checked where there is no kubectl; where there is one, it has to agree.
"""

from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml

Object = dict[str, Any]
KNOWN = {"apiVersion", "kind", "resources", "components", "patches", "images", "configMapGenerator"}
MERGED_BY = {"containers": "name", "initContainers": "name", "env": "name", "volumes": "name"}
"""Lists whose entries a patch merges by this key; others it replaces."""


class _UniqueKeys(yaml.SafeLoader):
    """Refuses a mapping in which a key stands twice: the first would be lost."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        assert len(keys) == len(set(keys)), f"a key stands twice: {keys}"
        return super().construct_mapping(node, deep)


def read_objects(path: Path) -> list[Object]:
    """The objects of a file."""
    return [each for each in yaml.load_all(path.read_text(), _UniqueKeys) if each]


def build(folder: Path) -> list[Object]:
    """What `kubectl kustomize` makes of a folder, in some order."""
    return _apply(folder, [])


def apply_component(folder: Path, objects: list[Object]) -> list[Object]:
    """What a component makes of objects."""
    return _apply(folder, objects)


def _apply(folder: Path, objects: list[Object]) -> list[Object]:
    (settings,) = read_objects(folder / "kustomization.yaml")
    assert not settings.keys() - KNOWN, f"{folder}: unknown {settings.keys() - KNOWN}"
    for name in settings.get("resources", []):
        path = folder / name
        objects = objects + (build(path) if path.is_dir() else read_objects(path))
    objects += [_make_config(folder, each) for each in settings.get("configMapGenerator", [])]
    for name in settings.get("components", []):
        objects = _apply(folder / name, objects)
    for patch in settings.get("patches", []):
        assert patch.keys() == {"path"}
        for change in read_objects(folder / patch["path"]):
            (target,) = [each for each in objects if identity(each) == identity(change)]
            objects[objects.index(target)] = _merge(target, change)
    for image in settings.get("images", []):
        objects = [_rename(each, image) for each in objects]
    return objects


def _make_config(folder: Path, asked: Object) -> Object:
    """A ConfigMap of files."""
    assert asked["options"].keys() == {"disableNameSuffixHash", "labels"}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": asked["name"],
            "namespace": asked["namespace"],
            "labels": asked["options"]["labels"],
        },
        "data": {name: (folder / name).read_text() for name in asked["files"]},
    }


def identity(one: Object) -> tuple[str, str, str]:
    """What an object is told from others by."""
    return one["apiVersion"], one["kind"], one["metadata"].get("name", "")


def _merge(old: Any, new: Any, key: str = "") -> Any:
    if isinstance(old, dict) and isinstance(new, dict):
        assert "$patch" not in new
        return {
            name: _merge(old[name], new[name], name) if name in old and name in new else {**old, **new}[name]
            for name in {**old, **new}
        }
    if isinstance(old, list) and key in MERGED_BY:
        by = MERGED_BY[key]
        changes = {entry[by]: entry for entry in new}
        merged = [_merge(entry, changes.pop(entry[by], {})) for entry in old]
        return [*changes.values(), *merged]
    return deepcopy(new)


def _rename(one: Any, image: dict[str, str]) -> Any:
    if isinstance(one, dict):
        renamed = {key: _rename(value, image) for key, value in one.items()}
        name, _, tag = str(renamed.get("image", "")).rpartition(":")
        if name == image["name"]:
            renamed["image"] = f"{image['newName']}:{image.get('newTag', tag)}"
        return renamed
    return [_rename(each, image) for each in one] if isinstance(one, list) else one
