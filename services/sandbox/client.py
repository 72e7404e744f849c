"""Ask a sandbox for the products of a region."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import requests

from landpatch.errors import InfrastructureError, RequestError

POLL_S = 0.5
ANSWER_S = 120
"""It may be busy making products."""


@dataclass(frozen=True, slots=True)
class Preparation:
    """How many of the products are made."""

    done: int
    total: int


def ask(url: str, nuts: str, year: int) -> Iterator[Preparation]:
    """Have the products of a region and year made, if they are not; yields how far that is.

    url: of the sandbox. Raises RequestError for a year that it has no products of, InfrastructureError
    when it cannot make them.
    """
    query: dict[str, str | int] = {"nuts": nuts, "year": year}
    try:
        asked = requests.post(f"{url}/sandbox/prepare", params=query, timeout=ANSWER_S)
        if asked.status_code == 422:
            raise RequestError(f"the sandbox: {asked.json()['detail']}")
        asked.raise_for_status()
        while True:
            at = requests.get(f"{url}/sandbox/prepare", params=query, timeout=ANSWER_S).json()
            yield Preparation(int(at["done"]), int(at["total"]))
            if at["state"] == "done":
                return
            if at["state"] != "running":
                raise InfrastructureError(f"the sandbox cannot make its products: {at['message']}")
            time.sleep(POLL_S)
    except requests.RequestException as error:
        raise InfrastructureError(f"the sandbox does not answer ({type(error).__name__})") from error
