"""Redis behind TLS: ledger, quota, broker and workers speak it, and none to a server that is not trusted."""

import sys
from urllib.parse import urlsplit

import pytest
from kombu.exceptions import OperationalError

from landpatch.celery import make_app
from landpatch.connection import open_redis
from landpatch.errors import ConfigurationError
from landpatch.ledger import open_ledger
from landpatch.messages import FetchLabels, RegionRequest
from landpatch.quota import open_governor
from landpatch.settings import Settings
from tests.contract import toys
from tests.contract.conftest import REDIS_PASSWORD
from tests.contract.tls import make_certificate, serving_tls
from tests.processes import running
from tests.waiting import wait_until


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """Of this machine; of the same name by somebody else; of another machine."""
    folder = tmp_path_factory.mktemp("certificates")
    return {
        name: make_certificate(folder, name, address)
        for name, address in (("own", "127.0.0.1"), ("other", "127.0.0.1"), ("elsewhere", "127.0.0.9"))
    }


@pytest.fixture
def served(redis_client, redis_url, certificates):
    """Settings for the Redis behind TLS: by the certificate it shows and the one that is trusted."""
    opened = []

    def serve(shows, trusts):
        server = serving_tls(certificates[shows], urlsplit(redis_url).port)
        port = server.__enter__()
        opened.append(server)
        return {
            "LANDPATCH_REDIS_URL": f"rediss://:{REDIS_PASSWORD}@127.0.0.1:{port}/0",
            **({"LANDPATCH_REDIS_CA_FILE": f"{certificates[trusts]}.crt"} if trusts else {}),
        }

    yield serve
    for server in opened:
        server.__exit__(None, None, None)


def settings_of(given):
    return Settings(_env_file=None, **given)


def test_ledger_and_quota_work_behind_a_certificate_that_is_trusted(served):
    settings = settings_of(served(shows="own", trusts="own"))
    open_ledger(settings).check()
    with open_governor(settings).request(10) as rate:
        assert rate > 0


def test_a_worker_takes_its_messages_behind_a_certificate_that_is_trusted(served, tmp_path):
    given = served(shows="own", trusts="own")
    settings = settings_of(given)
    ledger = open_ledger(settings)
    run, _ = ledger.start(RegionRequest(nuts="FR101", year=2021, start="2021-05-01", end="2021-09-30"))
    ledger.claim("FR101/2021", run, "control", 3600)
    message = FetchLabels(
        run=run, nuts="FR101", year=2021, round=1, label_year=2021, block=toys.FINE, patches=("0_0_0_0",)
    )
    ledger.add_labels("FR101/2021", run, [message, message.model_copy(update={"block": 99})])
    ledger.claim("FR101/2021", run, "labels", 3600)
    make_app("tests", settings).send_task(
        "labels.fetch_labels", kwargs={"message": message.model_dump(mode="json")}, queue="labels"
    )
    command = [
        sys.executable, "-m", "celery", "-A", "tests.contract.toy_worker", "worker", "--queues", "labels",
        "--concurrency", "1", "--loglevel", "WARNING", "--without-gossip", "--without-mingle",
    ]  # fmt: skip
    with running(command, TOY_NOTES=str(tmp_path), **given):
        wait_until(lambda: not ledger.is_pending("FR101/2021", "labels", str(toys.FINE)))


@pytest.mark.parametrize(
    ("shows", "trusts"),
    [("own", None), ("own", "other"), ("elsewhere", "elsewhere")],
    ids=["nobody vouches", "another vouches", "of another machine"],
)
def test_a_server_that_is_not_trusted_is_sent_nothing(served, shows, trusts):
    settings = settings_of(served(shows, trusts))
    with pytest.raises(ConfigurationError, match=r"is not trusted.*LANDPATCH_REDIS_CA_FILE") as refused:
        open_redis(settings).ping()
    assert REDIS_PASSWORD not in str(refused.value)
    app = make_app("tests", settings)
    with pytest.raises(OperationalError, match="certificate verify failed"):
        app.send_task("x", queue="labels", retry=False)
