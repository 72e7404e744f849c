"""Ports for servers on the loopback interface."""

import random
import socket
from itertools import islice

LOOPBACK = "127.0.0.1"
_BELOW_EPHEMERAL = range(15_000, 32_000)
"""Never the source of a connection, where the system's range of ephemeral ports is the usual one.

In between choosing a port and listening on it, any connection could take an ephemeral one; and who asks
such a port in a loop whether the server is there yet can be connected to itself.
"""


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now, all different; raises RuntimeError when there are no more."""
    candidates = random.sample(_BELOW_EPHEMERAL, len(_BELOW_EPHEMERAL))
    found = list(islice(filter(is_free, candidates), count))
    if len(found) < count:
        raise RuntimeError(f"no {count} free ports on {LOOPBACK}")
    return found


def free_port() -> int:
    """A port that nobody listens on now; raises RuntimeError when there is none."""
    return free_ports(1)[0]


def is_free(port: int) -> bool:
    """Whether a server could listen on a port now."""
    with socket.socket() as one:
        # As servers do: a connection of a stopped server that lingers does not take the port.
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            one.bind((LOOPBACK, port))
        except OSError:
            return False
    return True
