"""A proxy between a client and a real server that does to some answers what networks and services do.

Requests go on as they were signed: path, query and `Host` are part of the signature.
"""

import http.client
import re
import socket
import struct
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from threading import Lock
from time import sleep
from typing import Literal
from urllib.parse import urlsplit

from services.sandbox.gate import HOP_BY_HOP
from tests.http_server import Request, Server, serving
from tests.waiting import LONG_S

DRIP_S = 0.1
"""Between two bytes of an answer that drips; no client may wait for its end."""


@dataclass(frozen=True)
class Answer:
    """What goes to the client, and how."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    announced: int | None = None
    """The Content-Length that is sent, where it is not that of the body; none at all where it is -1."""
    stop_after: int | None = None
    """Bytes of the body after which it ends as `ending` says."""
    ending: Literal["close", "reset", "drip"] = "close"
    drips_from: Literal["head", "body"] = "body"


Fault = Callable[[Answer], Answer]
"""What is done to an answer."""


def says(status: int, body: bytes = b"", **headers: str) -> Fault:
    """Another answer; headers with underscores for dashes."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda _: Answer(status, named, body)


def sends(change: Callable[[bytes], bytes]) -> Fault:
    """Another body, of the length that it says."""
    return lambda answer: replace(answer, body=change(answer.body))


def names(**headers: str) -> Fault:
    """Other headers beside the answer's own."""
    named = {name.replace("_", "-").lower(): value for name, value in headers.items()}
    return lambda answer: replace(answer, headers={**answer.headers, **named})


def breaks_off(share: float, ending: Literal["close", "reset"]) -> Fault:
    """The length of the whole, and of the body only a share."""
    return lambda answer: replace(answer, stop_after=int(share * len(answer.body)), ending=ending)


def announces(more: int) -> Fault:
    """A Content-Length that is wrong by so much."""
    return lambda answer: replace(answer, announced=len(answer.body) + more)


def tells_no_length(answer: Answer) -> Answer:
    """The end of the connection is the end of the body."""
    return replace(answer, announced=-1)


def drips(drips_from: Literal["head", "body"] = "body") -> Fault:
    """A byte now and then, always in time for the next read, for ever."""
    return lambda answer: replace(answer, announced=10**6, ending="drip", stop_after=0, drips_from=drips_from)


def resets(answer: Answer) -> Answer:
    """The connection ends before a byte of the answer."""
    return replace(answer, ending="reset", stop_after=-1)


@dataclass
class Rule:
    """A fault for requests whose `METHOD path?query` matches."""

    pattern: str
    fault: Fault
    times: int | None = None
    """How often; None for ever."""
    met: int = 0


@dataclass
class Proxy:
    """A running proxy; its rules may be changed at any time, the first that matches counts."""

    server: Server
    rules: list[Rule] = field(default_factory=list)
    lock: Lock = field(default_factory=Lock)

    @property
    def url(self) -> str:
        """Where clients find it."""
        return self.server.base

    @contextmanager
    def doing(self, pattern: str, fault: Fault, times: int | None = None) -> Iterator[Rule]:
        """A rule while the context lasts; fails when no request has met it: then nothing was tested."""
        rule = Rule(pattern, fault, times)
        self.rules.insert(0, rule)
        try:
            yield rule
        finally:
            self.rules.remove(rule)
        assert rule.met, f"no request matched {pattern}"

    def fault_of(self, line: str) -> Fault | None:
        """The fault that a request meets."""
        with self.lock:
            for rule in self.rules:
                if re.search(rule.pattern, line) and (rule.times is None or rule.met < rule.times):
                    rule.met += 1
                    return rule.fault
        return None


@contextmanager
def proxying(upstream: str) -> Iterator[Proxy]:
    """A running proxy in front of a server."""

    def answer(request: Request) -> None:
        request.close_connection = True
        fault = proxy.fault_of(f"{request.command} {request.path}")
        told = _ask(request, upstream)
        _tell(request, fault(told) if fault else told)

    with serving(answer, protocol="HTTP/1.1") as server:
        proxy = Proxy(server)
        yield proxy


def _ask(request: Request, upstream: str) -> Answer:
    """The real answer; the proxy reads the whole request first, so that no client is stopped in it."""
    body = request.rfile.read(int(request.headers.get("Content-Length", 0)))
    connection = http.client.HTTPConnection(urlsplit(upstream).netloc, timeout=LONG_S)
    connection.putrequest(request.command, request.path, skip_host=True, skip_accept_encoding=True)
    for name, value in request.headers.items():
        if name.lower() not in HOP_BY_HOP:
            connection.putheader(name, value)
    connection.endheaders(body or None)
    with connection.getresponse() as answer:
        headers = {name.lower(): value for name, value in answer.getheaders()}
        told = Answer(answer.status, headers, answer.read())
    connection.close()
    return told


def _tell(request: Request, answer: Answer) -> None:
    if answer.stop_after == -1:
        _reset(request.connection)
        return
    request.send_response(answer.status)
    for name, value in answer.headers.items():
        if name.lower() not in {*HOP_BY_HOP, "content-length"}:
            request.send_header(name, value)
    length = len(answer.body) if answer.announced is None else answer.announced
    if length >= 0:
        request.send_header("Content-Length", str(length))
    request.send_header("Connection", "close")
    if answer.ending == "drip" and answer.drips_from == "head":
        request.flush_headers()
        _drip(request, b"X-Header: and another\r\n")
        return
    request.end_headers()
    # The client may be gone: that is for its own test to judge.
    with suppress(OSError):
        request.wfile.write(answer.body[: answer.stop_after])
        request.wfile.flush()
    if answer.ending == "reset":
        _reset(request.connection)
    elif answer.ending == "drip":
        _drip(request, answer.body or b"x")


def _drip(request: Request, data: bytes) -> None:
    with suppress(OSError):
        for number in range(10**6):
            request.wfile.write(data[number % len(data) :][:1])
            request.wfile.flush()
            sleep(DRIP_S)


def _reset(connection: socket.socket) -> None:
    """End a connection with RST: unread and unsent bytes are dropped."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
