"""A worker of a cluster that is told to stop ends what it has in hand, takes nothing more, and is gone."""

import signal
import subprocess
import sys

import redis
import yaml

from landpatch.broker import count_waiting, in_hand
from landpatch.celery import make_app
from landpatch.settings import Settings
from tests.environment import ROOT
from tests.processes import running
from tests.waiting import LONG_S, wait_until


def test_a_task_that_has_begun_is_ended_and_the_next_one_is_left(environment, tmp_path):
    manifest = yaml.safe_load((ROOT / "k8s" / "base" / "image-worker.yaml").read_text())
    (container,) = manifest["spec"]["template"]["spec"]["containers"]
    words = [*container["command"], *container["args"]][3:]
    words[words.index("services.image_worker")] = "tests.integration.slow"
    words[words.index("--concurrency") + 1] = "1"
    client = redis.Redis.from_url(environment["LANDPATCH_REDIS_URL"], decode_responses=True)
    app = make_app("tests.stop", Settings.model_validate(environment))
    for name in ("first", "second"):
        app.send_task("slow.write", kwargs={"name": name}, queue="images")
    with running(
        [sys.executable, "-m", "celery", *words], SLOW_FOLDER=str(tmp_path), **environment
    ) as worker:
        wait_until((tmp_path / "first.begun").exists)
        worker.send_signal(signal.SIGTERM)
        try:
            code = worker.wait(timeout=LONG_S)
        except subprocess.TimeoutExpired:
            code = None
        assert code == 0, "it does not wait for the limit of a task, which is an hour"
    assert (tmp_path / "first.ended").exists()
    assert not (tmp_path / "second.begun").exists()
    assert count_waiting(client, ["images"]) == {"images": 1}
    assert in_hand(client) == []
