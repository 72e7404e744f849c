"""docker-compose.yml and the script around it, as Compose itself reads them; each check is shown to fail."""

import json
import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from copy import deepcopy
from itertools import pairwise
from pathlib import Path

import jsonschema
import pytest
import yaml

from landpatch import __version__
from tests.environment import ROOT
from tests.unit.deploy.known import (
    FILES,
    NEEDS,
    NO_SETTINGS,
    SECRETS,
    SETTINGS,
    check_command,
    check_consumers,
    check_values,
    check_variables,
    defaults,
)
from tests.waiting import LONG_S

COMPOSE = ROOT / "docker-compose.yml"
SCHEMA = ROOT / "tests" / "data" / "schemas" / "compose-spec.json"
WORKERS = {"dispatcher", "image-worker", "label-worker", "indexer"}
SANDBOX = {"sandbox", "eo-store", "eodata"}
STORE = {"store", "files"}
MONITORING = {"prometheus", "grafana"}
ONCE = {"submit", "prepare"}
ALWAYS = WORKERS | {"redis", "reconciler", "metrics", "flower"}
NAMES = {
    "AWS_ACCESS_KEY_ID",
    "EO_S3_ACCESS_KEY_ID",
    "LANDPATCH_CDSE_USER",
    "LANDPATCH_SENTINELHUB_CLIENT_ID",
}
"""Secrets that name an account, and open nothing alone."""
OF_THIS_MACHINE = {
    "LANDPATCH_HEARTBEAT_FILE", "LANDPATCH_METRICS_LISTEN", "LANDPATCH_THREADS", "LANDPATCH_CACHE_DIR",
    "LANDPATCH_SERVE_TOKEN", *FILES,
}  # fmt: skip
"""Settings that the image or the Compose file gives, or that are for the machine that asks."""
USERS = {"redis": "redis", "prometheus": "65534:65534", "grafana": "472:0"}
"""Of the images of others, their own; none is root's."""
Project = dict


class Checkout:
    """What Compose needs of the project, in a folder, and a `docker` that notes what it is told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.notes = folder / "docker.txt"
        (folder / "scripts").mkdir()
        (folder / "bin").mkdir()
        shutil.copy(COMPOSE, folder)
        for used in ("monitoring", "k8s/components/monitoring"):
            shutil.copytree(ROOT / used, folder / used)
        shutil.copy(ROOT / "scripts" / "compose.sh", folder / "scripts")
        docker = folder / "bin" / "docker"
        compose = Path(sys.executable).parent / "docker-compose"
        docker.write_text(
            "#!/bin/sh\n"
            f'echo "$COMPOSE_PROFILES: $*" >>{self.notes}\n'
            f'case "$*" in *config*) shift; exec {compose} "$@" ;; esac\n'
        )
        docker.chmod(0o755)

    def run(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """scripts/compose.sh, in an environment that has nothing but what is given."""
        return subprocess.run(
            [self.folder / "scripts" / "compose.sh", *words],
            env={"PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}", "HOME": str(self.folder)}
            | environment,
            capture_output=True,
            text=True,
            timeout=LONG_S,
            check=False,
        )

    def read(self, **environment: str) -> Project:
        """The project as Compose understands it, with the profiles that the script has chosen."""
        ran = self.run("config", "--format", "json", **environment)
        assert ran.returncode == 0, ran.stderr
        found: Project = json.loads(ran.stdout)
        return found


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    if sys.platform != "linux":
        pytest.skip("there is no docker-compose in the environment")
    return Checkout(tmp_path)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Everything: no setting is given, and the services that run once are included."""
    if sys.platform != "linux":
        pytest.skip("there is no docker-compose in the environment")
    return Checkout(tmp_path_factory.mktemp("whole")).read(COMPOSE_PROFILES="store,sandbox,monitoring,submit")


# what Compose says


def test_the_file_is_a_compose_file():
    content = yaml.safe_load(COMPOSE.read_text())
    schema = json.loads(SCHEMA.read_text())
    validator = jsonschema.Draft7Validator(schema)
    validator.validate(content)
    content["services"]["redis"]["restarts"] = "always"
    with pytest.raises(jsonschema.ValidationError, match="restarts"):
        validator.validate(content)


def test_compose_refuses_a_file_that_is_none(checkout):
    file = checkout.folder / "docker-compose.yml"
    file.write_text(file.read_text().replace("condition: service_healthy", "condition: service_fine", 1))
    assert checkout.run("config").returncode != 0


def test_without_credentials_there_are_a_store_and_the_sandbox(checkout):
    assert checkout.read()["services"].keys() == ALWAYS | STORE | SANDBOX


def test_with_credentials_there_is_no_sandbox(checkout):
    project = checkout.read(EO_S3_ACCESS_KEY_ID="mine", EO_S3_SECRET_ACCESS_KEY="hidden")
    assert project["services"].keys() == ALWAYS | STORE
    environment = project["services"]["image-worker"]["environment"]
    assert environment["EO_S3_ACCESS_KEY_ID"] == "mine"
    assert not environment.keys() & {"LANDPATCH_SOURCE", "LANDPATCH_EO_S3_ENDPOINT", "LANDPATCH_ODATA_URL"}


def test_with_a_user_of_the_download_there_is_no_sandbox(checkout):
    given = {"LANDPATCH_CDSE_USER": "me@example.org", "LANDPATCH_CDSE_PASSWORD": "hidden"}
    project = checkout.read(**given, LANDPATCH_IMAGE_SOURCE="odata-zip")
    assert project["services"].keys() == ALWAYS | STORE
    environment = project["services"]["image-worker"]["environment"]
    assert environment.items() >= given.items()
    assert not environment.keys() & {"LANDPATCH_SOURCE", "LANDPATCH_CDSE_TOKEN_URL", "EO_S3_ACCESS_KEY_ID"}
    assert "LANDPATCH_CDSE_USER" not in project["services"]["dispatcher"]["environment"]


def test_with_a_client_of_sentinel_hub_there_is_no_sandbox_and_the_dispatcher_knows_it(checkout):
    given = {"LANDPATCH_SENTINELHUB_CLIENT_ID": "sh-mine", "LANDPATCH_SENTINELHUB_CLIENT_SECRET": "hidden"}
    project = checkout.read(**given, LANDPATCH_IMAGE_SOURCE="sentinelhub")
    assert project["services"].keys() == ALWAYS | STORE
    for service in ("dispatcher", "image-worker"):
        assert project["services"][service]["environment"].items() >= given.items()
    assert not project["services"]["label-worker"]["environment"].keys() & given.keys()


def test_with_a_store_there_is_no_other(checkout):
    (checkout.folder / ".env").write_text(
        "# mine\nAWS_S3_ENDPOINT=s3.example.org\nAWS_ACCESS_KEY_ID = spaced\n"
        "export AWS_SECRET_ACCESS_KEY=\"ab$c#d+/=\"\nLANDPATCH_BUCKET='patches'  \nOTHER=x\n"
    )
    project = checkout.read(LANDPATCH_BUCKET="above")
    assert project["services"].keys() == ALWAYS | SANDBOX
    environment = project["services"]["indexer"]["environment"]
    assert environment["AWS_S3_ENDPOINT"] == "s3.example.org"
    assert environment["AWS_SECRET_ACCESS_KEY"].replace("$$", "$") == "ab$c#d+/="
    assert environment["LANDPATCH_BUCKET"] == "above", "the environment wins over the file"
    assert "OTHER" not in environment
    assert "LANDPATCH_STORE_URL" not in environment


def test_profiles_that_are_chosen_are_kept(checkout):
    assert checkout.read(COMPOSE_PROFILES="store")["services"].keys() == ALWAYS | STORE


def test_afterwards_docker_compose_works_without_the_script(checkout):
    assert checkout.run("up").returncode == 0
    tool = Path(sys.executable).parent / "docker-compose"
    ran = subprocess.run(
        [tool, "config", "--format", "json"],
        cwd=checkout.folder,
        env={"PATH": os.environ["PATH"], "HOME": str(checkout.folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["services"].keys() == ALWAYS


def test_a_region_starts_what_does_not_run_and_asks_the_sandbox_first(checkout):
    assert checkout.run("region", "FR101", "--year", "2020").returncode == 0
    assert checkout.notes.read_text().splitlines() == [
        "store,sandbox: compose ps --quiet dispatcher",
        "store,sandbox: compose up --detach --wait",
        "store,sandbox: compose run --rm --no-deps prepare FR101 --year 2020",
        "store,sandbox: compose run --rm --no-deps submit region FR101 --year 2020",
    ]


def test_many_regions_are_prepared_and_submitted_together(checkout):
    assert checkout.run("region", "FR101", "LU000", "--cover", "within", "--at-once", "5").returncode == 0
    assert checkout.notes.read_text().splitlines()[-2:] == [
        "store,sandbox: compose run --rm --no-deps prepare FR101 LU000 --year 2021",
        "store,sandbox: compose run --rm --no-deps submit region FR101 LU000 --cover within --at-once 5",
    ]


def test_a_region_of_the_real_services_asks_no_sandbox(checkout):
    checkout.run("region", "FR101", EO_S3_ACCESS_KEY_ID="mine", EO_S3_SECRET_ACCESS_KEY="hidden")
    assert not [line for line in checkout.notes.read_text().splitlines() if "prepare" in line]


# secrets


def test_passwords_are_made_once_and_only_their_owner_reads_them(checkout):
    checkout.run("up")
    folder = checkout.folder / ".state" / "compose"
    first = {path.name: path.read_text() for path in folder.iterdir() if path.is_file()}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for path in folder.rglob("*"):
        # Containers read these as other users, below a folder that is closed to others.
        read_inside = {"redis_password", "redis_ca", "label_classes", "alerts.yaml"}
        assert path.name in read_inside or not path.stat().st_mode & 0o077, path
    checkout.run("up")
    assert {path.name: path.read_text() for path in folder.iterdir() if path.is_file()} == first


def test_a_setting_that_no_env_file_can_hold_is_refused_and_not_repeated(checkout):
    ran = checkout.run("up", AWS_SECRET_ACCESS_KEY="it's")
    assert ran.returncode == 2
    assert "AWS_SECRET_ACCESS_KEY" in ran.stderr
    assert "it's" not in ran.stdout + ran.stderr


def check_secrets(project: Project) -> list[str]:
    """Secrets that stand anywhere but in the environment of those who need them."""
    values = {
        text
        for service in project["services"].values()
        for name, text in service.get("environment", {}).items()
        if name in SECRETS - NAMES
    }
    values |= {password for value in values for password in re.findall(r"[0-9a-f]{48}", value)}
    elsewhere = deepcopy(project)
    for service in elsewhere["services"].values():
        service.pop("environment", None)
    text = json.dumps(elsewhere)
    return [f"{len(value)} characters of a secret" for value in values if value in text]


def test_no_secret_is_in_the_file_or_on_a_command_line(whole):
    assert check_secrets(whole) == []
    raw = yaml.safe_load(COMPOSE.read_text())
    for service in raw["services"].values():
        assert not service.get("environment", {}).keys() & SECRETS
    broken = deepcopy(whole)
    secret = broken["services"]["store"]["environment"]["AWS_SECRET_ACCESS_KEY"]
    broken["services"]["store"]["command"].append(secret)
    assert check_secrets(broken) != []


# what the services find


def check_services(project: Project) -> list[str]:
    """Faults of commands, variables, values, queues and probes."""
    faults = []
    commands = []
    for name, service in project["services"].items():
        environment = service.get("environment") or {}
        words = [*(service.get("entrypoint") or []), *(service.get("command") or [])]
        faults += check_variables(name, environment)
        faults += check_values({key: text for key, text in environment.items() if key in SETTINGS})
        faults += check_command(name, words)
        commands.append(words)
        test = service.get("healthcheck", {}).get("test", [])
        if test[:1] == ["CMD"] and name not in MONITORING:
            faults += check_command(name, test[1:])
    return faults + check_consumers(commands)


def check_containment(project: Project) -> list[str]:
    """Faults of what a container may do, and of what is done when it ends."""
    faults = []
    for name, service in project["services"].items():
        expected = {
            "read_only": True,
            "cap_drop": ["ALL"],
            "security_opt": ["no-new-privileges:true"],
            "init": True,
            "restart": "no" if name in ONCE else "unless-stopped",
            "user": USERS.get(name, "10001:10001"),
        }
        faults += [
            f"{name}: {key} is {service.get(key)}" for key in expected if service.get(key) != expected[key]
        ]
        faults += [
            f"{name}: {key}" for key in ("privileged", "cap_add", "network_mode", "pid") if key in service
        ]
        faults += [
            f"{name}: no {key}"
            for key in ("mem_limit", "cpus", "pids_limit", "logging")
            if key not in service
        ]
        if any(port.get("host_ip") != "127.0.0.1" for port in service.get("ports", [])):
            faults.append(f"{name}: open to other machines")
        if any(volume["type"] != "volume" for volume in service.get("volumes", [])):
            faults.append(f"{name}: has a folder of this machine")
        if not re.fullmatch(
            rf"landpatch-(worker|stack):{re.escape(__version__)}|redis:[\d.]+-\w+"
            r"|prom/prometheus:v[\d.]+|grafana/grafana:[\d.]+",
            service["image"],
        ):
            faults.append(f"{name}: image {service['image']}")
    return faults


def check_networks(project: Project) -> list[str]:
    """Faults of who can reach out, and of what is open to people."""
    networks = {name: set(service["networks"]) for name, service in project["services"].items()}
    out = {name for name, joined in networks.items() if "outside" in joined}
    faults = [] if out == WORKERS | {"submit"} else [f"{sorted(out)} reach out"]
    for name, service in project["services"].items():
        if ("screens" in networks[name]) != ("ports" in service):
            faults.append(f"{name}: on the network of screens without a port, or the other way round")
    if not project["networks"]["inside"].get("internal"):
        faults.append("what is inside gets out")
    masquerade = project["networks"]["screens"]["driver_opts"][
        "com.docker.network.bridge.enable_ip_masquerade"
    ]
    return faults if masquerade == "false" else [*faults, "screens reach out"]


def check_order(project: Project) -> list[str]:
    """Faults of what waits for what."""
    services = project["services"]
    faults = []
    for name, service in services.items():
        for other, how in service.get("depends_on", {}).items():
            if how["condition"] != "service_healthy":
                faults.append(f"{name}: does not wait until {other} is well")
            if other not in ALWAYS and how["required"] and "profiles" not in service:
                faults.append(f"{name}: cannot start without {other}")
        probe = service.get("healthcheck", {})
        if name not in ONCE and not {"test", "interval", "timeout", "retries"} <= probe.keys():
            faults.append(f"{name}: nobody looks whether it is well")
        if name in ALWAYS - {"redis"} and "redis" not in service.get("depends_on", {}):
            faults.append(f"{name}: does not wait for Redis")
    return faults


def check_redis(project: Project) -> list[str]:
    """Faults of how Redis keeps what it is told."""
    words = project["services"]["redis"]["command"]
    said = dict(pairwise(words))
    meant = {"--appendonly": "yes", "--save": "", "--maxmemory-policy": "noeviction", "--dir": "/data"}
    faults = [
        f"redis: {option} is {said.get(option)}" for option in meant if said.get(option) != meant[option]
    ]
    if words[1] != "/run/secrets/redis_password":
        faults.append("redis: no password")
    if [volume["target"] for volume in project["services"]["redis"].get("volumes", [])] != ["/data"]:
        faults.append("redis: forgets")
    return faults


CHECKS: dict[str, Callable[[Project], list[str]]] = {
    "services": check_services,
    "containment": check_containment,
    "networks": check_networks,
    "order": check_order,
    "redis": check_redis,
}


@pytest.mark.parametrize("check", CHECKS)
def test_the_services_pass_every_check(check, whole):
    assert whole["services"].keys() == ALWAYS | STORE | SANDBOX | MONITORING | ONCE
    assert CHECKS[check](whole) == []


BREAKS: dict[str, tuple[str, Callable[[dict], object]]] = {
    "a wrong queue": ("services", lambda them: _swap(them["label-worker"]["command"], "labels", "label")),
    "a queue that two take": ("services", lambda them: _swap(them["indexer"]["command"], "index", "images")),
    "a queue that nobody takes": ("services", lambda them: them.pop("label-worker")),
    "a module that there is not": (
        "services",
        lambda them: _swap(them["reconciler"]["command"], "services.reconciler", "services.reconcile"),
    ),
    "an option that there is not": (
        "services",
        lambda them: _swap(them["sandbox"]["command"], "--root", "--folder"),
    ),
    "a probe that runs nothing": (
        "services",
        lambda them: _swap(them["store"]["healthcheck"]["test"], "services.health", "services.probe"),
    ),
    "an unknown variable": (
        "services",
        lambda them: them["image-worker"]["environment"].update(LANDPATCH_THREAD="2"),
    ),
    "a wrong value": (
        "services",
        lambda them: them["image-worker"]["environment"].update(LANDPATCH_THREADS="all"),
    ),
    "a missing secret": (
        "services",
        lambda them: them["flower"]["environment"].pop("FLOWER_BASIC_AUTH"),
    ),
    "a secret too many": (
        "services",
        lambda them: them["metrics"]["environment"].update(EO_S3_SECRET_ACCESS_KEY="x"),
    ),
    "a privileged container": ("containment", lambda them: them["flower"].update(privileged=True)),
    "root": ("containment", lambda them: them["store"].update(user="0:0")),
    "a capability": ("containment", lambda them: them["indexer"].pop("cap_drop")),
    "no limit": ("containment", lambda them: them["image-worker"].pop("mem_limit")),
    "a port for everybody": (
        "containment",
        lambda them: them["flower"]["ports"][0].update(host_ip="192.0.2.1"),
    ),
    "nobody starts it again": ("containment", lambda them: them["dispatcher"].update(restart="no")),
    "Redis reaches out": ("networks", lambda them: them["redis"]["networks"].update(outside=None)),
    "a worker that reaches nobody": (
        "networks",
        lambda them: them["image-worker"]["networks"].pop("outside"),
    ),
    "a port on a closed network": ("networks", lambda them: them["flower"]["networks"].pop("screens")),
    "nobody waits": (
        "order",
        lambda them: them["image-worker"]["depends_on"]["redis"].update(condition="service_started"),
    ),
    "nobody looks": ("order", lambda them: them["image-worker"].pop("healthcheck")),
    "a store that has to be there": (
        "order",
        lambda them: them["image-worker"]["depends_on"]["store"].update(required=True),
    ),
    "Redis throws out": ("redis", lambda them: _swap(them["redis"]["command"], "noeviction", "allkeys-lru")),
    "Redis writes snapshots": ("redis", lambda them: them["redis"]["command"].remove("--save")),
    "Redis forgets": ("redis", lambda them: them["redis"].update(volumes=[])),
    "Redis without a password": (
        "redis",
        lambda them: them["redis"]["command"].remove("/run/secrets/redis_password"),
    ),
}


def _swap(words: list[str], old: str, new: str) -> None:
    words[words.index(old)] = new


@pytest.mark.parametrize("broken", BREAKS)
def test_a_check_finds_what_is_broken(broken, whole):
    check, damage = BREAKS[broken]
    project = deepcopy(whole)
    damage(project["services"])
    assert CHECKS[check](project) != []


def test_every_setting_reaches_the_services(checkout):
    given = dict.fromkeys(SETTINGS - SECRETS - OF_THIS_MACHINE, "7")
    given |= {name: f"secret-{name}" for name in SECRETS}
    project = checkout.read(**given)
    for service, needed in NEEDS.items():
        if service not in project["services"]:
            continue
        environment = project["services"][service]["environment"]
        expected = SETTINGS - SECRETS - OF_THIS_MACHINE | needed
        assert {name for name in expected if environment.get(name) != given.get(name)} == set(), service
    assert NO_SETTINGS & given.keys() == {"FLOWER_BASIC_AUTH"}


def test_a_private_authority_of_redis_is_mounted(checkout):
    (checkout.folder / "ca.pem").write_text("-----BEGIN CERTIFICATE-----")
    given = {"LANDPATCH_REDIS_CA_FILE": str(checkout.folder / "ca.pem")}
    project = checkout.read(**given, LANDPATCH_REDIS_URL="rediss://:secret@redis.example.org/0")
    for name in ALWAYS - {"redis"}:
        service = project["services"][name]
        assert service["environment"]["LANDPATCH_REDIS_CA_FILE"] == "/run/secrets/redis_ca"
        assert "redis_ca" in [secret["source"] for secret in service["secrets"]]
    assert Path(project["secrets"]["redis_ca"]["file"]).read_text() == "-----BEGIN CERTIFICATE-----"
    absent = checkout.run("config", LANDPATCH_REDIS_CA_FILE=str(checkout.folder / "none.pem"))
    assert absent.returncode == 2


def test_a_class_table_is_mounted_for_those_who_know_labels_and_one_in_braces_is_left_alone(checkout):
    (checkout.folder / "classes.yaml").write_text("10: Trees\n")
    project = checkout.read(LANDPATCH_LABEL_CLASSES=str(checkout.folder / "classes.yaml"))
    for name in ("dispatcher", "label-worker", "indexer"):
        service = project["services"][name]
        assert service["environment"]["LANDPATCH_LABEL_CLASSES"] == "/run/secrets/label_classes"
        assert "label_classes" in [secret["source"] for secret in service["secrets"]]
    assert Path(project["secrets"]["label_classes"]["file"]).read_text() == "10: Trees\n"
    project = checkout.read(LANDPATCH_LABEL_CLASSES="{10: 3, 80: 10}")
    assert project["services"]["indexer"]["environment"]["LANDPATCH_LABEL_CLASSES"] == "{10: 3, 80: 10}"
    assert Path(project["secrets"]["label_classes"]["file"]).read_text() == ""
    assert checkout.run("config", LANDPATCH_LABEL_CLASSES="/nowhere/classes.yaml").returncode == 2


def test_an_image_worker_has_the_memory_that_its_processes_may_use(whole):
    service = whole["services"]["image-worker"]
    processes = int(service["command"][service["command"].index("--concurrency") + 1])
    assert int(service["mem_limit"]) >= processes * defaults().memory_bytes + 256 * 2**20
    assert float(service["cpus"]) == float(service["environment"]["LANDPATCH_THREADS"])
