"""Real services, each behind a proxy that can do to its answers what a test says."""

import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace

import pytest
from shapely.geometry import box, mapping

from landpatch.messages import SceneRef
from landpatch.patch import Patch
from landpatch.quota import Governor, Quota
from landpatch.settings import Settings
from landpatch.sources.eodata import EOData
from landpatch.sources.http import make_session
from landpatch.sources.odata_zip import ODataZip
from landpatch.sources.sentinelhub import SentinelHub
from landpatch.sources.tokens import Tokens, open_client_tokens, open_password_tokens
from landpatch.storage import S3Store, make_s3_client
from services.sandbox.catalogue import Entry, describe_product, write_entry
from services.sandbox.scenes import load_tiles, plan_scenes
from services.stack.ports import free_port
from tests.contract.conftest import S3Server, redis_client, redis_url, serving_s3
from tests.faults.proxy import Proxy, proxying
from tests.processes import listening
from tests.scenes import CITIES, GROUPS, TILES, position_fields, write_manifest, write_product
from tests.waiting import LONG_S

__all__ = ["redis_client", "redis_url"]

PRODUCT = "S2A_MSIL2A_20230601T105031_N0510_R051_T31UDQ_20230601T165000.SAFE"
FOLDER = f"Sentinel-2/MSI/L2A/2023/06/01/{PRODUCT}"
SCENE = SceneRef(
    id="00000000-0000-0000-0000-000000000001",
    name=PRODUCT,
    s3_path=FOLDER,
    sensed=datetime(2023, 6, 1, 10, 50, 31, tzinfo=UTC),
    baseline=(5, 10),
)
PATCH = Patch(0, *CITIES["Paris"][1:], 0)
QUOTA = Quota(
    connections=4, connection_bytes_per_s=10**9, requests_per_minute=10**6, volume_per_30_days=10**15
)
GENEROUS = {
    "LANDPATCH_EO_CONNECTIONS": "1000",
    "LANDPATCH_EO_CONNECTION_BYTES_PER_S": str(10**9),
    "LANDPATCH_EO_REQUESTS_PER_MINUTE": str(10**6),
    "LANDPATCH_SENTINELHUB_UNITS_PER_MINUTE": str(10**6),
    "LANDPATCH_SENTINELHUB_UNITS_PER_30_DAYS": str(10**9),
}
"""What a server grants that is not asked about its quota."""


@dataclass(frozen=True)
class Faulty:
    """A real server and the proxy in front of it."""

    server: S3Server
    proxy: Proxy


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients try again without a pause."""
    restless = SimpleNamespace(**vars(time) | {"sleep": lambda _: None})
    for module in ("landpatch.sources.account", "botocore.endpoint", "urllib3.util.retry"):
        monkeypatch.setattr(f"{module}.time", restless)


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The bands of a product whose pixels tell where they are, by name."""
    return write_product(TILES["31UDQ"], PATCH, position_fields(PATCH), tmp_path_factory.mktemp("jp2"))


@pytest.fixture(scope="session")
def product_root(tmp_path_factory: pytest.TempPathFactory, data: Path, files: dict[str, bytes]) -> Path:
    """What a sandbox has with that one product."""
    root = tmp_path_factory.mktemp("eo")
    safe = root / "eodata" / FOLDER
    size_of = {"SCL": 20} | {band: size_m for size_m, bands in GROUPS.items() for band in bands}
    for band, content in files.items():
        label = band if len(band) == 3 else f"B0{band[1]}"
        images = safe / f"GRANULE/L2A_T31UDQ_A041234_20230601T105030/IMG_DATA/R{size_of[band]}m"
        images.mkdir(parents=True, exist_ok=True)
        (images / f"T31UDQ_20230601T105031_{label}_{size_of[band]}m.jp2").write_bytes(content)
    genuine = data / "sentinel2/S2A_MSIL2A_20230625T234621_N0509_R073_T01WCP_20230626T022157.SAFE"
    (safe / "MTD_MSIL2A.xml").write_bytes((genuine / "MTD_MSIL2A.xml").read_bytes())
    written = {path.relative_to(safe).as_posix(): path.read_bytes() for path in safe.rglob("*.*")}
    (safe / "manifest.safe").write_bytes(write_manifest(written))
    entry = {
        "Id": SCENE.id, "Name": PRODUCT, "S3Path": f"/eodata/{FOLDER}", "Online": True,
        "ContentDate": {"Start": "2023-06-01T10:50:31.024Z"},
        "Attributes": [{"Name": "cloudCover", "Value": 3.5}],
        "GeoFootprint": mapping(box(1.6, 48.6, 3.2, 49.7)),
    }  # fmt: skip
    write_entry(root, Entry(entry, frozenset()))
    return root


@pytest.fixture(scope="session")
def eo(product_root: Path) -> Iterator[Faulty]:
    """The EO data store with one product."""
    with serving_s3(product_root) as server, proxying(server.endpoint) as proxy:
        yield Faulty(server, proxy)


ACCOUNT = {
    "LANDPATCH_CDSE_USER": "me@example.org",
    "LANDPATCH_CDSE_PASSWORD": "s3cr3t-of-the-user",
    "LANDPATCH_SENTINELHUB_CLIENT_ID": "sh-00000000",
    "LANDPATCH_SENTINELHUB_CLIENT_SECRET": "s3cr3t-of-the-client",
}
"""Of the download, and of Sentinel Hub."""
TOKEN_PATH = "/auth/realms/CDSE/protocol/openid-connect/token"


@pytest.fixture(scope="session")
def downloads(product_root: Path) -> Iterator[dict[str, Proxy]]:
    """The download of that product, and Sentinel Hub, behind proxies: where parts of it are given, and where
    not."""
    with ExitStack() as running_servers:
        proxies = {}
        for parts in ("ignored", "given"):
            port = free_port()
            serve = [sys.executable, "-m", "services.sandbox", "serve", "--port", str(port)]
            serve += ["--root", str(product_root), "--parts", parts]
            running_servers.enter_context(listening(serve, port, **ACCOUNT, **GENEROUS))
            proxies[parts] = running_servers.enter_context(proxying(f"http://127.0.0.1:{port}"))
        yield proxies


@pytest.fixture
def open_download(downloads: dict[str, Proxy], redis_client):
    """Makes clients of a download, through a proxy or of another endpoint; and their tokens."""

    def make(parts: str, endpoint: str | None = None, request_s: float = LONG_S) -> tuple[ODataZip, Tokens]:
        base = endpoint or downloads[parts].url
        settings = Settings(_env_file=None, LANDPATCH_CDSE_TOKEN_URL=base + TOKEN_PATH, **ACCOUNT)
        tokens = open_password_tokens(settings, make_session(1, request_s, posts=True))
        return ODataZip(f"{base}/odata/v1/Products", tokens, _governor(redis_client), request_s), tokens

    return make


@pytest.fixture
def open_hub(downloads: dict[str, Proxy], redis_client):
    """Makes clients of Sentinel Hub, through a proxy or of another endpoint."""

    def make(
        endpoint: str | None = None, request_s: float = LONG_S, governor: Governor | None = None
    ) -> SentinelHub:
        base = endpoint or downloads["ignored"].url
        settings = Settings(_env_file=None, LANDPATCH_CDSE_TOKEN_URL=base + TOKEN_PATH, **ACCOUNT)
        tokens = open_client_tokens(settings, make_session(1, request_s, posts=True))
        return SentinelHub(base, tokens, governor or _governor(redis_client), request_s)

    return make


def _governor(redis_client) -> Governor:
    """Nobody waits because the account has been asked to."""
    hold = "landpatch:quota:{account}:hold"
    return Governor(redis_client, "account", QUOTA, sleep=lambda _: redis_client.delete(hold))


@lru_cache
def _client(server: S3Server, endpoint: str, retries: int, request_s: float):
    return make_s3_client(endpoint, server.key, server.secret, retries=retries, request_s=request_s)


@pytest.fixture
def open_eodata(eo: Faulty, redis_client):
    """Makes clients of the EO data store, through the proxy or of another endpoint."""

    def make(endpoint: str = eo.proxy.url, request_s: float = LONG_S) -> EOData:
        return EOData(_client(eo.server, endpoint, 0, request_s), endpoint, _governor(redis_client))

    return make


@pytest.fixture(scope="session")
def destination(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Faulty]:
    """The destination store."""
    with serving_s3(tmp_path_factory.mktemp("store")) as server, proxying(server.endpoint) as proxy:
        yield Faulty(server, proxy)


@pytest.fixture
def open_store(destination: Faulty):
    """Makes clients of the destination, through the proxy or of another endpoint."""

    def make(endpoint: str = destination.proxy.url, request_s: float = LONG_S) -> S3Store:
        server = destination.server
        return S3Store(_client(server, endpoint, 1, request_s), server.bucket, endpoint)

    return make


@pytest.fixture(scope="session")
def public(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """Catalogue with two products, ImageServer and boundaries, behind the proxy."""
    root, port = tmp_path_factory.mktemp("public"), free_port()
    tile = next(tile for tile in load_tiles() if tile.id == "31UDQ")
    for scene in [scene for scene in plan_scenes(tile, 2021) if scene.online][:2]:
        write_entry(root, Entry(describe_product(scene, 10.0, 10**9, b"manifest"), frozenset()))
    serve = [sys.executable, "-m", "services.sandbox", "serve", "--port", str(port), "--root", str(root)]
    with listening(serve, port), proxying(f"http://127.0.0.1:{port}") as proxy:
        yield proxy
