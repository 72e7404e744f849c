"""An HTTP request ends in a given time, however slowly the other side reads or sends.

A socket's own time-out is that of a single read: a byte every few seconds keeps it away for ever.
"""

import io
import socket
import time
from collections.abc import Callable, Mapping
from http.client import HTTPConnection
from typing import Any

_MOST_ENDS = 10
"""How often a reader may come to the end of an answer."""
Pools = dict[str, type]
"""The class of a connection pool of urllib3, by scheme."""


class _TimedReader(io.RawIOBase):
    """Reads of a socket, each only after a look at the clock."""

    def __init__(self, raw: socket.SocketIO, look: Callable[[], None]) -> None:
        self._raw = raw
        self._look = look
        self._ends = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._look()
        size = self._raw.readinto(buffer)
        if size == 0 and len(buffer):
            # Who waits for a line that does not come would ask for ever: botocore after "100 Continue".
            self._ends += 1
            if self._ends > _MOST_ENDS:
                raise ConnectionResetError("the other side has closed the connection")
        return size

    def close(self) -> None:
        self._raw.close()
        super().close()


class _TimedSocket:
    """A connected socket that raises TimeoutError when the time of a request is over."""

    def __init__(self, sock: socket.socket, left_s: Callable[[], float]) -> None:
        """left_s: seconds that the request may still take."""
        self._sock = sock
        self._left_s = left_s
        self._patience_s = sock.gettimeout()

    def settimeout(self, patience_s: float | None) -> None:
        self._patience_s = patience_s

    def sendall(self, data: Any) -> None:
        # The time-out of `sendall` is one for all of the data; that of a read would be too short.
        self._sock.settimeout(self._left())
        self._sock.sendall(data)

    def makefile(self, _: str = "rb", buffering: int | None = None) -> io.RawIOBase | io.BufferedReader:
        reader = _TimedReader(self._sock.makefile("rb", buffering=0), self._look)
        return reader if buffering == 0 else io.BufferedReader(reader)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def _left(self) -> float:
        if (left_s := self._left_s()) <= 0:
            raise TimeoutError("the time of the request is over")
        return left_s

    def _look(self) -> None:
        left_s = self._left()
        self._sock.settimeout(left_s if self._patience_s is None else min(left_s, self._patience_s))


class _TimedConnection(HTTPConnection):
    """A connection each of whose requests ends in `request_s`, from its first byte to the answer's last."""

    request_s: float
    _end_s = 0.0

    def putrequest(self, *args: Any, **kwargs: Any) -> None:
        self._end_s = time.monotonic() + self.request_s
        super().putrequest(*args, **kwargs)

    def connect(self) -> None:
        super().connect()
        self.sock: Any = _TimedSocket(self.sock, lambda: self._end_s - time.monotonic())


def time_pools(pools: Mapping[str, Any], request_s: float) -> Pools:
    """Pools whose connections give up a request after so many seconds with the TimeoutError of a read.

    pools: by scheme, of urllib3 or of what is built on it.
    """
    return {
        scheme: type(
            f"Timed{pool.__name__}",
            (pool,),
            {
                "ConnectionCls": type(
                    "TimedConnection", (_TimedConnection, pool.ConnectionCls), {"request_s": request_s}
                )
            },
        )
        for scheme, pool in pools.items()
    }
