"""Every fault of others, met by every client: each ends, in the right class, and never in a wrong answer.

`table.py` says which fault an answer has and what has to be raised. What is retried is Transient or
Infrastructure, what is recorded with its reason Permanent, what stops at the start Configuration.
"""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest

from landpatch.errors import ConfigurationError, InfrastructureError, PermanentError, TransientError
from landpatch.sources.eodata import MAX_PAGES
from services.stack.ports import free_port
from tests.faults.clients import (
    CLIENTS,
    EO,
    HUB,
    RIGHT,
    SERVICES,
    STORE,
    ZIP,
    find_products,
    list_product,
    read_band,
)
from tests.faults.conftest import ACCOUNT
from tests.faults.proxy import Answer, drips, says, sends
from tests.faults.table import CASES, FAULTS, HTML, WAIT, change_page
from tests.waiting import LONG_S

pytestmark = pytest.mark.stack

DEADLINE_S = 1.0
"""Of a request whose answer drips."""


@dataclass(frozen=True)
class World:
    """All that the clients ask."""

    public: object
    eo: object
    destination: object
    downloads: dict
    open_eodata: Callable
    open_download: Callable
    open_hub: Callable
    open_store: Callable
    files: dict[str, bytes]

    def proxy_of(self, client: str):
        """The proxy that a client's requests go through."""
        if client in SERVICES:
            return self.public
        if client in (*ZIP, *HUB):
            return self.downloads["given" if client == "ZIP part" else "ignored"]
        return self.eo.proxy if client in EO else self.destination.proxy


@pytest.fixture
def world(
    public, eo, destination, downloads, open_eodata, open_download, open_hub, open_store, files
) -> World:
    return World(public, eo, destination, downloads, open_eodata, open_download, open_hub, open_store, files)


@pytest.mark.parametrize("client", CLIENTS)
def test_without_a_fault_every_client_gets_what_is_right(world, client):
    assert CLIENTS[client].ask(world, None, LONG_S) == RIGHT[client]


@pytest.mark.parametrize(("client", "fault", "error", "reason"), CASES)
def test_a_fault_ends_in_its_class(world, client, fault, error, reason):
    with (
        world.proxy_of(client).doing(CLIENTS[client].pattern, fault),
        pytest.raises(error, match=reason or None) as raised,
    ):
        CLIENTS[client].ask(world, None, LONG_S)
    if error in {TransientError, PermanentError}:
        assert not isinstance(raised.value, ConfigurationError | InfrastructureError)
    for secret in (world.destination.server.secret.get_secret_value(), *ACCOUNT.values()):
        assert secret not in str(raised.value)
    assert len(str(raised.value).splitlines()) == 1


@pytest.mark.parametrize("drips_from", ["head", "body"])
@pytest.mark.parametrize("client", CLIENTS)
def test_an_answer_that_drips_for_ever_ends_when_its_time_is_over(world, client, drips_from):
    begin = time.monotonic()
    fault = drips(drips_from)
    with world.proxy_of(client).doing(CLIENTS[client].pattern, fault), pytest.raises(WAIT[client]):
        CLIENTS[client].ask(world, None, DEADLINE_S)
    assert time.monotonic() - begin > DEADLINE_S


@pytest.mark.parametrize("client", CLIENTS)
def test_a_port_that_nobody_listens_on_is_a_fault_that_may_pass(world, client):
    error = TransientError if client in SERVICES else InfrastructureError
    with pytest.raises(error, match="cannot be reached"):
        CLIENTS[client].ask(world, f"http://127.0.0.1:{free_port()}", LONG_S)


@pytest.mark.parametrize(
    ("client", "fault"),
    [
        (client, fault)
        for client in CLIENTS
        for fault in ("reset before the answer", "429", "498", "500", "503")
        # What the client of the destination does not try again, the task does.
        if client not in STORE or fault not in {"429", "498"}
    ],
)
def test_a_fault_that_passes_is_got_over(world, client, fault):
    with world.proxy_of(client).doing(CLIENTS[client].pattern, FAULTS[fault][0], times=1):
        assert CLIENTS[client].ask(world, None, LONG_S) == RIGHT[client]


def test_pages_that_lead_back_leave_products_out_and_are_not_believed(world):
    again = f"{world.public.url}/odata/v1/Products?$top=1"
    fault = sends(change_page(**{"@odata.nextLink": again}))
    with (
        world.public.doing("GET /odata/", fault) as rule,
        pytest.raises(TransientError, match="back to one that was read"),
    ):
        find_products(world, None, LONG_S)
    assert rule.met == 2


def test_pages_that_repeat_count_a_product_once(world):
    link = f"{world.public.url}/odata/v1/Products?$expand=Attributes&$skip=1"
    with world.public.doing("GET /odata/", sends(change_page(**{"@odata.nextLink": link})), times=1):
        assert find_products(world, None, LONG_S) == RIGHT["catalogue"]


def test_a_path_that_climbs_out_of_the_bucket_is_left_out(world):
    def climb(body: bytes) -> bytes:
        return body.replace(b'"/eodata/Sentinel-2', b'"/eodata/../secret/Sentinel-2', 1)

    with world.public.doing("GET /odata/", sends(climb)):
        assert find_products(world, None, LONG_S) == RIGHT["catalogue"] - 1


def test_a_listing_without_an_end_is_given_up(world):
    pages = []

    def go_on(body: bytes) -> bytes:
        pages.append(body)
        token = b"<NextContinuationToken>%d</NextContinuationToken>" % len(pages)
        return pages[0].replace(
            b"<IsTruncated>false</IsTruncated>", b"<IsTruncated>true</IsTruncated>" + token
        )

    def always_there(answer: Answer) -> Answer:
        return replace(answer, status=200, body=go_on(answer.body))

    with (
        world.eo.proxy.doing(CLIENTS["EO listing"].pattern, always_there) as rule,
        pytest.raises(PermanentError, match="no end after"),
    ):
        list_product(world, None, LONG_S)
    assert rule.met == MAX_PAGES


def test_a_listing_of_too_many_files_is_given_up(world, monkeypatch):
    monkeypatch.setattr("landpatch.sources.eodata.MAX_FILES", 40)

    def pile_up(body: bytes) -> bytes:
        (entry,) = re.findall(rb"<Contents>(?:(?!<Contents>).)*?B02_10m.*?</Contents>", body, flags=re.S)
        more = [entry.replace(b"B02_10m", b"B%d_10m" % number) for number in range(10, 50)]
        return body.replace(entry, entry + b"".join(more))

    with (
        world.eo.proxy.doing(CLIENTS["EO listing"].pattern, sends(pile_up)),
        pytest.raises(PermanentError, match="more than 40 files"),
    ):
        list_product(world, None, LONG_S)


def test_the_file_that_is_not_there_is_named(world):
    missing = says(404, b"<Error><Code>NoSuchKey</Code></Error>")
    with (
        world.eo.proxy.doing(CLIENTS["EO band"].pattern, missing) as rule,
        pytest.raises(
            PermanentError, match=r"asked for T31UDQ_20230601T105031_B09_60m\.jp2, has no such object"
        ),
    ):
        read_band(world, None, LONG_S)
    assert rule.met == 1


@pytest.mark.parametrize("body", [HTML, b""])
def test_an_object_that_is_not_there_is_none_and_another_404_is_not(world, body):
    store = world.open_store()
    assert store.get("never/put") is None
    with (
        world.destination.proxy.doing("GET /bucket/never/put", says(404, body)),
        pytest.raises(InfrastructureError),
    ):
        store.get("never/put")
