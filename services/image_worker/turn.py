"""Of the processes of a worker one cuts at a time, on all its cores, while another fetches the next
product."""

import fcntl
import tempfile


class Turn:
    """A lock between a process's children; use it with `with`. A child that is killed gives it back."""

    def __init__(self) -> None:
        """To be made before the children are."""
        # Locks of this kind belong to the process, not to the file descriptor that the children share.
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  # it lives as long as the worker

    def __enter__(self) -> None:
        """Wait for the turn."""
        fcntl.lockf(self._file, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        """Give the turn to the next."""
        fcntl.lockf(self._file, fcntl.LOCK_UN)
