"""The EO data store within its quota: through the sandbox's gate, which enforces it, over the S3 protocol."""

import multiprocessing
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import SimpleNamespace

import pytest
import redis
import requests
from botocore.exceptions import ClientError
from pydantic import SecretStr

from landpatch.errors import PermanentError, TransientError
from landpatch.quota import Governor, Quota
from landpatch.sources.eodata import BUCKET, EOData
from landpatch.storage import S3Store, make_s3_client
from services.stack.ports import free_port
from tests.contract.conftest import S3Server
from tests.http_server import Request, serving
from tests.processes import listening
from tests.waiting import LONG_S, wait_until

pytestmark = pytest.mark.stack

QUOTA = Quota(
    connections=4, connection_bytes_per_s=2_000_000, requests_per_minute=2000, volume_per_30_days=10**12
)
GENEROUS = Quota(1000, 10**9, 10**6, 10**15)
CONTENT = bytes(range(251)) * 4000
KEY = "Sentinel-2/MSI/L2A/band.jp2"


@dataclass(frozen=True)
class Gate:
    """The sandbox's door to a real S3 server."""

    endpoint: str
    key: SecretStr
    secret: SecretStr

    def client(self, connections=8):
        return make_s3_client(self.endpoint, self.key, self.secret, connections=connections, retries=0)

    def tally(self):
        return requests.get(f"{self.endpoint}/sandbox/quota", timeout=LONG_S).json()


@pytest.fixture
def open_gate(s3: S3Server):
    """Opens gates with a quota of their own."""
    S3Store(make_s3_client(s3.endpoint, s3.key, s3.secret), s3.bucket, s3.endpoint).put(KEY, CONTENT)
    gates = []

    def start(quota=QUOTA):
        port = free_port()
        command = [
            sys.executable,
            "-m",
            "services.sandbox",
            "gate",
            "--port",
            str(port),
            "--upstream",
            s3.endpoint,
        ]
        environment = {
            "LANDPATCH_EO_CONNECTIONS": str(quota.connections),
            "LANDPATCH_EO_CONNECTION_BYTES_PER_S": str(quota.connection_bytes_per_s),
            "LANDPATCH_EO_REQUESTS_PER_MINUTE": str(quota.requests_per_minute),
            "LANDPATCH_EO_BYTES_PER_30_DAYS": str(quota.volume_per_30_days),
        }
        gate = listening(command, port, **environment)
        gate.__enter__()
        gates.append(gate)
        return Gate(f"http://127.0.0.1:{port}", s3.key, s3.secret)

    yield start
    for gate in gates:
        gate.__exit__(None, None, None)


@pytest.fixture
def bucket(monkeypatch, s3):
    """The S3 server of the tests has one bucket of another name than the EO data store's."""
    monkeypatch.setattr("landpatch.sources.eodata.BUCKET", s3.bucket)


# the gate itself: what a client without manners meets


def get(gate, span=None, client=None):
    options = {"Range": f"bytes={span[0]}-{span[1]}"} if span else {}
    return (client or gate.client()).get_object(Bucket="bucket", Key=KEY, **options)["Body"]


def get_unless_refused(gate):
    try:
        return get(gate, (0, 9)).read()
    except ClientError:
        return None


def test_the_gate_passes_on_what_is_signed_whole_and_in_ranges(open_gate):
    gate = open_gate(GENEROUS)
    assert get(gate).read() == CONTENT
    assert get(gate, (1000, 5999)).read() == CONTENT[1000:6000]
    wrong = Gate(gate.endpoint, gate.key, SecretStr("another secret"))
    with pytest.raises(wrong.client().exceptions.ClientError, match="SignatureDoesNotMatch"):
        get(wrong)


def test_the_gate_refuses_the_fifth_connection_and_says_when_to_come_again(open_gate):
    gate = open_gate(Quota(4, 500_000, 2000, 10**12))
    client = gate.client()
    bodies = [get(gate, client=client) for _ in range(4)]
    with pytest.raises(client.exceptions.ClientError) as refused:
        get(gate, client=client)
    answer = refused.value.response["ResponseMetadata"]
    assert (answer["HTTPStatusCode"], answer["HTTPHeaders"]["retry-after"]) == (429, "1")
    assert [len(body.read()) for body in bodies] == [len(CONTENT)] * 4
    assert get(gate).read() == CONTENT
    assert gate.tally() == {"requests": 6, "refused": 1, "peak_connections": 4, "bytes": 5 * len(CONTENT)}


def test_the_gate_lets_in_at_once_who_has_all_that_was_asked_for(open_gate):
    gate = open_gate(Quota(1, 100_000, 2000, 10**12))
    one, other = gate.client(), gate.client()  # over one connection, a request waits for the one before
    for number in range(5):
        start = 20_000 * number
        assert get(gate, (start, start + 19_999), one).read() == CONTENT[start : start + 20_000]
        other.head_object(Bucket="bucket", Key=KEY)
    assert gate.tally() == {"requests": 10, "refused": 0, "peak_connections": 1, "bytes": 100_000}


def test_the_gate_lets_go_of_a_connection_that_is_broken_off(open_gate):
    gate = open_gate(Quota(1, 100_000, 2000, 10**12))
    get(gate).close()
    assert wait_until(lambda: get_unless_refused(gate)) == CONTENT[:10]


def test_the_gate_gives_a_connection_no_more_bytes_a_second_than_allowed(open_gate):
    gate = open_gate()
    begin = time.monotonic()
    get(gate).read()
    assert time.monotonic() - begin > 0.8 * len(CONTENT) / QUOTA.connection_bytes_per_s


def test_the_gate_counts_the_requests_of_a_minute(open_gate):
    gate = open_gate(Quota(4, 10**8, 3, 10**12))
    for _ in range(3):
        get(gate, (0, 9)).read()
    with pytest.raises(gate.client().exceptions.ClientError) as refused:
        get(gate, (0, 9))
    assert 50 < int(refused.value.response["ResponseMetadata"]["HTTPHeaders"]["retry-after"]) <= 61


# the client behind the governor


def read_spans(gate, url, quota, spans, wait):
    """A worker process: reads spans on eight threads."""
    governor = Governor(redis.Redis.from_url(url, decode_responses=True), "account", quota)
    eodata = EOData(gate.client(), gate.endpoint, governor)
    wait.wait(LONG_S)
    with ThreadPoolExecutor(8) as pool:
        pieces = list(pool.map(lambda span: eodata.read_range(KEY, *span), spans))
    return pieces == [CONTENT[start : start + length] for start, length in spans]


def work(gate, url, quota, spans, wait, bucket_name, found):
    import landpatch.sources.eodata as module

    module.BUCKET = bucket_name
    try:
        found.put(read_spans(gate, url, quota, spans, wait))
    except BaseException as error:
        found.put(repr(error))
        raise


def run_workers(gate, url, quota, s3):
    context = multiprocessing.get_context("spawn")
    found, wait = context.Queue(), context.Barrier(3)
    spans = [(20_000 * number, 20_000) for number in range(40)]
    workers = [
        context.Process(target=work, args=(gate, url, quota, spans, wait, s3.bucket, found)) for _ in range(3)
    ]
    for worker in workers:
        worker.start()
    results = [found.get(timeout=LONG_S) for _ in workers]
    for worker in workers:
        worker.join(LONG_S)
    return results


def test_several_worker_processes_see_no_refusal(open_gate, redis_url, redis_client, s3):
    gate = open_gate()
    assert run_workers(gate, redis_url, QUOTA, s3) == [True] * 3
    tally = gate.tally()
    assert tally["refused"] == 0
    assert tally["requests"] == 120
    assert tally["peak_connections"] == 4


def test_workers_that_know_of_a_larger_quota_than_there_is_are_refused_back_off_and_still_end(
    open_gate, redis_url, redis_client, s3
):
    gate = open_gate()
    too_much = Quota(5, QUOTA.connection_bytes_per_s, 2000, 10**12)
    assert run_workers(gate, redis_url, too_much, s3) == [True] * 3
    assert gate.tally()["refused"] > 0


# answers that are not what was asked for


def answering(*answers):
    """A server that gives these answers, one after the other, the last for ever."""
    left = list(answers)

    def answer(request: Request) -> None:
        status, body, headers = left.pop(0) if len(left) > 1 else left[0]
        request.send(status, body, **{"Content_Length": str(len(body))} | headers)

    return serving(answer)


@pytest.fixture
def connect(redis_client, monkeypatch):
    """A client of a server, and its governor, which records instead of sleeping."""
    # Of this module alone: the governor's own thread would never rest.
    restless = SimpleNamespace(**vars(time) | {"sleep": lambda _: None})
    monkeypatch.setattr("landpatch.sources.account.time", restless)

    def make(server):
        pauses = []

        def skip(pause_s):
            pauses.append(pause_s)
            redis_client.delete("landpatch:quota:{account}:hold")

        governor = Governor(redis_client, "account", QUOTA, sleep=skip)
        client = make_s3_client(server.base, SecretStr("a key"), SecretStr("s3cr3t"), retries=0)
        return EOData(client, server.base, governor), pauses

    return make


def part(start, length, whole=1000, data=CONTENT):
    body = data[start : start + length]
    return 206, body, {"Content_Range": f"bytes {start}-{start + length - 1}/{whole}"}


REFUSED = b'<?xml version="1.0" encoding="UTF-8"?><Error><Code>SlowDown</Code></Error>'


@pytest.mark.parametrize("status", [429, 498, 503])
@pytest.mark.parametrize(("retry_after", "longest_s"), [({"Retry_After": "7"}, 7 * 1.5), ({}, 2 * 1.5)])
def test_a_refusal_makes_the_account_wait_as_long_as_is_asked(connect, status, retry_after, longest_s):
    with answering((status, REFUSED, retry_after), part(10, 20)) as server:
        eodata, pauses = connect(server)
        with eodata.counting() as traffic:
            assert eodata.read_range("a", 10, 20) == CONTENT[10:30]
    assert len(pauses) == 1
    assert longest_s / 1.5 * 0.95 < pauses[0] <= longest_s
    assert traffic.requests == 2


def test_a_store_that_only_refuses_is_asked_five_times_then_later(connect):
    with answering((429, REFUSED, {})) as server:
        eodata, _ = connect(server)
        with pytest.raises(TransientError, match="asks to wait"):
            eodata.read_range("a", 0, 10)
    assert len(server.asked) == 5


@pytest.mark.parametrize(
    "wrong",
    [
        (206, CONTENT[:10], {"Content_Range": "bytes 0-9/1000", "Content_Length": "20"}),  # cut short
        part(0, 10),  # another part
        (200, CONTENT[:1000], {}),  # the whole file
        (206, CONTENT[10:30], {}),  # a part without a name
        (500, b"", {}),
        (502, b"<html></html>", {}),
    ],
)
def test_an_answer_that_is_not_the_part_that_was_asked_for_is_asked_for_again(connect, wrong):
    with answering(wrong, part(10, 20)) as server:
        eodata, _ = connect(server)
        assert eodata.read_range("a", 10, 20) == CONTENT[10:30]
    assert len(server.asked) == 2


def test_each_try_asks_for_the_same_part_of_the_same_file(connect):
    with answering((500, b"", {}), part(10, 20)) as server:
        connect(server)[0].read_range("folder/a.jp2", 10, 20)
    assert {request.path for request in server.asked} == {f"/{BUCKET}/folder/a.jp2"}
    assert {request.headers["Range"] for request in server.asked} == {"bytes=10-29"}


@pytest.mark.parametrize("status", [404, 403])
def test_what_will_not_pass_is_asked_for_once_and_the_secret_is_not_told(connect, status):
    code = {404: b"NoSuchKey", 403: b"AccessDenied"}[status]
    body = b'<?xml version="1.0" encoding="UTF-8"?><Error><Code>' + code + b"</Code></Error>"
    with answering((status, body, {"Content_Type": "application/xml"})) as server:
        eodata, _ = connect(server)
        with pytest.raises(Exception) as error:
            eodata.read_range("a", 10, 20)
    assert not isinstance(error.value, TransientError)
    assert "s3cr3t" not in str(error.value)
    assert len(server.asked) == 1


def test_a_part_beyond_what_a_band_has_is_not_even_asked_for(connect):
    with answering(part(0, 10)) as server:
        eodata, _ = connect(server)
        with pytest.raises(PermanentError, match="more than a band has"):
            eodata.read_range("a", 10**9, 10)
    assert server.asked == []


def test_nobody_listens_on_the_port(connect, silent_port):
    with answering(part(0, 10)) as server:
        pass
    eodata, _ = connect(server)
    with pytest.raises(TransientError):
        eodata.read_range("a", 0, 10)
