"""The destination store, over the S3 protocol on a real server: whole objects under keys."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from pydantic import SecretStr

from landpatch.errors import ConfigurationError, InfrastructureError
from landpatch.settings import Settings
from landpatch.storage import S3Store, make_s3_client, open_store
from tests.contract.conftest import S3Server

pytestmark = pytest.mark.stack


def open_bucket(server: S3Server, bucket: str | None = None, secret: SecretStr | None = None) -> S3Store:
    client = make_s3_client(server.endpoint, server.key, secret or server.secret)
    return S3Store(client, bucket or server.bucket, server.endpoint)


@pytest.fixture(scope="module")
def store(s3: S3Server) -> S3Store:
    return open_bucket(s3)


@pytest.mark.parametrize("size", [0, 1, 7_000_000])
def test_an_object_comes_back_as_it_was_put(store, size):
    data = bytes(number % 251 for number in range(size))
    store.put(f"whole/{size}.bin", data, "image/tiff")
    assert store.get(f"whole/{size}.bin") == data


def test_an_object_is_hashed_once_and_the_hash_is_signed(s3):
    settings = Settings(
        _env_file=None,
        store_endpoint=s3.endpoint,
        store_access_key=s3.key,
        store_secret_key=s3.secret,
        bucket=s3.bucket,
    )
    store = open_store(settings)
    sent = []
    store._client.meta.events.register("before-send.s3.PutObject", lambda request, **_: sent.append(request))
    store.put("signed/a", b"hello")
    (headers,) = ({name.lower(): value for name, value in request.headers.items()} for request in sent)
    assert headers["content-md5"] == b"XUFAKrxLKna5cZ2REBfFkg=="
    assert headers["x-amz-content-sha256"] == b"UNSIGNED-PAYLOAD"
    assert b"content-md5" in headers["authorization"]
    assert store.get("signed/a") == b"hello"


def test_an_object_replaces_the_one_of_the_same_key_and_its_etag_changes(store):
    store.put("replaced/a", b"first, and longer")
    (first,) = store.find("replaced/")
    store.put("replaced/a", b"second")
    (second,) = store.find("replaced/")
    assert store.get("replaced/a") == b"second"
    assert (second.key, second.size) == ("replaced/a", 6)
    assert second.etag
    assert second.etag != first.etag


def test_the_same_bytes_have_the_same_etag(store):
    store.put("etag/a", b"same")
    store.put("etag/b", b"same")
    first, second = store.find("etag/")
    assert first.etag == second.etag


def test_an_object_that_is_deleted_is_gone_and_deleting_it_again_is_no_error(store):
    store.put("deleted/a", b"x")
    store.put("deleted/b", b"y")
    store.delete("deleted/a")
    assert store.get("deleted/a") is None
    assert [entry.key for entry in store.find("deleted/")] == ["deleted/b"]
    store.delete("deleted/a")
    store.delete("deleted/never/was/there")


def test_an_object_that_was_never_put_is_none(store):
    store.put("absent/other", b"x")
    assert store.get("absent/a") is None
    assert store.get("absent") is None
    assert store.get("never/was/there") is None


def test_nothing_is_found_where_nothing_was_put(store):
    assert list(store.find("empty/folder/")) == []


def test_only_what_lies_below_the_prefix_is_found(store):
    for key in ("below/2021/a", "below/2021/deep/b", "below/20211/c", "below/2020/d"):
        store.put(key, b"x")
    assert [entry.key for entry in store.find("below/2021/")] == ["below/2021/a", "below/2021/deep/b"]


def test_more_objects_than_a_page_holds_are_all_found_once_and_sorted(s3, store):
    sizes = {f"many/{number * 2500}_{number % 7}.tif": number % 5 for number in range(1200)}
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda item: store.put(item[0], b"x" * item[1]), sizes.items()))
    client = make_s3_client(s3.endpoint, s3.key, s3.secret)
    assert client.list_objects_v2(Bucket=s3.bucket, Prefix="many/")["IsTruncated"]
    found = [(entry.key, entry.size) for entry in store.find("many/")]
    assert found == sorted(sizes.items())


def test_writers_of_one_key_leave_one_of_their_objects_whole(store):
    versions = [bytes([number]) * 200_000 for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda data: store.put("raced/a", data), versions))
    assert store.get("raced/a") in versions


def test_a_key_may_hold_what_a_patch_name_holds(store):
    key = "data/images/FR101/2021/-2500_2887500_0_1.tif"
    store.put(key, b"x")
    assert [entry.key for entry in store.find("data/images/FR101/2021/")] == [key]


def test_a_store_that_can_be_used_passes_the_check(store):
    store.check()


def everything(store: S3Store) -> list:
    """Every operation of a store, to be called."""
    return [
        store.check,
        lambda: store.put("key", b"x"),
        lambda: store.get("key"),
        lambda: list(store.find("")),
    ]


def test_a_wrong_secret_is_a_wrong_setting_and_is_not_repeated(s3):
    wrong = "not-the-s3cr3t"
    for operation in everything(open_bucket(s3, secret=SecretStr(wrong))):
        with pytest.raises(ConfigurationError, match=r"AWS_S3_ENDPOINT.*refuses the credentials") as refused:
            operation()
        assert wrong not in str(refused.value)
        assert s3.key.get_secret_value() not in str(refused.value)


def test_a_wrong_key_is_a_wrong_setting_and_is_not_repeated(s3):
    stranger = S3Server(s3.endpoint, SecretStr("some-stranger"), s3.secret, s3.bucket)
    for operation in everything(open_bucket(stranger)):
        with pytest.raises(ConfigurationError, match="refuses the credentials") as refused:
            operation()
        assert "some-stranger" not in str(refused.value)
        assert s3.secret.get_secret_value() not in str(refused.value)


def test_a_bucket_that_is_not_there_is_a_wrong_setting_that_is_named(s3):
    for operation in everything(open_bucket(s3, bucket="no-such-bucket")):
        with pytest.raises(ConfigurationError, match=r"bucket no-such-bucket.*no such bucket"):
            operation()


def test_a_store_that_cannot_be_reached_is_a_matter_of_the_infrastructure(s3, silent_port, monkeypatch):
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda _: None)  # the pauses between attempts
    away = S3Server(f"http://127.0.0.1:{silent_port}", s3.key, s3.secret, s3.bucket)
    with pytest.raises(InfrastructureError, match=f"127.0.0.1:{silent_port}.*cannot be reached") as unreached:
        open_bucket(away).check()
    assert s3.secret.get_secret_value() not in str(unreached.value)


def test_an_address_tells_where_a_reader_finds_the_object(s3):
    client = make_s3_client(s3.endpoint, s3.key, s3.secret)
    assert S3Store(client, "b", s3.endpoint).url("a/c.tif") == f"{s3.endpoint}/b/a/c.tif"
    assert S3Store(client, "b", s3.endpoint, "https://data.example").url("a") == "https://data.example/b/a"
    assert S3Store(client, "b", None).url("a/c.tif") == "s3://b/a/c.tif"


def test_folders_are_named_without_what_lies_deeper(store):
    for key in (
        "years/FR101/2021/a.tif",
        "years/FR101/2021/b.tif",
        "years/FR101/2018/deep/c",
        "years/FR101/d",
    ):
        store.put(key, b"x")
    assert store.folders("years/FR101/") == ["2018", "2021"]
    assert store.folders("years/") == ["FR101"]
    assert store.folders("years/LU000/") == []


def test_more_folders_than_a_page_holds_are_all_named(store):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: store.put(f"wide/{number:04}/x", b"x"), range(1100)))
    assert store.folders("wide/") == [f"{number:04}" for number in range(1100)]
