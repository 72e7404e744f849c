"""What both deployments have in common, and what they may say."""

import importlib.util
from collections.abc import Iterable, Mapping
from pathlib import Path

from pydantic import SecretStr

from landpatch.errors import ConfigurationError
from landpatch.settings import Settings, load_settings
from services.stack.parts import WORKERS

SETTINGS = {str(field.alias) for field in Settings.model_fields.values()}
SECRETS = {
    str(field.alias)
    for field in Settings.model_fields.values()
    if SecretStr in getattr(field.annotation, "__args__", (field.annotation,))
} - {"LANDPATCH_SERVE_TOKEN"} | {"FLOWER_BASIC_AUTH"}
"""Of the services; `landpatch serve` is none of them."""
NO_SETTINGS = {
    "LANDPATCH_LOG",  # read before there are settings
    "REMAP_SIGTERM",  # Celery
    "MALLOC_ARENA_MAX",  # glibc
    "RCLONE_CONFIG",  # rclone
    "FLOWER_BASIC_AUTH",  # Flower
}
OF_OTHERS = {"grafana": "GF_"}
"""How the variables of services begin that are not ours."""
FILES = {"LANDPATCH_REDIS_CA_FILE", "LANDPATCH_LABEL_CLASSES"}
"""Settings that name a file of the container."""
MODULES = {f"services.{service}": queue for service, queue in WORKERS.items()}
"""Queue of each module that is run by Celery."""
REDIS = {"LANDPATCH_REDIS_URL"}
STORE = {"AWS_S3_ENDPOINT", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
ACCOUNT = {"EO_S3_ACCESS_KEY_ID", "EO_S3_SECRET_ACCESS_KEY"}
CDSE = {"LANDPATCH_CDSE_USER", "LANDPATCH_CDSE_PASSWORD"}
HUB = {"LANDPATCH_SENTINELHUB_CLIENT_ID", "LANDPATCH_SENTINELHUB_CLIENT_SECRET"}
NEEDS = {
    "dispatcher": REDIS | STORE | HUB,
    "image-worker": REDIS | STORE | ACCOUNT | CDSE | HUB,
    "label-worker": REDIS | STORE,
    "indexer": REDIS | STORE,
    "reconciler": REDIS,
    "metrics": REDIS | {"EO_S3_ACCESS_KEY_ID", "LANDPATCH_CDSE_USER", "LANDPATCH_SENTINELHUB_CLIENT_ID"},
    "flower": REDIS | {"FLOWER_BASIC_AUTH"},
    "submit": REDIS | STORE | ACCOUNT | CDSE | HUB,
    "store": {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"},
    "eo-store": ACCOUNT,
    "sandbox": CDSE | HUB,
}
"""What a service does not start without; it gets no other secret."""


def check_variables(service: str, environment: Mapping[str, str]) -> list[str]:
    """Faults of what a service finds in its environment."""
    needed = NEEDS.get(service, set())
    given = set(environment)
    theirs = OF_OTHERS.get(service)
    known = {name for name in given if theirs and name.startswith(theirs)} | SETTINGS | NO_SETTINGS
    faults = [f"{service}: unknown variable {name}" for name in given - known]
    faults += [f"{service}: {name} is missing" for name in needed - given]
    optional = {"AWS_SESSION_TOKEN"} if "AWS_SECRET_ACCESS_KEY" in needed else set()
    faults += [f"{service}: {name} is not for it" for name in (given & SECRETS) - needed - optional]
    return faults


def check_values(environment: Mapping[str, str]) -> list[str]:
    """Faults of the values, as the services themselves would find them."""
    try:
        given = {name: text for name, text in environment.items() if text and name not in FILES}
        Settings.model_validate(given)
    except ValueError as error:
        return [str(error)]
    return []


def check_command(service: str, words: list[str]) -> list[str]:
    """Faults of a command: modules and options that there are not."""
    if service in {"prometheus", "grafana"}:
        return [] if all(word.startswith("--") for word in words) else [f"{service}: runs {words}"]
    if words[:1] != ["python"]:
        return [] if words[0] in {"rclone", "redis-server"} else [f"{service}: runs {words[0]}"]
    if words[1:2] != ["-m"]:
        return [f"{service}: no module in {words}"]
    module = words[2]
    if module == "celery":
        return _check_celery(service, words)
    if not _exists(module):
        return [f"{service}: no module {module}"]
    main = importlib.util.find_spec(f"{module}.__main__" if _exists(f"{module}.__main__") else module)
    assert main is not None
    assert main.origin is not None
    origin = Path(main.origin)
    others = "commands/*.py" if module == "landpatch.cli" else "options.py"
    source = "".join(path.read_text() for path in (origin, *sorted(origin.parent.glob(others))))
    options = [word for word in words[3:] if word.startswith("--")]
    return [f"{service}: {module} knows no {word}" for word in options if f'"{word}"' not in source]


def _check_celery(service: str, words: list[str]) -> list[str]:
    module = words[words.index("-A") + 1]
    if module not in MODULES or not _exists(f"{module}.tasks"):
        return [f"{service}: no Celery service {module}"]
    queue = words[words.index("--queues") + 1]
    return [] if queue == MODULES[module] else [f"{service}: {module} takes {queue}, not {MODULES[module]}"]


def check_consumers(commands: Iterable[list[str]]) -> list[str]:
    """Faults of who takes from which queue: each has just one service."""
    taken = [words[words.index("--queues") + 1] for words in commands if "--queues" in words]
    every = sorted(MODULES.values())
    return [] if sorted(taken) == every else [f"queues {sorted(taken)} are taken, not {every}"]


def _exists(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def defaults() -> Settings:
    """The settings where nothing is set."""
    try:
        return load_settings(None)
    except ConfigurationError as error:
        raise AssertionError from error
