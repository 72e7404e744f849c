"""The Job that scripts/k8s-region.sh makes, with a kubectl that notes what it is given."""

import os
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.environment import ROOT
from tests.unit.deploy.cluster import check_schemas, check_security
from tests.unit.deploy.kustomize import Object


def submit(folder: Path, *words: str, sandbox: bool) -> Object:
    """The Job that is created."""
    kubectl = folder / "kubectl"
    kubectl.write_text(
        "#!/bin/sh\n"
        'case "$*" in\n'
        "*'get deployment reconciler'*) printf registry.example.org/landpatch-worker:9.9.9 ;;\n"
        "*'get deployment metrics'*) printf registry.example.org/landpatch-stack:9.9.9 ;;\n"
        f"*'get statefulset sandbox'*) exit {0 if sandbox else 1} ;;\n"
        f"*'create --filename -'*) cat >{folder}/job.yaml ;;\n"
        "esac\n"
    )
    kubectl.chmod(0o755)
    ran = subprocess.run(
        [ROOT / "scripts" / "k8s-region.sh", *words],
        env={"PATH": f"{folder}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    job: Object = yaml.safe_load((folder / "job.yaml").read_text())
    return job


@pytest.mark.parametrize("sandbox", [True, False])
def test_a_region_becomes_a_job_of_the_images_that_run(sandbox, tmp_path):
    job = submit(tmp_path, "LU000", "--year", "2020", "--cover", "within", sandbox=sandbox)
    assert check_schemas([job]) == []
    assert check_security([job]) == []
    spec = job["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    assert container["image"] == "registry.example.org/landpatch-worker:9.9.9"
    assert container["args"] == ["LU000", "--year", "2020", "--cover", "within"]
    first = spec.get("initContainers", [])
    assert [each["args"] for each in first] == ([["LU000", "--year", "2020"]] if sandbox else [])
    assert [each["image"] for each in first] == ["registry.example.org/landpatch-stack:9.9.9"] * sandbox


def test_without_a_year_the_sandbox_is_asked_for_that_of_the_command(tmp_path):
    job = submit(tmp_path, "FR101", sandbox=True)
    assert job["spec"]["template"]["spec"]["initContainers"][0]["args"] == ["FR101", "--year", "2021"]


def test_many_regions_are_one_job(tmp_path):
    job = submit(tmp_path, "FR101", "LU000", "--year", "2020", "--at-once", "5", sandbox=True)
    spec = job["spec"]["template"]["spec"]
    assert spec["containers"][0]["args"] == ["FR101", "LU000", "--year", "2020", "--at-once", "5"]
    assert spec["initContainers"][0]["args"] == ["FR101", "LU000", "--year", "2020"]
