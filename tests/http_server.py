"""A real HTTP server on this machine that says what a test has it say."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from threading import Thread

import requests

from landpatch.sources.http import make_session


class Request(BaseHTTPRequestHandler):
    """A request that came, and the means to answer it."""

    def do_GET(self) -> None:
        self.server.asked.append(self)
        # A connection that is closed over what nobody has read is reset, and with it the answer on its way.
        connection, self.rfile = (
            self.rfile,
            BytesIO(self.rfile.read(int(self.headers.get("Content-Length", 0)))),
        )
        try:
            self.server.answer(self)
        finally:
            self.rfile = connection

    do_PUT = do_POST = do_DELETE = do_GET  # noqa: N815

    def send(self, status: int = 200, body: bytes = b"", **headers: str) -> None:
        """Answer; headers with underscores for dashes, and no Content-Length unless it is given."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    """The server; `asked` is every request that came."""

    def __init__(self, answer: Callable[[Request], None], path: str, protocol: str) -> None:
        super().__init__(("127.0.0.1", 0), type("Request", (Request,), {"protocol_version": protocol}))
        self.answer = answer
        self.asked: list[Request] = []
        self.base = f"http://127.0.0.1:{self.server_port}"
        self.url = self.base + path

    @property
    def paths(self) -> list[str]:
        """Path and query of every request that came."""
        return [request.path for request in self.asked]


@contextmanager
def serving(
    answer: Callable[[Request], None], path: str = "/", protocol: str = "HTTP/1.0"
) -> Iterator[Server]:
    """A running server; `answer` decides what it says. protocol: one after HTTP/1.0 keeps connections."""
    with Server(answer, path, protocol) as server:
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield server
        finally:
            server.shutdown()


def quick_session() -> requests.Session:
    """The session of the product, without its pauses between attempts."""
    session = make_session()
    for adapter in session.adapters.values():
        adapter.max_retries = adapter.max_retries.new(backoff_factor=0, backoff_jitter=0)
    return session
