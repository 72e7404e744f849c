"""The settings: one line for every mistake, and no secret in it."""

import os

import pytest

from landpatch.errors import ConfigurationError
from landpatch.settings import Settings, load_settings

SECRET = "0123456789abcdef-secret"


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch, tmp_path):
    """An environment without any setting, in an empty folder."""
    for name in list(os.environ):
        if name.startswith(("LANDPATCH_", "AWS_", "EO_S3_", "OTEL_")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def test_nothing_has_to_be_set():
    settings = load_settings()
    assert (settings.bucket, settings.prefix) == ("landpatch", "data")
    assert settings.store_endpoint is None
    assert settings.redis_url is None
    assert settings.eo_access_key is None
    assert settings.eo_endpoint == "https://eodata.dataspace.copernicus.eu"
    assert settings.odata_url == "https://catalogue.dataspace.copernicus.eu/odata/v1/Products"
    assert settings.nuts_url.endswith("NUTS_RG_01M_2021_3035_LEVL_3.geojson")
    assert "{year}" in settings.clcplus_url


@pytest.mark.parametrize(
    ("given", "understood"),
    [
        ("s3.example.org", "https://s3.example.org"),
        ("localhost:9000", "https://localhost:9000"),
        ("127.0.0.1:9000/", "https://127.0.0.1:9000"),
        ("http://localhost:9000", "http://localhost:9000"),
        ("https://s3.example.org/", "https://s3.example.org"),
    ],
)
@pytest.mark.parametrize(
    ("variable", "field"),
    [
        ("AWS_S3_ENDPOINT", "store_endpoint"),
        ("LANDPATCH_EO_S3_ENDPOINT", "eo_endpoint"),
        ("LANDPATCH_STORE_URL", "store_url"),
    ],
)
def test_an_endpoint_without_a_scheme_is_https(monkeypatch, variable, field, given, understood):
    monkeypatch.setenv(variable, given)
    assert getattr(load_settings(), field) == understood


URLS = [
    "AWS_S3_ENDPOINT",
    "LANDPATCH_EO_S3_ENDPOINT",
    "LANDPATCH_STORE_URL",
    "LANDPATCH_ODATA_URL",
    "LANDPATCH_CDSE_TOKEN_URL",
    "LANDPATCH_ODATA_DOWNLOAD_URL",
    "LANDPATCH_SENTINELHUB_URL",
]


@pytest.mark.parametrize("variable", [*URLS, "LANDPATCH_CLCPLUS_URL"])
@pytest.mark.parametrize("user", ["user", "", "user:extra"])
def test_credentials_in_an_address_are_refused_and_not_repeated(monkeypatch, variable, user):
    monkeypatch.setenv(variable, f"https://{user}:{SECRET}@s3.example.org/{{year}}")
    with pytest.raises(ConfigurationError, match=rf"^wrong setting: {variable}: .*credentials") as refused:
        load_settings()
    assert SECRET not in str(refused.value)
    assert refused.value.__cause__ is None


@pytest.mark.parametrize("variable", URLS)
@pytest.mark.parametrize(
    "value", ["http://", "ftp://s3.example.org", "http://s3.example.org:99999", "http://a b"]
)
def test_what_is_no_http_address_is_refused_by_the_name_of_its_variable(monkeypatch, variable, value):
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigurationError, match=f"^wrong setting: {variable}: "):
        load_settings()


def test_rasters_of_labels_are_named_by_path_or_address_the_first_choice_first(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LANDPATCH_LABEL_CLASSES", "classes.csv")
    address = "https://example.org/map_{year}.tif?signature=x"
    monkeypatch.setenv("LANDPATCH_LABEL_SOURCE", f"raster:city_{{year}}.tif  {address} /data/map.tif")
    settings = load_settings()
    assert settings.label_rasters == (f"{tmp_path}/city_{{year}}.tif", address, "/data/map.tif")
    assert settings.label_classes == f"{tmp_path}/classes.csv"
    monkeypatch.setenv("LANDPATCH_LABEL_CLASSES", "{10: 2}")
    assert load_settings().label_classes == "{10: 2}"


@pytest.mark.parametrize(
    "source", ["", " ", "raster:", "raster: ", "raster", "clc", "CLCPLUS", "map.tif", "raster:s3://b/map.tif",
               "raster:/vsicurl/http://x/a.tif ftp://x/a", "raster:http://", "raster:http://a:99999/b.tif"]
)  # fmt: skip
def test_what_is_no_source_of_labels_is_refused_in_one_line(monkeypatch, source):
    monkeypatch.setenv("LANDPATCH_LABEL_SOURCE", source)
    if not source:
        assert load_settings().label_source == "clcplus"
        return
    with pytest.raises(ConfigurationError, match=r"^wrong setting: LANDPATCH_LABEL_SOURCE: ") as refused:
        load_settings()
    assert "\n" not in str(refused.value)


def test_credentials_in_the_address_of_a_raster_are_refused_and_not_repeated(monkeypatch):
    monkeypatch.setenv("LANDPATCH_LABEL_SOURCE", f"raster:https://me:{SECRET}@example.org/map.tif")
    with pytest.raises(
        ConfigurationError, match=r"^wrong setting: LANDPATCH_LABEL_SOURCE: .*credentials"
    ) as no:
        load_settings()
    assert SECRET not in str(no.value)


def test_the_label_service_has_to_have_a_place_for_the_year(monkeypatch):
    monkeypatch.setenv("LANDPATCH_CLCPLUS_URL", "https://example.org/CLC_2021/ImageServer/exportImage")
    with pytest.raises(ConfigurationError, match=r"LANDPATCH_CLCPLUS_URL: .*has no \{year\} in it"):
        load_settings()


def test_a_file_is_read_and_the_environment_wins_over_it(monkeypatch, tmp_path):
    (tmp_path / ".env").write_text(
        "# the store\nLANDPATCH_BUCKET=from-file\nLANDPATCH_PREFIX='from/file'\nSOMETHING_ELSE=1\n"
        f"AWS_SECRET_ACCESS_KEY={SECRET}\n"
    )
    monkeypatch.setenv("LANDPATCH_BUCKET", "from-environment")
    settings = load_settings()
    assert settings.bucket == "from-environment"
    assert settings.prefix == "from/file"
    assert settings.store_secret_key.get_secret_value() == SECRET


def test_a_variable_that_is_set_to_nothing_is_not_set(monkeypatch, tmp_path):
    (tmp_path / ".env").write_text("LANDPATCH_PREFIX=\nAWS_S3_ENDPOINT=\n")
    monkeypatch.setenv("LANDPATCH_REDIS_URL", "")
    settings = load_settings()
    assert settings.redis_url is None
    assert settings.store_endpoint is None
    assert settings.prefix == "data"


def test_the_file_can_be_left_unread(tmp_path):
    (tmp_path / ".env").write_text("LANDPATCH_BUCKET=from-file\n")
    assert load_settings(None).bucket == "landpatch"


SECRETS = [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "EO_S3_ACCESS_KEY_ID",
    "EO_S3_SECRET_ACCESS_KEY",
    "LANDPATCH_REDIS_URL",
    "LANDPATCH_CDSE_USER",
    "LANDPATCH_CDSE_PASSWORD",
    "LANDPATCH_SENTINELHUB_CLIENT_ID",
    "LANDPATCH_SENTINELHUB_CLIENT_SECRET",
]


def test_secrets_show_nowhere(monkeypatch):
    for number, name in enumerate(SECRETS):
        monkeypatch.setenv(name, f"{SECRET}-{number}")
    settings = load_settings()
    assert settings.redis_url.get_secret_value() == f"{SECRET}-5"
    for text in (repr(settings), str(settings), settings.model_dump_json(), str(settings.model_dump())):
        assert SECRET not in text


@pytest.mark.parametrize(
    "variable", ["LANDPATCH_BUCKET", "LANDPATCH_PREFIX", "LANDPATCH_SOURCE", "LANDPATCH_IMAGE_SOURCE"]
)
def test_a_wrong_value_is_not_repeated_as_it_may_be_a_secret_in_the_wrong_place(monkeypatch, variable):
    monkeypatch.setenv(variable, f"{SECRET}!/../")
    with pytest.raises(ConfigurationError, match=f"^wrong setting: {variable}: ") as refused:
        load_settings()
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize(
    ("given", "source", "key"),
    [
        ({}, "eodata", None),
        ({"EO_S3_ACCESS_KEY_ID": "a"}, "eodata", "a"),
        ({"EO_S3_ACCESS_KEY_ID": "a"}, "odata-zip", None),
        ({"EO_S3_ACCESS_KEY_ID": "a", "LANDPATCH_CDSE_USER": "b"}, "odata-zip", "b"),
        ({"LANDPATCH_CDSE_USER": "b"}, "eodata", None),
        ({"LANDPATCH_SENTINELHUB_CLIENT_ID": "c"}, "sentinelhub", "c"),
        ({"EO_S3_ACCESS_KEY_ID": "a"}, "sentinelhub", None),
    ],
)
def test_the_account_is_that_of_the_image_source_and_any_says_that_the_real_services_are_meant(
    monkeypatch, given, source, key
):
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("LANDPATCH_IMAGE_SOURCE", source)
    settings = load_settings()
    assert settings.has_account == bool(given)
    assert (settings.account.key.get_secret_value() if settings.account.key else None) == key


def test_every_mistake_is_named_in_one_line(monkeypatch):
    monkeypatch.setenv("LANDPATCH_BUCKET", "Not A Bucket")
    monkeypatch.setenv("LANDPATCH_MAX_PRODUCTS", "many")
    monkeypatch.setenv("LANDPATCH_VALID_SHARE", "1.5")
    with pytest.raises(ConfigurationError) as refused:
        load_settings()
    text = str(refused.value)
    assert "\n" not in text
    assert all(name in text for name in ("_BUCKET", "_MAX_PRODUCTS", "_VALID_SHARE"))


@pytest.mark.parametrize("prefix", ["/data", "data/", "../data", "a//b", "a/../b", "a b", "a/./b"])
def test_a_prefix_that_could_lead_elsewhere_is_refused(monkeypatch, prefix):
    monkeypatch.setenv("LANDPATCH_PREFIX", prefix)
    with pytest.raises(ConfigurationError, match="LANDPATCH_PREFIX"):
        load_settings()


def test_settings_do_not_change():
    with pytest.raises(ValueError, match="frozen"):
        Settings(_env_file=None).bucket = "other"


@pytest.mark.parametrize(
    "options",
    [
        "ssl_cert_reqs=none",
        "ssl_cert_reqs=CERT_NONE",
        "ssl_check_hostname=false",
        "db=0&ssl=False",
        "SSL_CERT_REQS=none",
    ],
)
def test_no_option_turns_the_check_of_certificates_off(monkeypatch, options):
    monkeypatch.setenv("LANDPATCH_REDIS_URL", f"rediss://:{SECRET}@redis.example.org/0?{options}")
    with pytest.raises(ConfigurationError, match=r"^wrong setting: LANDPATCH_REDIS_URL: .*always") as refused:
        load_settings()
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize("url", [f"redis://:{SECRET}@[::1/0", f"redis://:{SECRET}\u2100@redis.example.org/0"])
def test_an_address_of_redis_that_is_none_is_refused_and_not_repeated(monkeypatch, url):
    monkeypatch.setenv("LANDPATCH_REDIS_URL", url)
    with pytest.raises(ConfigurationError, match=r"LANDPATCH_REDIS_URL: .*is no address") as refused:
        load_settings()
    assert SECRET not in str(refused.value)


def test_authorities_that_are_no_file_are_refused(monkeypatch, tmp_path):
    monkeypatch.setenv("LANDPATCH_REDIS_CA_FILE", str(tmp_path / "nowhere.pem"))
    with pytest.raises(ConfigurationError, match="LANDPATCH_REDIS_CA_FILE"):
        load_settings()


def test_credentials_in_the_address_of_the_boundaries_are_refused(monkeypatch):
    monkeypatch.setenv("LANDPATCH_NUTS_URL", f"https://user:{SECRET}@example.org/nuts.geojson")
    with pytest.raises(ConfigurationError, match=r"LANDPATCH_NUTS_URL: .*credentials") as refused:
        load_settings()
    assert SECRET not in str(refused.value)
    monkeypatch.setenv("LANDPATCH_NUTS_URL", "tests/data/boundaries.geojson")
    assert load_settings().nuts_url == "tests/data/boundaries.geojson"


@pytest.mark.parametrize("listen", ["127.0.0.1:9464", "0.0.0.0:1", "[::1]:65535"])
def test_metrics_are_told_at_an_address_and_a_port(monkeypatch, listen):
    assert load_settings().metrics_listen is None
    monkeypatch.setenv("LANDPATCH_METRICS_LISTEN", listen)
    assert load_settings().metrics_listen == listen


@pytest.mark.parametrize(
    "listen", ["9464", ":9464", "127.0.0.1", "127.0.0.1:", "127.0.0.1:0", "a:65536", "a:x"]
)
def test_anything_else_than_address_and_port_is_refused(monkeypatch, listen):
    monkeypatch.setenv("LANDPATCH_METRICS_LISTEN", listen)
    with pytest.raises(
        ConfigurationError, match=r"^wrong setting: LANDPATCH_METRICS_LISTEN: .*127\.0\.0\.1:"
    ):
        load_settings()


def test_traces_are_off_unless_they_are_asked_for_and_what_others_set_is_then_left_alone(monkeypatch):
    assert load_settings().traces_exporter == "none"
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317")
    assert load_settings().traces_exporter == "none"
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "otlp")
    with pytest.raises(ConfigurationError, match=r"^wrong setting: OTEL_EXPORTER_OTLP_ENDPOINT: "):
        load_settings()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318/")
    assert load_settings().traces_endpoint == "http://collector:4318"
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "jaeger")
    with pytest.raises(ConfigurationError, match=r"^wrong setting: OTEL_TRACES_EXPORTER: "):
        load_settings()
