"""TLS in front of a server on this machine, with a certificate of its own."""

import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from socketserver import BaseRequestHandler, ThreadingTCPServer
from threading import Thread

import pytest


def make_certificate(folder: Path, name: str, address: str) -> Path:
    """A certificate for an address that signs itself, and its key, in one file."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl to make a certificate with")
    path = folder / f"{name}.pem"
    made = subprocess.run(
        [
            openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}",
            "-addext", f"subjectAltName=IP:{address}", "-keyout", path, "-out", f"{path}.crt",
        ],
        capture_output=True,
        check=False,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    with path.open("ab") as both:
        both.write(Path(f"{path}.crt").read_bytes())
    return path


class _Pipe(BaseRequestHandler):
    """Both ways between a client that speaks TLS and the server behind."""

    def handle(self) -> None:
        with (
            suppress(OSError),
            self.server.context.wrap_socket(self.request, server_side=True) as client,
            socket.create_connection(("127.0.0.1", self.server.behind)) as server,
        ):
            back = Thread(target=_copy, args=(server, client), daemon=True)
            back.start()
            _copy(client, server)
            back.join()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65_536):
            target.sendall(data)
    for one in (source, target):
        with suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)


@contextmanager
def serving_tls(certificate: Path, behind: int) -> Iterator[int]:
    """TLS on a port of its own in front of the port `behind`; yields that port."""
    with ThreadingTCPServer(("127.0.0.1", 0), _Pipe) as server:
        server.daemon_threads = True
        server.block_on_close = False
        server.behind = behind
        server.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        server.context.load_cert_chain(certificate)
        Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
