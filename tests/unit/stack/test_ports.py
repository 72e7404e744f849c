"""Ports that a server will still have when it begins to listen."""

import socket

import pytest

from services.stack import ports
from services.stack.ports import LOOPBACK, free_port, free_ports, is_free


def test_they_are_all_different_and_a_server_can_listen_on_each():
    found = free_ports(30)
    assert len(set(found)) == 30
    servers = [socket.create_server((LOOPBACK, port)) for port in found]
    assert not any(is_free(port) for port in found)
    for server in servers:
        server.close()
    assert all(is_free(port) for port in found)


def test_no_connection_takes_one_by_chance():
    with socket.create_server((LOOPBACK, 0)) as server:  # the system's choice: an ephemeral port
        assert max(free_ports(200)) < 32_768 <= server.getsockname()[1]


def test_a_taken_one_is_not_given_and_too_many_are_refused(monkeypatch):
    taken, free = free_ports(2)
    monkeypatch.setattr(ports.random, "sample", lambda _, __: [taken, free])
    with socket.create_server((LOOPBACK, taken)):
        assert free_port() == free
        with pytest.raises(RuntimeError, match="no 2 free ports"):
            free_ports(2)
