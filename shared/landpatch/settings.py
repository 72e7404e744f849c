"""The settings: environment variables, or the same names in `.env`."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import parse_qsl, urlsplit

from pydantic import (
    Field,
    FilePath,
    HttpUrl,
    SecretStr,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from landpatch.errors import ConfigurationError


def _available_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _find_cache() -> Path:
    """Source: XDG Base Directory Specification."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if Path(base).is_absolute() else Path("~/.cache").expanduser()) / "landpatch"


_HTTP_URL = TypeAdapter(HttpUrl)
ImageSource = Literal["eodata", "odata-zip", "sentinelhub"]
"""The EO data store; whole products as ZIP; rendered by Sentinel Hub."""
_CLCPLUS, _RASTER = "clcplus", "raster:"


@dataclass(frozen=True, slots=True)
class AccountName:
    """Names an account of a service."""

    endpoint: str
    key: SecretStr | None
    """Its access key or user; None when it is not set."""
    variable: str
    """Which setting that is."""


class Settings(BaseSettings):
    """Everything that can be set from outside. Secrets are never printed: they are `SecretStr`."""

    model_config = SettingsConfigDict(
        env_file=".env", env_ignore_empty=True, extra="ignore", populate_by_name=True, frozen=True
    )

    store_endpoint: str | None = Field(None, alias="AWS_S3_ENDPOINT")
    """Destination store; https where no scheme is given."""
    store_access_key: SecretStr | None = Field(None, alias="AWS_ACCESS_KEY_ID")
    store_secret_key: SecretStr | None = Field(None, alias="AWS_SECRET_ACCESS_KEY")
    store_session_token: SecretStr | None = Field(None, alias="AWS_SESSION_TOKEN")
    store_region: str = Field("us-east-1", alias="AWS_DEFAULT_REGION")
    store_url: str | None = Field(None, alias="LANDPATCH_STORE_URL")
    """Where readers find the store over plain HTTP; the store's endpoint when it is the same."""
    bucket: str = Field("landpatch", alias="LANDPATCH_BUCKET", pattern=r"^[a-z0-9][a-z0-9.-]{1,62}$")
    prefix: str = Field("data", alias="LANDPATCH_PREFIX", pattern=r"^[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*$")

    eo_endpoint: str = Field("https://eodata.dataspace.copernicus.eu", alias="LANDPATCH_EO_S3_ENDPOINT")
    eo_access_key: SecretStr | None = Field(None, alias="EO_S3_ACCESS_KEY_ID")
    eo_secret_key: SecretStr | None = Field(None, alias="EO_S3_SECRET_ACCESS_KEY")
    # The quota of the account, as the Copernicus Data Space Ecosystem grants it.
    eo_connections: int = Field(4, alias="LANDPATCH_EO_CONNECTIONS", ge=1, le=1000)
    eo_connection_bytes_per_s: int = Field(20_000_000, alias="LANDPATCH_EO_CONNECTION_BYTES_PER_S", ge=1000)
    eo_requests_per_minute: int = Field(2000, alias="LANDPATCH_EO_REQUESTS_PER_MINUTE", ge=1)
    eo_bytes_per_30_days: int = Field(12 * 10**12, alias="LANDPATCH_EO_BYTES_PER_30_DAYS", ge=1)
    source: Literal["cdse", "sandbox"] = Field("cdse", alias="LANDPATCH_SOURCE")
    """Where the pixels come from; set by the embedded stack, written into every file."""
    image_source: ImageSource = Field("eodata", alias="LANDPATCH_IMAGE_SOURCE")
    """By which service they come."""
    cdse_token_url: str = Field(
        "https://identity.dataspace.copernicus.eu/auth/realms/CDSE/protocol/openid-connect/token",
        alias="LANDPATCH_CDSE_TOKEN_URL",
    )
    cdse_user: SecretStr | None = Field(None, alias="LANDPATCH_CDSE_USER")
    cdse_password: SecretStr | None = Field(None, alias="LANDPATCH_CDSE_PASSWORD")
    odata_download_url: str = Field(
        "https://zipper.dataspace.copernicus.eu/odata/v1/Products", alias="LANDPATCH_ODATA_DOWNLOAD_URL"
    )
    sentinelhub_url: str = Field("https://sh.dataspace.copernicus.eu", alias="LANDPATCH_SENTINELHUB_URL")
    sentinelhub_client_id: SecretStr | None = Field(None, alias="LANDPATCH_SENTINELHUB_CLIENT_ID")
    sentinelhub_client_secret: SecretStr | None = Field(None, alias="LANDPATCH_SENTINELHUB_CLIENT_SECRET")
    # What a general user has there; a request counts for its processing units, and at least for one.
    sentinelhub_units_per_minute: int = Field(300, alias="LANDPATCH_SENTINELHUB_UNITS_PER_MINUTE", ge=1)
    sentinelhub_units_per_30_days: int = Field(10_000, alias="LANDPATCH_SENTINELHUB_UNITS_PER_30_DAYS", ge=1)

    odata_url: str = Field(
        "https://catalogue.dataspace.copernicus.eu/odata/v1/Products", alias="LANDPATCH_ODATA_URL"
    )
    clcplus_url: str = Field(
        "https://copernicus.discomap.eea.europa.eu/arcgis/rest/services/CLC_plus/"
        "CLMS_CLCplus_RASTER_{year}_010m_eu/ImageServer/exportImage",
        alias="LANDPATCH_CLCPLUS_URL",
    )
    label_source: str = Field("clcplus", alias="LANDPATCH_LABEL_SOURCE", max_length=20_000)
    """`clcplus`, or `raster:` and paths or addresses of GeoTIFFs, blanks between, the first choice first."""
    label_classes: str | None = Field(None, alias="LANDPATCH_LABEL_CLASSES")
    """Path of the class table of these rasters, or the table itself in braces."""
    label_resampling: Literal["nearest", "majority"] = Field("nearest", alias="LANDPATCH_LABEL_RESAMPLING")
    nuts_url: str = Field(
        "https://gisco-services.ec.europa.eu/distribution/v2/nuts/geojson/"
        "NUTS_RG_01M_2021_3035_LEVL_3.geojson",
        alias="LANDPATCH_NUTS_URL",
    )
    nominatim_url: str = Field("https://nominatim.openstreetmap.org/search", alias="LANDPATCH_NOMINATIM_URL")
    training_set_url: str = Field(
        "https://minio.lab.sspcloud.fr/projet-funathon/2026/project3/data", alias="LANDPATCH_TRAINING_SET_URL"
    )
    """The public training set: `images/` and `labels/` below it, read over HTTPS."""
    cache_dir: Path = Field(default_factory=_find_cache, alias="LANDPATCH_CACHE_DIR")
    """Where answers of the geocoder are kept."""
    serve_token: SecretStr | None = Field(None, alias="LANDPATCH_SERVE_TOKEN")
    """Who looks at `landpatch serve` from elsewhere has to know it."""
    redis_url: SecretStr | None = Field(None, alias="LANDPATCH_REDIS_URL")
    """`redis://`, or `rediss://` for TLS."""
    redis_ca_file: FilePath | None = Field(None, alias="LANDPATCH_REDIS_CA_FILE")
    """Who may have signed the certificate of a `rediss://` server; the system's authorities by default."""

    valid_share: float = Field(0.995, alias="LANDPATCH_VALID_SHARE", gt=0, le=1)
    """Share of valid pixels from which on a patch counts as complete."""
    clear_share: float = Field(0.95, alias="LANDPATCH_CLEAR_SHARE", gt=0, le=1)
    """Share of clear pixels from which on a patch counts as complete."""
    max_products: int = Field(6, alias="LANDPATCH_MAX_PRODUCTS", ge=1, le=100)
    """How many products a patch may use."""
    memory_bytes: int = Field(1_610_612_736, alias="LANDPATCH_MEMORY_BYTES", ge=1_073_741_824)
    """What an image worker's process may use; a genuine product on two threads takes more than 800 MB."""
    threads: int = Field(default_factory=_available_cores, alias="LANDPATCH_THREADS", ge=1, le=256)
    """On how many cores an image worker decodes and cuts; by default on all it may use."""
    lease_s: float = Field(90, alias="LANDPATCH_LEASE_S", ge=1, le=3600)
    """How long a worker may be silent before its task is given to another."""
    retry_s: float = Field(10, alias="LANDPATCH_RETRY_S", ge=0.1, le=600)
    """How long a task waits after its first failure; three times as long after each other."""
    reconcile_s: float = Field(5, alias="LANDPATCH_RECONCILE_S", ge=0.1, le=600)
    """How often the reconciler looks for tasks that nobody cares for."""

    heartbeat_file: Path | None = Field(None, alias="LANDPATCH_HEARTBEAT_FILE")
    """Where a worker notes that it takes messages, for `services.health`."""
    metrics_listen: str | None = Field(None, alias="LANDPATCH_METRICS_LISTEN")
    """Where a worker tells Prometheus what it has counted: address and port; nowhere by default."""
    traces_exporter: Literal["none", "otlp"] = Field("none", alias="OTEL_TRACES_EXPORTER")
    """Whether spans are sent, by OTLP over HTTP."""
    traces_endpoint: str = Field("http://localhost:4318", alias="OTEL_EXPORTER_OTLP_ENDPOINT")
    """To whom; `/v1/traces` is put behind it."""

    def is_complete(self, valid_fraction: float, clear_fraction: float) -> bool:
        """Whether a patch with these shares of valid and of clear pixels counts as complete."""
        return valid_fraction >= self.valid_share and clear_fraction >= self.clear_share

    @property
    def account(self) -> AccountName:
        """The account of the image source."""
        return self._accounts[self.image_source]

    @property
    def _accounts(self) -> dict[ImageSource, AccountName]:
        return {
            "eodata": AccountName(self.eo_endpoint, self.eo_access_key, "EO_S3_ACCESS_KEY_ID"),
            "odata-zip": AccountName(self.odata_download_url, self.cdse_user, "LANDPATCH_CDSE_USER"),
            "sentinelhub": AccountName(
                self.sentinelhub_url, self.sentinelhub_client_id, "LANDPATCH_SENTINELHUB_CLIENT_ID"
            ),
        }

    @property
    def pixels(self) -> Literal["products", "sentinelhub"]:
        """How pixels are made: by our own warp out of products, or by Sentinel Hub."""
        return "sentinelhub" if self.image_source == "sentinelhub" else "products"

    @property
    def has_account(self) -> bool:
        """Whether credentials of any image source are set; where none are, the sources are the sandbox."""
        return any(account.key is not None for account in self._accounts.values())

    @field_validator("store_endpoint", "store_url", "eo_endpoint")
    @classmethod
    def _give_scheme(cls, endpoint: str | None) -> str | None:
        if endpoint is None:
            return None
        url = endpoint if "://" in endpoint else f"https://{endpoint}"
        return _checked_url(url)

    @field_validator("metrics_listen")
    @classmethod
    def _check_listen(cls, listen: str | None) -> str | None:
        host, _, port = (listen or "").rpartition(":")
        if listen is not None and not (host and port.isdecimal() and 0 < int(port) < 65_536):
            raise ValueError("is address and port, such as 127.0.0.1:9464")
        return listen

    @field_validator("traces_endpoint")
    @classmethod
    def _check_where_used(cls, url: str, info: ValidationInfo) -> str:
        # Others use this variable as well.
        return _checked_url(url) if info.data.get("traces_exporter") == "otlp" else url

    @field_validator(
        "odata_url",
        "cdse_token_url",
        "odata_download_url",
        "sentinelhub_url",
        "nominatim_url",
        "training_set_url",
    )
    @classmethod
    def _check_url(cls, url: str) -> str:
        return _checked_url(url)

    @field_validator("nuts_url")
    @classmethod
    def _check_url_or_path(cls, url: str) -> str:
        return _checked_url(url) if url.startswith(("http://", "https://")) else url

    @property
    def label_rasters(self) -> tuple[str, ...]:
        """Paths or addresses of the rasters that labels are from; empty for CLC+ Backbone."""
        return tuple(self.label_source.removeprefix(_RASTER).split()) if self.label_source != _CLCPLUS else ()

    @field_validator("label_source")
    @classmethod
    def _check_rasters(cls, source: str) -> str:
        if source == _CLCPLUS:
            return source
        files = source.removeprefix(_RASTER).split()
        if not source.startswith(_RASTER) or not files:
            raise ValueError("is `clcplus`, or `raster:` with a path or an address of a GeoTIFF")
        # A worker runs in another folder than the command line.
        return _RASTER + " ".join(_checked_file(file) for file in files)

    @field_validator("label_classes")
    @classmethod
    def _find_table(cls, table: str | None) -> str | None:
        if table is None or table.lstrip().startswith("{"):
            return table
        return str(Path(table).resolve())

    @field_validator("redis_url")
    @classmethod
    def _always_verify(cls, url: SecretStr | None) -> SecretStr | None:
        try:
            options = parse_qsl(urlsplit(url.get_secret_value()).query) if url else []
        except ValueError:
            # What it says may repeat the password.
            raise ValueError("is no address") from None
        if any(name.lower().startswith("ssl") for name, _ in options):
            raise ValueError(
                "must not hold ssl options: certificates are always checked, by the authorities in"
                " LANDPATCH_REDIS_CA_FILE or those of the system"
            )
        return url

    @field_validator("clcplus_url")
    @classmethod
    def _check_year_in_url(cls, url: str) -> str:
        if "{year}" not in url:
            raise ValueError("has no {year} in it")
        _checked_url(url.replace("{year}", "2021"))
        return url


def _checked_file(name: str) -> str:
    """A path, made absolute, or an address."""
    if "://" not in name:
        return str(Path(name).resolve())
    if not name.startswith(("http://", "https://")):
        raise ValueError("may name files by path, or over http:// or https://")
    _checked_url(name.replace("{year}", "2021"))
    return name


def _checked_url(url: str) -> str:
    parsed = _HTTP_URL.validate_python(url)
    if parsed.username or parsed.password:
        raise ValueError("must not hold credentials; use the variables meant for them")
    return url.rstrip("/")


def load_settings(env_file: Path | str | None = ".env") -> Settings:
    """Read the settings from the environment and `.env`.

    Raises ConfigurationError with one line that names each wrong variable, never its value.
    """
    try:
        return Settings(_env_file=env_file)  # type: ignore[call-arg]
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}" for fault in error.errors()
        )
        raise ConfigurationError(f"wrong setting: {faults}") from None
