"""The Dockerfile and the locks of the images."""

import re
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path
from pkgutil import iter_modules

import pytest

from landpatch import __version__, commands
from tests.environment import ROOT

DOCKERFILE = ROOT / "Dockerfile"
LOCKS = ("requirements.worker.lock", "requirements.stack.lock")


def pins(lock: str) -> set[str]:
    """Names and versions in a lock."""
    return set(re.findall(r"^([a-z0-9._-]+==[^ ;\\]+)", (ROOT / lock).read_text(), re.MULTILINE))


def lint(text: str) -> subprocess.CompletedProcess[str]:
    """hadolint on a Dockerfile."""
    tool = Path(sys.executable).parent / "hadolint"
    return subprocess.run([tool, "-"], input=text, capture_output=True, text=True, check=False)


def test_the_dockerfile_is_linted():
    ran = lint(DOCKERFILE.read_text())
    assert ran.returncode == 0, ran.stdout
    broken = (
        DOCKERFILE.read_text().replace("--no-install-recommends", "").replace("WORKDIR /app", "RUN cd /app")
    )
    assert {"DL3015", "DL3003"} <= set(re.findall(r"DL\d+", lint(broken).stdout))


def stages() -> dict[str, str]:
    """The stages of the Dockerfile by name, each with what it is built from."""
    parts = re.split(r"^FROM (\S+) AS (\w+)$", DOCKERFILE.read_text(), flags=re.MULTILINE)
    texts = {
        name: (base, text) for base, name, text in zip(parts[1::3], parts[2::3], parts[3::3], strict=True)
    }
    return {name: texts[base][1] + text if base in texts else text for name, (base, text) in texts.items()}


@pytest.mark.parametrize("stage", ["worker", "stack"])
def test_an_image_runs_as_a_number_and_tells_how_it_is(stage):
    text = stages()[stage]
    assert re.findall(r"^USER (.*)$", text, re.MULTILINE) == ["10001:10001"]
    assert "HEALTHCHECK" in text
    assert re.search(r'^CMD \["python"', text, re.MULTILINE)
    for label in ("title", "description", "licenses", "version", "revision", "created"):
        assert f"org.opencontainers.image.{label}=" in text
    assert f"ARG VERSION={__version__}" in text


@pytest.mark.parametrize("stage", ["worker", "stack"])
def test_nothing_of_the_build_is_left(stage):
    text = stages()[stage]
    assert "pip" not in text.replace("pipe", "")
    assert not re.search(r"\b(gcc|build-essential|make)\b", text)
    assert "rm -rf /var/lib/apt/lists" in text
    assert set(re.findall(r"^COPY (?!--from=packages)", text, re.MULTILINE)) == set()


def test_the_base_is_of_one_version():
    (base,) = re.findall(r"^ARG PYTHON_IMAGE=python:(\S+)$", DOCKERFILE.read_text(), re.MULTILINE)
    assert re.fullmatch(r"3\.\d+\.\d+-slim-\w+", base)


@pytest.mark.parametrize("lock", LOCKS)
def test_what_is_in_an_image_is_what_is_tested(lock):
    assert pins(lock)
    assert pins(lock) <= pins("requirements.lock")
    entries = re.split(r"^(?=[a-z0-9])", (ROOT / lock).read_text(), flags=re.MULTILINE)[1:]
    assert all("--hash=sha256:" in entry for entry in entries)


def test_no_registry_is_named():
    for path in (DOCKERFILE, *(ROOT / lock for lock in (*LOCKS, "requirements.lock"))):
        assert "index-url" not in path.read_text()
        assert "find-links" not in path.read_text()


def names(lock: str) -> set[str]:
    return {pin.partition("==")[0] for pin in pins(lock)}


IMPORTED = {
    "worker": (
        "services.dispatcher.tasks", "services.image_worker.tasks", "services.label_worker.tasks",
        "services.indexer.tasks", "services.reconciler.__main__", "services.health.__main__",
        *(f"landpatch.commands.{module.name}" for module in iter_modules(commands.__path__)),
    ),
    "stack": (
        "services.flower.__main__", "services.flower.app", "flower.command",
        "services.metrics.__main__", "services.store.__main__",
        "services.sandbox.app", "services.sandbox.client", "services.sandbox.gate",
        "services.sandbox.prepare", "services.health.__main__", "landpatch.watch.app",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("image", "modules"), IMPORTED.items())
def test_the_services_of_an_image_need_no_package_that_is_not_in_it(image, modules):
    there = names(f"requirements.{image}.lock") | {"landpatch"}
    absent = {
        module
        for module, distributions in packages_distributions().items()
        if not {re.sub(r"[-_.]+", "-", each).lower() for each in distributions} & there
    } - {"services", "shared", "tests", "benchmarks", *sys.stdlib_module_names}
    assert {"pytest", "hypothesis"} <= absent
    assert ("uvicorn" in absent) == (image == "worker")
    code = (
        "import sys\n"
        f"absent = {absent!r}\n"
        "class Finder:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] in absent:\n"
        "            raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Finder())\n"
        f"import {', '.join(modules)}\n"
    )
    environment = {"LANDPATCH_REDIS_URL": "redis://127.0.0.1:1/0", "PYTHONPATH": str(ROOT)}
    ran = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr


def test_only_what_an_image_needs_is_sent_to_the_builder():
    lines = (ROOT / ".dockerignore").read_text().split()
    assert lines[0] == "*"
    sent = {line[1:] for line in lines if line.startswith("!")}
    copied = set()
    for words in re.findall(r"^COPY (?!--from)(.*)$", DOCKERFILE.read_text(), re.MULTILINE):
        copied |= {word.partition("/")[0] for word in words.split()[:-1]}
    assert sent == copied
