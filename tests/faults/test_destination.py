"""A destination that is read-only or full: found at the start, waited for later, and nothing left behind."""

import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Thread

import pytest

from landpatch.errors import ConfigurationError, InfrastructureError
from landpatch.layout import probe_key
from landpatch.storage import S3Store, make_s3_client
from tests.contract.conftest import S3Server, serving_s3
from tests.faults.proxy import resets, says

pytestmark = pytest.mark.stack

KEY = probe_key("data")
DENIED = b"<Error><Code>AccessDenied</Code></Error>"
CONDITIONS = {
    "read-only": (["--read-only"], ""),
    # No file may grow: the server meets the same error of a write as on a disk that is full.
    "full": ([], "ulimit -f 16; "),
}


def open_bucket(server: S3Server, retries: int = 0) -> S3Store:
    client = make_s3_client(server.endpoint, server.key, server.secret, retries=retries)
    return S3Store(client, server.bucket, server.endpoint)


@pytest.fixture(params=CONDITIONS)
def hindered(request, tmp_path):
    """A store that can be read and not written, and its folder."""
    options, shell = CONDITIONS[request.param]
    (tmp_path / "bucket").mkdir()
    (tmp_path / "bucket/there").write_bytes(b"x" * 1000)
    with serving_s3(tmp_path, *options, shell=shell) as server:
        yield open_bucket(server), tmp_path


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "bucket").rglob("*"))


def test_what_cannot_be_written_can_still_be_read(hindered):
    store, _ = hindered
    store.check()
    assert store.get("there") == b"x" * 1000


def test_a_store_that_cannot_be_written_is_found_at_the_start_and_nothing_is_left(hindered):
    store, folder = hindered
    with pytest.raises(InfrastructureError, match="nothing can be stored, perhaps it is full or read-only"):
        store.check_writing(KEY)
    assert names_in(folder) == ["there"]


def test_a_put_that_fails_is_waited_for_and_leaves_nothing(hindered):
    store, folder = hindered
    with pytest.raises(InfrastructureError, match="answered InternalError"):
        store.put("data/images/a.tif", bytes(1_000_000))
    assert [path.name for path in folder.rglob("*") if path.is_file()] == ["there"]
    assert store.get("data/images/a.tif") is None


def test_a_store_that_can_be_written_has_no_more_and_no_less_in_it_after_the_check(tmp_path):
    with serving_s3(tmp_path) as server:
        store = open_bucket(server)
        store.put("data/images/a.tif", b"image")
        before = names_in(tmp_path)
        store.check_writing(KEY)
        assert names_in(tmp_path) == before


def test_many_may_look_at_once_whether_they_may_write(tmp_path):
    with serving_s3(tmp_path) as server:
        # Who takes away the last object of a folder takes the folder away, just when one is put there.
        stores = [open_bucket(server, retries=3) for _ in range(12)]
        with ThreadPoolExecutor(len(stores)) as pool:
            for _ in range(10):
                list(pool.map(lambda store: store.check_writing(probe_key("data")), stores))
        # Of a put that fails in this race and is tried again, the server itself may leave a part.
        assert [name for name in names_in(tmp_path) if not name.startswith(".rclone_temp_put_")] in (
            [],
            ["data"],
        )


def test_a_store_that_denies_writes_is_a_wrong_setting(open_store, destination):
    with (
        destination.proxy.doing(f"PUT /bucket/{KEY}", says(403, DENIED)),
        pytest.raises(ConfigurationError, match="nothing can be stored"),
    ):
        open_store().check_writing(KEY)


@pytest.mark.parametrize("fault", [resets, says(200), says(502)])
def test_a_store_that_has_stored_in_spite_of_its_answer_is_left_as_it_was(open_store, destination, fault):
    with destination.proxy.doing(f"PUT /bucket/{KEY}", fault), pytest.raises(InfrastructureError):
        open_store().check_writing(KEY)
    assert open_store().get(KEY) is None


def test_an_object_that_arrives_damaged_is_refused_by_the_store_itself(open_store, destination, monkeypatch):
    store = open_store()
    store.put("damaged/a", b"before")
    put = store._client.put_object
    monkeypatch.setattr(store._client, "put_object", lambda Body, **rest: put(Body=b"dama9ed", **rest))  # noqa: N803
    with pytest.raises(InfrastructureError, match="BadDigest"):
        store.put("damaged/a", b"damaged")
    assert store.get("damaged/a") == b"before"


def test_an_answer_that_ends_after_its_first_line_ends_the_put(open_store):
    def begin(listener: socket.socket) -> None:
        while True:
            connection, _ = listener.accept()
            connection.recv(65_536)
            connection.sendall(b"HTTP/1.1 100 Continue\r\n")
            connection.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        Thread(target=begin, args=(listener,), daemon=True).start()
        store = open_store(f"http://127.0.0.1:{listener.getsockname()[1]}", request_s=3600)
        with pytest.raises(InfrastructureError):
            store.put("a", b"x")
