"""Ask the sandbox of the embedded stack for the products of a region."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import requests

from landpatch.errors import InfrastructureError, RequestError
from services.stack.state import Folders, load_access, state_folder

POLL_S = 0.5


@dataclass(frozen=True, slots=True)
class Preparation:
    """How many of the products are made."""

    done: int
    total: int


def prepare(nuts: str, year: int) -> Iterator[Preparation]:
    """Have the products of a region and year made, if they are not; yields how far that is.

    Raises RequestError for a year that it has no products of, InfrastructureError when it cannot make
    them.
    """
    folders = Folders(state_folder())
    url = f"http://127.0.0.1:{load_access(folders).sandbox_port}/sandbox/prepare"
    query: dict[str, str | int] = {"nuts": nuts, "year": year}
    try:
        asked = requests.post(url, params=query, timeout=30)
        if asked.status_code == 422:
            raise RequestError(f"the sandbox: {asked.json()['detail']}")
        asked.raise_for_status()
        while True:
            at = requests.get(url, params=query, timeout=30).json()
            yield Preparation(int(at["done"]), int(at["total"]))
            if at["state"] == "done":
                return
            if at["state"] != "running":
                raise InfrastructureError(f"the sandbox cannot make its products: {at['message']}")
            time.sleep(POLL_S)
    except requests.RequestException as error:
        reason = f"the sandbox does not answer ({type(error).__name__}); read {folders.logs / 'sandbox.log'}"
        raise InfrastructureError(reason) from error
