"""Start, watch and stop the embedded stack. supervisord does the work; this tells it what."""

import fcntl
import json
import os
import shlex
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import psutil
import redis
import requests
from supervisor.xmlrpc import SupervisorTransport

from landpatch.errors import ConfigurationError, InfrastructureError, LandpatchError
from landpatch.settings import Settings, load_settings
from landpatch.storage import open_store
from services.stack.parts import WORKERS, Part, embeds_sandbox, make_environment, make_parts
from services.stack.state import MARKER, ROOT, Access, Folders, load_access, state_folder, write_private

START_TIMEOUT_S = 60
STOP_TIMEOUT_S = 60
POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class PartStatus:
    """How a part is doing."""

    name: str
    state: str
    pid: int
    uptime_s: float
    address: str


def up(settings: Settings | None = None) -> dict[str, str]:
    """Start what is not running, and wait until all of it answers.

    Returns the environment that clients of the stack need. Raises InfrastructureError that names the
    log to read when a part does not come up.
    """
    settings = settings or load_settings(ROOT / ".env")
    if settings.redis_url is not None:
        raise ConfigurationError(
            "LANDPATCH_REDIS_URL is set, so the workers run elsewhere; unset it to use the embedded stack,"
            " or set AWS_S3_ENDPOINT and the EO_S3_… credentials as those workers have them"
        )
    folders = Folders(state_folder())
    folders.make()
    with _locked(folders):
        access = load_access(folders)
        environment = make_environment(settings, access, folders)
        parts = make_parts(settings, access, folders)
        if not _is_running(folders, _fingerprint(parts, environment)):
            _stop(folders)
            _start(folders, parts, environment)
        _await_health(settings, access, folders, environment)
    return environment


def start_for(settings: Settings) -> Settings:
    """Start the stack and return the settings with which to use it, from this process on."""
    os.environ.update(up(settings))
    return load_settings()


def running_settings(settings: Settings) -> Settings:
    """The settings with which to use the stack that is running.

    Raises InfrastructureError when none is.
    """
    folders = Folders(state_folder())
    if _control(folders) is None:
        raise InfrastructureError("the embedded stack is not running; start it with `make up`")
    os.environ.update(make_environment(settings, load_access(folders), folders))
    return load_settings()


def down() -> list[str]:
    """Stop everything. Returns the names of the parts that were running."""
    folders = Folders(state_folder())
    if not folders.run.exists():
        return []
    with _locked(folders):
        running = [part.name for part in status() if part.state == "RUNNING"]
        _stop(folders)
    return running


def status() -> list[PartStatus]:
    """How each part is doing; empty when the stack is not running."""
    folders = Folders(state_folder())
    control = _control(folders)
    if control is None:
        return []
    addresses = _read_addresses(folders)
    return [
        PartStatus(
            name=info["name"],
            state=info["statename"],
            pid=info["pid"],
            uptime_s=max(info["now"] - info["start"], 0) if info["pid"] else 0,
            address=addresses.get(info["name"], ""),
        )
        for info in control.supervisor.getAllProcessInfo()
    ]


def queue_lengths() -> dict[str, int]:
    """Messages that wait on each queue of the running stack."""
    access = load_access(Folders(state_folder()))
    client = _redis_client(access)
    return {queue: int(client.llen(queue)) for queue in WORKERS.values()}


def _redis_client(access: Access) -> redis.Redis:
    return redis.Redis(
        port=access.redis_port, password=access.redis_password, socket_connect_timeout=2, socket_timeout=5
    )


@contextmanager
def _locked(folders: Folders) -> Iterator[None]:
    """One start or stop at a time."""
    with (folders.run / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _control(folders: Folders) -> Any:
    """supervisord's XML-RPC interface; None when it does not answer."""
    transport: Any = SupervisorTransport(None, None, serverurl=f"unix://{folders.socket}")
    proxy: Any = xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport)
    try:
        proxy.supervisor.getState()
    except (OSError, xmlrpc.client.Error):
        return None
    return proxy


def _fingerprint(parts: list[Part], environment: dict[str, str]) -> str:
    """Changes when a running stack would have to be started anew."""
    given = {
        name: value for name, value in os.environ.items() if name.startswith(("LANDPATCH_", "EO_", "AWS_"))
    }
    facts = [[part.command for part in parts], environment, given | environment, _dotenv()]
    return sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _dotenv() -> str:
    path = ROOT / ".env"
    return path.read_text() if path.exists() else ""


def _is_running(folders: Folders, fingerprint: str) -> bool:
    control = _control(folders)
    path = folders.run / "fingerprint"
    if control is None or not path.exists() or path.read_text() != fingerprint:
        return False
    return all(info["statename"] == "RUNNING" for info in control.supervisor.getAllProcessInfo())


def _start(folders: Folders, parts: list[Part], environment: dict[str, str]) -> None:
    config = folders.run / "supervisord.conf"
    write_private(config, _configure(folders, parts))
    write_private(folders.run / "addresses.json", json.dumps({part.name: part.address for part in parts}))
    write_private(folders.run / "fingerprint", _fingerprint(parts, environment))
    started = subprocess.run(
        [sys.executable, "-m", "supervisor.supervisord", "-c", str(config)],
        env=os.environ | environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if started.returncode:
        raise InfrastructureError(f"the process manager does not start: {started.stderr.strip()[-300:]}")


def _configure(folders: Folders, parts: list[Part]) -> str:
    def plain(text: object) -> str:
        return str(text).replace("%", "%%")

    lines = [
        "[unix_http_server]",
        f"file={plain(folders.socket)}",
        "chmod=0700",
        "[supervisord]",
        f"logfile={plain(folders.logs / 'supervisord.log')}",
        "logfile_maxbytes=5MB",
        f"pidfile={plain(folders.run / 'supervisord.pid')}",
        f"childlogdir={plain(folders.logs)}",
        f"directory={plain(ROOT)}",
        "umask=077",
        "[rpcinterface:supervisor]",
        "supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface",
    ]
    for part in parts:
        environment = ",".join(f'{name}="{plain(value)}"' for name, value in part.environment.items())
        lines += [
            f"[program:{part.name}]",
            "command=" + " ".join(shlex.quote(plain(word)) for word in part.command),
            f"environment={environment}",
            f"priority={part.priority}",
            "autorestart=true",
            "startsecs=1",
            "startretries=3",
            "stopsignal=TERM",
            f"stopwaitsecs={part.stop_wait_s}",
            "stopasgroup=false",
            "killasgroup=true",
            "redirect_stderr=true",
            f"stdout_logfile={plain(folders.logs / f'{part.name}.log')}",
            "stdout_logfile_maxbytes=10MB",
            "stdout_logfile_backups=3",
        ]
    return "\n".join(lines) + "\n"


def _read_addresses(folders: Folders) -> dict[str, str]:
    path = folders.run / "addresses.json"
    addresses: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
    return addresses


def _await_health(settings: Settings, access: Access, folders: Folders, environment: dict[str, str]) -> None:
    """Wait until Redis, the stores and the sandbox answer and every worker process runs."""
    deadline = time.monotonic() + START_TIMEOUT_S
    checks: dict[str, Callable[[], object]] = {"redis": lambda: _redis_client(access).ping()}
    if settings.store_endpoint is None:
        store = open_store(Settings.model_validate(environment | {"LANDPATCH_BUCKET": settings.bucket}))
        checks["store"] = store.check
    if embeds_sandbox(settings):
        url = f"http://127.0.0.1:{access.sandbox_port}/healthz"
        checks["sandbox"] = lambda: requests.get(url, timeout=2).raise_for_status()
    for name, check in checks.items():
        while not _answers(check):
            _fail_when_over(deadline, name, folders)
            time.sleep(POLL_S)
    for name in [part.name for part in status()]:
        while _states()[name] != "RUNNING":
            _fail_when_over(deadline, name, folders)
            time.sleep(POLL_S)


def _answers(check: Callable[[], object]) -> bool:
    try:
        check()
    except (redis.RedisError, requests.RequestException, LandpatchError):
        return False
    return True


def _states() -> dict[str, str]:
    return {part.name: part.state for part in status()}


def _fail_when_over(deadline: float, name: str, folders: Folders) -> None:
    if time.monotonic() > deadline or _states().get(name) == "FATAL":
        raise InfrastructureError(f"{name} does not come up; read {folders.logs / f'{name}.log'}")


def _stop(folders: Folders) -> None:
    """Ask supervisord to stop everything; then end what still carries the stack's mark."""
    control = _control(folders)
    manager = _manager(folders)
    if control is not None:
        _stop_workers(control)
        control.supervisor.stopAllProcesses(True)
        control.supervisor.shutdown()
        if manager is not None:
            psutil.wait_procs([manager], timeout=STOP_TIMEOUT_S)
    orphans = list(_marked(folders))
    for process in orphans:
        _signal(process, "terminate")
    _, alive = psutil.wait_procs(orphans, timeout=10)
    for process in alive:
        _signal(process, "kill")
    psutil.wait_procs(alive, timeout=5)
    folders.socket.unlink(missing_ok=True)


def _stop_workers(control: Any) -> None:
    """Stop the workers, all at once, while Redis and the stores are still there for what they finish."""
    running = {info["name"] for info in control.supervisor.getAllProcessInfo() if info["pid"]}
    for name in running & WORKERS.keys():
        control.supervisor.stopProcess(name, False)
    deadline = time.monotonic() + STOP_TIMEOUT_S
    while time.monotonic() < deadline and any(
        info["pid"] for info in control.supervisor.getAllProcessInfo() if info["name"] in WORKERS
    ):
        time.sleep(POLL_S)


def _manager(folders: Folders) -> psutil.Process | None:
    path = folders.run / "supervisord.pid"
    try:
        return psutil.Process(int(path.read_text()))
    except (OSError, ValueError, psutil.NoSuchProcess):
        return None


def _marked(folders: Folders) -> Iterator[psutil.Process]:
    """Every process that carries this stack's mark, but this one and those above it."""
    mine = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    for process in psutil.process_iter():
        try:
            if process.pid not in mine and process.environ().get(MARKER) == str(folders.state):
                yield process
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess, OSError):
            continue


def _signal(process: psutil.Process, how: str) -> None:
    try:
        getattr(process, how)()
    except psutil.NoSuchProcess:
        return


def log_folder() -> Path:
    """Where the logs are."""
    return Folders(state_folder()).logs
