"""Ports, passwords and private files of the embedded stack."""

import socket
from dataclasses import asdict

import pytest

from services.stack.state import Folders, load_access, renew_taken_ports, write_private


@pytest.fixture
def folders(tmp_path):
    made = Folders(tmp_path / "state")
    made.make()
    return made


def test_ports_and_passwords_are_chosen_once_all_different_and_kept_for_the_owner_alone(folders):
    access = load_access(folders)
    assert load_access(folders) == access
    values = list(asdict(access).values())
    assert len(set(values)) == len(values)
    assert (folders.run / "access.json").stat().st_mode & 0o777 == 0o600
    assert folders.run.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("broken", ["", "{", "[]", '{"redis_port": 1}'])
def test_a_broken_file_of_ports_and_passwords_is_made_anew(folders, broken):
    (folders.run / "access.json").write_text(broken)
    access = load_access(folders)
    assert load_access(folders) == access


def test_a_port_that_somebody_else_listens_on_is_changed_and_nothing_else(folders):
    access = load_access(folders)
    with socket.create_server(("127.0.0.1", access.store_port)):
        renewed = renew_taken_ports(folders, access)
    before, after = asdict(access), asdict(renewed)
    assert {name for name in before if before[name] != after[name]} == {"store_port"}
    assert load_access(folders) == renewed
    assert renew_taken_ports(folders, renewed) == renewed


def test_a_private_file_is_replaced_whole_and_never_readable_by_others(tmp_path):
    path = tmp_path / "secret"
    path.write_text("old")
    path.chmod(0o644)
    write_private(path, "new")
    assert path.read_text() == "new"
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_the_control_socket_has_a_short_path_however_deep_the_folder_lies(tmp_path):
    deep = Folders(tmp_path / ("x" * 120))
    assert len(str(deep.socket)) < 100
    assert deep.socket != Folders(tmp_path / ("y" * 120)).socket
