"""What the embedded stack runs, and what its clients are told, for each set of settings."""

import pytest

from landpatch.settings import Settings
from services.stack.manager import configure
from services.stack.parts import explicit_settings, make_environment, make_parts
from services.stack.state import Folders, load_access

STORE = {"AWS_S3_ENDPOINT": "s3.example.org", "AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s%(x)s"}
EO = {"EO_S3_ACCESS_KEY_ID": "eo-key", "EO_S3_SECRET_ACCESS_KEY": "eo-secret"}


@pytest.fixture
def folders(tmp_path):
    made = Folders(tmp_path)
    made.make()
    return made


def parts_of(folders, **given):
    return make_parts(Settings.model_validate(given), load_access(folders), folders)


def environment_of(folders, **given):
    return make_environment(Settings.model_validate(given), load_access(folders), folders)


@pytest.mark.parametrize(
    ("given", "absent"),
    [
        ({}, set()),
        (STORE, {"store", "files"}),
        (EO, {"eodata", "eo_store", "sandbox"}),
        (STORE | EO, {"store", "files", "eodata", "eo_store", "sandbox"}),
    ],
)
def test_what_is_set_is_used_and_what_is_not_is_embedded(folders, given, absent):
    every = {
        "redis", "store", "files", "eodata", "eo_store", "sandbox", "flower", "metrics",
        "dispatcher", "image_worker", "label_worker", "indexer", "reconciler",
    }  # fmt: skip
    assert {part.name for part in parts_of(folders, **given)} == every - absent


def test_settings_of_the_user_are_not_replaced(folders):
    environment = environment_of(folders, **STORE, **EO)
    assert not environment.keys() & {*STORE, *EO, "LANDPATCH_SOURCE", "LANDPATCH_ODATA_URL"}
    with_url = environment_of(folders, LANDPATCH_ODATA_URL="http://odata.example.org/Products")
    assert "LANDPATCH_ODATA_URL" not in with_url
    assert with_url["LANDPATCH_SOURCE"] == "sandbox"
    assert "{year}" in with_url["LANDPATCH_CLCPLUS_URL"]


def test_the_two_stores_have_endpoints_and_credentials_of_their_own(folders):
    environment = environment_of(folders)
    assert environment["AWS_S3_ENDPOINT"] != environment["LANDPATCH_EO_S3_ENDPOINT"]
    assert environment["AWS_ACCESS_KEY_ID"] != environment["EO_S3_ACCESS_KEY_ID"]
    assert environment["AWS_SECRET_ACCESS_KEY"] != environment["EO_S3_SECRET_ACCESS_KEY"]


def test_settings_reach_the_workers_wherever_the_user_wrote_them(tmp_path, monkeypatch):
    for name in STORE:
        monkeypatch.delenv(name, raising=False)
    (tmp_path / ".env").write_text("AWS_SECRET_ACCESS_KEY='s%(x)s'\nLANDPATCH_MAX_PRODUCTS=3\n")
    given = explicit_settings(Settings(_env_file=tmp_path / ".env"))
    assert given["AWS_SECRET_ACCESS_KEY"] == "s%(x)s"
    assert given["LANDPATCH_MAX_PRODUCTS"] == "3"


@pytest.mark.parametrize(
    ("before", "after"), [("", "127.0.0.1"), ("a.org", "a.org,127.0.0.1"), ("127.0.0.1", "127.0.0.1")]
)
def test_a_proxy_is_not_asked_for_this_machine(folders, monkeypatch, before, after):
    monkeypatch.setenv("no_proxy", before)
    assert environment_of(folders)["no_proxy"] == after


def test_no_secret_is_on_a_command_line_or_in_an_address(folders):
    access = load_access(folders)
    shown = " ".join(word for part in parts_of(folders) for word in [*part.command, part.address])
    for secret in (access.redis_password, access.store_secret, access.eo_secret, access.flower_password):
        assert secret not in shown


def test_workers_stop_before_the_servers_they_need_and_put_back_what_is_not_done(folders):
    text = configure(folders, parts_of(folders))
    order = [
        text.split(f"[group:{name}]")[1].split("priority=")[1][0] for name in ("broker", "servers", "workers")
    ]
    assert order == sorted(order)
    for part in parts_of(folders):
        if part.name.endswith(("worker", "dispatcher", "indexer")):
            assert part.environment["REMAP_SIGTERM"] == "SIGQUIT"
            assert part.stop_wait_s > 30
