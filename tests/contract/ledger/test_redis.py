"""A Redis that cannot be used."""

import pytest

from landpatch.connection import NO_REDIS
from landpatch.errors import ConfigurationError, InfrastructureError
from landpatch.ledger import Ledger, open_ledger
from landpatch.records import Work
from landpatch.settings import Settings
from tests.contract.conftest import REDIS_PASSWORD
from tests.contract.ledger.asked import REGION, cut, open_round, request

pytestmark = pytest.mark.stack


def test_without_a_redis_the_user_is_told_what_to_set():
    with pytest.raises(ConfigurationError, match="LANDPATCH_REDIS_URL") as refused:
        open_ledger(Settings(_env_file=None, LANDPATCH_REDIS_URL=None))
    assert str(refused.value) == NO_REDIS


def test_an_address_that_is_not_of_a_redis_is_a_wrong_setting_and_is_not_repeated():
    with pytest.raises(ConfigurationError, match="not a redis:// URL") as refused:
        open_ledger(Settings(_env_file=None, LANDPATCH_REDIS_URL=f"http://:{REDIS_PASSWORD}@127.0.0.1"))
    assert REDIS_PASSWORD not in str(refused.value)


def test_a_redis_that_can_be_used_passes_the_check(ledger):
    ledger.check()


@pytest.mark.parametrize("password", ["wr0ng-password", ""])
def test_a_wrong_password_is_a_wrong_setting_and_is_not_repeated(redis_url, password):
    url = redis_url.replace(REDIS_PASSWORD, password)
    with pytest.raises(ConfigurationError, match="refuses the password in LANDPATCH_REDIS_URL") as refused:
        open_ledger(Settings(_env_file=None, LANDPATCH_REDIS_URL=url)).check()
    assert "wr0ng" not in str(refused.value)


@pytest.mark.parametrize(
    "use",
    [
        Ledger.check,
        lambda ledger: ledger.start(request()),
        lambda ledger: ledger.facts(REGION),
        lambda ledger: ledger.finish(cut("r"), Work()),
        lambda ledger: ledger.progress(REGION),
    ],
    ids=["check", "start", "facts", "finish", "progress"],
)
def test_a_redis_that_cannot_be_reached_is_a_matter_of_the_infrastructure(silent_port, use):
    url = f"redis://:{REDIS_PASSWORD}@127.0.0.1:{silent_port}/0"
    with pytest.raises(InfrastructureError, match="cannot be reached") as unreached:
        use(open_ledger(Settings(_env_file=None, LANDPATCH_REDIS_URL=url)))
    assert REDIS_PASSWORD not in str(unreached.value)


def test_a_redis_without_memory_is_a_matter_of_the_infrastructure(ledger, redis_client):
    run, _ = ledger.start(request())
    redis_client.config_set("maxmemory", 1)
    try:
        with pytest.raises(InfrastructureError, match="has no memory left"):
            open_round(ledger, run, 1, 1)
        with pytest.raises(InfrastructureError, match="has no memory left"):
            ledger.refuse("a task", "a reason")
    finally:
        redis_client.config_set("maxmemory", 0)
