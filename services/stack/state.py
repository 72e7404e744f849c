"""Where the embedded stack keeps its state, its ports and its passwords."""

import json
import os
import secrets
import tempfile
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from services.stack.ports import free_ports, is_free

ROOT = Path(__file__).resolve().parents[2]
"""The checkout."""
MARKER = "LANDPATCH_STACK"
"""Environment variable that marks every process of a stack with its state folder."""
_LONGEST_SOCKET_PATH = 100


def state_folder() -> Path:
    """`.state` in the checkout, or LANDPATCH_STATE_DIR."""
    return Path(os.environ.get("LANDPATCH_STATE_DIR") or ROOT / ".state").resolve()


@dataclass(frozen=True, slots=True)
class Access:
    """Ports and passwords of a stack; kept in a file that only its owner can read."""

    redis_port: int
    store_port: int
    files_port: int
    eo_port: int
    """The gate, which enforces the account's quota."""
    eo_store_port: int
    """The S3 server behind it."""
    sandbox_port: int
    flower_port: int
    metrics_port: int
    dispatcher_port: int
    """Where a worker tells its metrics; so the next four."""
    image_worker_port: int
    label_worker_port: int
    indexer_port: int
    reconciler_port: int
    redis_password: str
    store_key: str
    store_secret: str
    eo_key: str
    eo_secret: str
    flower_password: str


@dataclass(frozen=True, slots=True)
class Folders:
    """The folders of a stack."""

    state: Path

    @property
    def run(self) -> Path:
        """Configurations, ports, passwords, the control socket."""
        return self.state / "run"

    @property
    def logs(self) -> Path:
        """One log a part."""
        return self.state / "logs"

    @property
    def redis(self) -> Path:
        """Redis' append-only file."""
        return self.state / "redis"

    @property
    def store(self) -> Path:
        """The destination store; a bucket is a folder in it."""
        return self.state / "store"

    @property
    def sandbox(self) -> Path:
        """The sandbox's products and catalogue."""
        return self.state / "sandbox"

    @property
    def socket(self) -> Path:
        """The process manager's control socket; elsewhere when the path is too long for one."""
        path = self.run / "supervisor.sock"
        if len(str(path)) < _LONGEST_SOCKET_PATH:
            return path
        short = sha256(str(self.state).encode()).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"landpatch-{os.getuid()}-{short}.sock"

    def make(self) -> None:
        """Make the folders; those with secrets for their owner alone."""
        for folder in (self.state, self.logs, self.redis, self.store, self.sandbox):
            folder.mkdir(parents=True, exist_ok=True)
        self.run.mkdir(mode=0o700, exist_ok=True)
        self.run.chmod(0o700)


def load_access(folders: Folders) -> Access:
    """The stack's ports and passwords; chosen once, then kept."""
    path = folders.run / "access.json"
    names = Access.__dataclass_fields__
    if (kept := _read_object(path)).keys() == names.keys():
        return Access(**kept)
    ports = iter(free_ports(len(names)))
    access = Access(
        **{name: next(ports) if name.endswith("_port") else secrets.token_hex(20) for name in names}  # type: ignore[arg-type]
    )
    return _keep(folders, access)


def renew_taken_ports(folders: Folders, access: Access) -> Access:
    """Other ports for those that somebody else listens on; to be asked while the stack is stopped."""
    kept = {name: value for name, value in asdict(access).items() if name.endswith("_port")}
    taken = [name for name, port in kept.items() if not is_free(port)]
    if not taken:
        return access
    ports = dict(zip(taken, free_ports(len(taken)), strict=True))
    return _keep(folders, Access(**asdict(access) | ports))


def _keep(folders: Folders, access: Access) -> Access:
    write_private(folders.run / "access.json", json.dumps(asdict(access), indent=1))
    return access


def _read_object(path: Path) -> dict[str, Any]:
    """A JSON object; empty when the file is not there or broken."""
    try:
        kept = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return kept if isinstance(kept, dict) else {}


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, at once."""
    temporary = path.with_name(f"{path.name}.new")
    temporary.unlink(missing_ok=True)
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    temporary.replace(path)
