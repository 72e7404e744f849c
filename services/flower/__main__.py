"""Command line: `python -m services.flower --address 127.0.0.1 --port 5555 --db flower.db`."""

import argparse
import os
import sys
from collections.abc import Mapping
from ipaddress import ip_address

from landpatch.errors import ConfigurationError

MAX_TASKS = 10_000
"""Remembered at a time; Flower would grow without end."""
MAX_WORKERS = 1000
PURGE_OFFLINE_S = 86_400
SHORTEST_PASSWORD = 12
COLUMNS = "name,kwargs,state,received,runtime,worker,uuid"
"""Of its list of tasks: what names region and product stands before the long id."""
_OPENS = ("FLOWER_CONF", "FLOWER_UNAUTHENTICATED_API", "FLOWER_UNIX_SOCKET", "FLOWER_ADDRESS", "FLOWER_PORT")
"""Variables by which Flower would listen elsewhere, or let anybody in, whatever the command line says."""


def check_access(address: str, environment: Mapping[str, str]) -> None:
    """Raise ConfigurationError where Flower would be open to others than this machine.

    Whoever uses Flower sees every task and stops workers.
    """
    set_ones = [name for name in _OPENS if environment.get(name)]
    if set_ones:
        raise ConfigurationError(f"{', '.join(set_ones)} must not be set: give --address and --port")
    given = environment.get("FLOWER_BASIC_AUTH", "")
    if not given and _is_loopback(address):
        return
    if not given:
        raise ConfigurationError(
            f"Flower would be open to anybody who reaches {address or 'any address of this machine'}:"
            " set FLOWER_BASIC_AUTH=user:password, or --address 127.0.0.1"
        )
    for pair in given.split(","):
        user, _, password = pair.partition(":")
        if not user or len(password) < SHORTEST_PASSWORD:
            raise ConfigurationError(
                f"FLOWER_BASIC_AUTH is user:password with a password of {SHORTEST_PASSWORD} characters"
            )


def _is_loopback(address: str) -> bool:
    try:
        return address == "localhost" or ip_address(address).is_loopback
    except ValueError:
        return False


def make_command(address: str, port: int, database: str) -> list[str]:
    """The command that runs Flower: it keeps what it knows in a file, and does not grow without end."""
    return [
        sys.executable, "-m", "celery", "-A", "services.flower.app", "flower",
        f"--address={address}", f"--port={port}", f"--conf={os.devnull}",
        "--persistent=True", f"--db={database}", "--state_save_interval=60000",
        f"--max_tasks={MAX_TASKS}", f"--max_workers={MAX_WORKERS}",
        f"--purge_offline_workers={PURGE_OFFLINE_S}", f"--tasks_columns={COLUMNS}",
    ]  # fmt: skip


def main() -> None:
    """Become Flower, if it is safe."""
    parser = argparse.ArgumentParser(prog="python -m services.flower", description=__doc__)
    parser.add_argument("--address", default="127.0.0.1", help="where to listen (default: this machine only)")
    parser.add_argument("--port", type=int, default=5555)
    parser.add_argument("--db", default="flower.db", help="where to keep what it knows over a restart")
    options = parser.parse_args()
    try:
        check_access(options.address, os.environ)
    except ConfigurationError as error:
        print(f"flower: {error}", file=sys.stderr)
        sys.exit(2)
    os.execv(sys.executable, make_command(options.address, options.port, options.db))  # noqa: S606


if __name__ == "__main__":
    main()
