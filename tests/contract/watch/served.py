"""`landpatch serve` as a process of its own, and what it tells."""

import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import requests

from tests.environment import clean_environment
from tests.waiting import LONG_S

TOKEN = "canary-of-a-token-4711"
PARIS = "FR101/2021"
STORED = "3757500_2887500_0_19"
"""A patch of FR101."""
COMMAND = [str(Path(sys.executable).parent / "landpatch"), "serve"]


@dataclass
class Served:
    """A running page."""

    url: str
    process: subprocess.Popen[str]
    said: list[str]
    """Lines that it has logged."""

    def get(self, path: str, **options) -> requests.Response:
        return requests.get(self.url + path, timeout=LONG_S, allow_redirects=False, **options)

    def events(self, *regions: str, **options) -> Iterator[dict]:
        """What the page is told."""
        query = "&".join(f"region={region}" for region in regions)
        with requests.get(f"{self.url}/events?{query}", stream=True, timeout=LONG_S, **options) as answer:
            assert answer.headers["Content-Type"].startswith("text/event-stream"), answer.text
            for line in answer.iter_lines(chunk_size=1):
                if line.startswith(b"data: "):
                    yield json.loads(line.removeprefix(b"data: "))


@contextmanager
def serving(environment: dict[str, str], *options: str) -> Iterator[Served]:
    """The command, until the test is over."""
    process = subprocess.Popen(
        [*COMMAND, "--port", "0", *options],
        env=clean_environment(**environment), stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    said: list[str] = []
    try:
        first = process.stderr.readline()
        found = re.search(r"http://(\S+?):(\d+)/", first)
        assert found, first + process.stderr.read()
        said.append(first)
        reading = threading.Thread(target=lambda: said.extend(process.stderr), daemon=True)
        reading.start()
        yield Served(f"http://127.0.0.1:{found[2]}", process, said)
    finally:
        process.terminate()
        process.wait(LONG_S)
        if said:
            reading.join(LONG_S)


def await_news(events: Iterator[dict], is_it) -> dict:
    """The first news of which that is so."""
    return next(news for news in events if is_it(news))
