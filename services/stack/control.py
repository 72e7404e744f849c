"""Start, watch and stop the embedded stack. supervisord does the work; this tells it what."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import redis

from landpatch.broker import count_waiting
from landpatch.errors import ConfigurationError, InfrastructureError
from landpatch.settings import Settings, load_settings
from services.stack.health import await_health, connect_redis, put_back_unfinished
from services.stack.leftovers import end_marked
from services.stack.manager import Manager
from services.stack.parts import WORKERS, Part, explicit_settings, make_environment, make_parts
from services.stack.state import ROOT, Folders, load_access, renew_taken_ports, state_folder, write_private


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
        manager = Manager(folders)
        access = load_access(folders)
        environment = make_environment(settings, access, folders)
        parts = make_parts(settings, access, folders)
        begun = manager.states() is None or not _is_as_started(folders, _fingerprint(parts, settings))
        if begun:
            _stop(folders, manager)
            access = renew_taken_ports(folders, access)
            environment = make_environment(settings, access, folders)
            parts = make_parts(settings, access, folders)
            manager.start(parts, explicit_settings(settings) | environment)
            _note_start(folders, parts, settings)
        else:
            manager.revive()
        client = Settings.model_validate(explicit_settings(settings) | environment)
        await_health(folders, manager, ["redis"], access, client)
        if begun:
            put_back_unfinished(access, client)
        await_health(folders, manager, [part.name for part in parts], access, client)
    return environment


def start_for(settings: Settings) -> Settings:
    """Start the stack and return the settings with which to use it, from this process on."""
    os.environ.update(up(settings))
    return load_settings()


def endpoints(settings: Settings | None = None) -> dict[str, str] | None:
    """The environment that clients of the stack need; None when it is not running."""
    folders = Folders(state_folder())
    if Manager(folders).states() is None:
        return None
    return make_environment(settings or load_settings(ROOT / ".env"), load_access(folders), folders)


def running_settings(settings: Settings) -> Settings:
    """The settings with which to use the stack that is running.

    Raises InfrastructureError when none is.
    """
    environment = endpoints(settings)
    if environment is None:
        raise InfrastructureError("the embedded stack is not running; start it with `make up`")
    os.environ.update(environment)
    return load_settings()


def down() -> list[str]:
    """Stop everything. Returns the names of the parts that were running."""
    folders = Folders(state_folder())
    if not folders.run.exists():
        return []
    with _locked(folders):
        running = [part.name for part in status() if part.state == "RUNNING"]
        _stop(folders, Manager(folders))
    return running


def status() -> list[PartStatus]:
    """How each part is doing; empty when the stack is not running."""
    folders = Folders(state_folder())
    addresses = _read_addresses(folders)
    return [
        PartStatus(part.name, part.state, part.pid, part.uptime_s, addresses.get(part.name, ""))
        for part in Manager(folders).states() or ()
    ]


def queue_lengths() -> dict[str, int]:
    """Messages that wait on each queue of the running stack; empty when its Redis does not answer."""
    client = connect_redis(load_access(Folders(state_folder())))
    try:
        return count_waiting(client, list(WORKERS.values()))
    except (redis.RedisError, InfrastructureError):
        return {}


def log_folder() -> Path:
    """Where the logs are."""
    return Folders(state_folder()).logs


@contextmanager
def _locked(folders: Folders) -> Iterator[None]:
    """One start or stop at a time."""
    with (folders.run / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _fingerprint(parts: list[Part], settings: Settings) -> str:
    """Changes when a running stack would have to be started anew."""
    facts = [[[part.command, part.environment] for part in parts], explicit_settings(settings)]
    return sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _is_as_started(folders: Folders, fingerprint: str) -> bool:
    path = folders.run / "fingerprint"
    return path.exists() and path.read_text() == fingerprint


def _note_start(folders: Folders, parts: list[Part], settings: Settings) -> None:
    write_private(folders.run / "addresses.json", json.dumps({part.name: part.address for part in parts}))
    write_private(folders.run / "fingerprint", _fingerprint(parts, settings))


def _read_addresses(folders: Folders) -> dict[str, str]:
    path = folders.run / "addresses.json"
    addresses: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
    return addresses


def _stop(folders: Folders, manager: Manager) -> None:
    """Ask supervisord to stop everything; then end what still carries the stack's mark."""
    manager.stop()
    end_marked(folders.state)
    folders.socket.unlink(missing_ok=True)
