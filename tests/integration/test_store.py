"""The S3 store of the embedded stack and of the deployments, as a process of its own."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import boto3
import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.client import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from services.stack.ports import free_port
from tests.environment import ROOT, clean_environment
from tests.processes import probe, running
from tests.waiting import LONG_S, wait_until

pytestmark = pytest.mark.stack


@contextmanager
def serving(root: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """The store on a folder, when it answers."""
    pair = {"AWS_ACCESS_KEY_ID": "someone", "AWS_SECRET_ACCESS_KEY": "something-long"}
    command = [sys.executable, "-m", "services.store", "--root", str(root), "--port", str(port)]
    with running(command, **pair) as store:
        wait_until(lambda: probe(str(port)).returncode == 0)
        yield store


def client(port: int, secret: str):
    return boto3.client(
        "s3",
        endpoint_url=f"http://127.0.0.1:{port}",
        aws_access_key_id="someone",
        aws_secret_access_key=secret,
        region_name="us-east-1",
        config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}),
    )


def begin_upload(upload: socket.socket, port: int, key: str) -> None:
    """Send the first 2 of 9 MB of an object."""
    request = AWSRequest("PUT", f"http://127.0.0.1:{port}/landpatch/{key}", {"Content-Length": "9000000"})
    request.context["payload_signing_enabled"] = False
    S3SigV4Auth(Credentials("someone", "something-long"), "s3", "us-east-1").add_auth(request)
    lines = [f"PUT /landpatch/{key} HTTP/1.1", f"Host: 127.0.0.1:{port}"]
    lines += [f"{name}: {value}" for name, value in request.headers.items()]
    upload.sendall("\r\n".join([*lines, "", ""]).encode() + bytes(2_000_000))


def test_a_store_that_dies_during_an_upload_leaves_nothing_of_it_when_it_is_back(tmp_path):
    port, folder = free_port(), tmp_path / "landpatch" / "images"
    with serving(tmp_path, port) as store, socket.create_connection(("127.0.0.1", port)) as upload:
        client(port, "something-long").put_object(Bucket="landpatch", Key="images/whole.tif", Body=b"whole")
        begin_upload(upload, port, "images/cut.tif")
        wait_until(lambda: len(list(folder.iterdir())) == 2)
        store.kill()
        store.wait()
    assert len(list(folder.iterdir())) == 2
    with serving(tmp_path, port):
        listed = client(port, "something-long").list_objects_v2(Bucket="landpatch")["Contents"]
        assert [found["Key"] for found in listed] == ["images/whole.tif"]
        assert [path.name for path in folder.iterdir()] == ["whole.tif"]


def test_the_store_takes_its_own_credentials_and_no_others(tmp_path):
    port = free_port()
    with serving(tmp_path, port):
        client(port, "something-long").put_object(Bucket="landpatch", Key="a/b", Body=b"bytes")
        assert (tmp_path / "landpatch" / "a" / "b").read_bytes() == b"bytes"
        with pytest.raises(ClientError):
            client(port, "something-else").get_object(Bucket="landpatch", Key="a/b")


@pytest.mark.parametrize("secret", ["", 'with"quote', "with,comma"])
def test_the_store_does_not_start_without_credentials(tmp_path, secret):
    command = [sys.executable, "-m", "services.store", "--root", str(tmp_path / "data"), "--port", "1"]
    refused = subprocess.run(
        command,
        cwd=ROOT,
        env=clean_environment(AWS_ACCESS_KEY_ID="someone", AWS_SECRET_ACCESS_KEY=secret),
        capture_output=True,
        text=True,
        timeout=LONG_S,
        check=False,
    )
    assert refused.returncode == 2
    assert "AWS_SECRET_ACCESS_KEY" in refused.stderr
    assert not (tmp_path / "data").exists()
