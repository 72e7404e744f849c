"""Ask the sandbox of the embedded stack for the products of a region."""

from collections.abc import Iterator

from landpatch.errors import InfrastructureError
from services.sandbox.client import Preparation, ask
from services.stack.state import Folders, load_access, state_folder


def prepare(nuts: str, year: int) -> Iterator[Preparation]:
    """Have the products of a region and year made, if they are not; yields how far that is.

    Raises RequestError for a year that it has no products of, InfrastructureError when it cannot make
    them.
    """
    folders = Folders(state_folder())
    try:
        yield from ask(f"http://127.0.0.1:{load_access(folders).sandbox_port}", nuts, year)
    except InfrastructureError as error:
        raise InfrastructureError(f"{error}; read {folders.logs / 'sandbox.log'}") from error
