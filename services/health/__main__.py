"""Command line: `python -m services.health [URL|PORT]`."""

import socket
import sys
import time
import urllib.error
import urllib.request

from landpatch.broker import count_waiting
from landpatch.connection import open_redis
from landpatch.errors import ConfigurationError, InfrastructureError, LandpatchError
from landpatch.heartbeat import judge, read_heartbeat
from landpatch.settings import Settings, load_settings

TIMEOUT_S = 5


def check_heartbeat(settings: Settings, now: float) -> str:
    """Why the worker whose heartbeat is noted should be started anew; empty when it is well."""
    if settings.heartbeat_file is None:
        raise ConfigurationError("LANDPATCH_HEARTBEAT_FILE is not set")
    beat = read_heartbeat(settings.heartbeat_file)
    try:
        client = open_redis(settings)
        client.ping()
        waiting = sum(count_waiting(client, beat.queues if beat else ()).values())
    except InfrastructureError:
        return judge(beat, now, None)
    return judge(beat, now, waiting)


def check_url(url: str) -> str:
    """Why an address of this machine does not do; empty when it answers."""
    bare = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with bare.open(url, timeout=TIMEOUT_S):
            return ""
    except (urllib.error.URLError, OSError) as error:
        return f"{url}: {error}"


def check_port(port: int) -> str:
    """Why a port of this machine does not do; empty when somebody listens."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S):
            return ""
    except OSError as error:
        return f"port {port}: {error}"


def _check_own_heartbeat() -> str:
    try:
        return check_heartbeat(load_settings(), time.monotonic())
    except LandpatchError as error:
        return str(error)


def main(arguments: list[str]) -> int:
    """Look once; the exit code."""
    match arguments:
        case []:
            reason = _check_own_heartbeat()
        case [port] if port.isdecimal():
            reason = check_port(int(port))
        case [url] if url.startswith("http://"):
            reason = check_url(url)
        case _:
            print("usage: python -m services.health [URL|PORT]", file=sys.stderr)
            return 2
    if reason:
        print(reason, file=sys.stderr)
    return 1 if reason else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
