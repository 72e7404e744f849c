"""The sandbox over its real protocols: HTTP, and S3 by `rclone serve`."""

import hashlib
import http.client
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import boto3
import numpy as np
import pytest
import requests
from botocore.config import Config
from defusedxml.ElementTree import fromstring
from rasterio.io import MemoryFile

from services.sandbox.landscape import class_window
from services.sandbox.products import is_made, make_product
from services.sandbox.scenes import load_tiles, plan_scenes
from services.stack.ports import free_ports
from tests.processes import listening
from tests.waiting import LONG_S

pytestmark = pytest.mark.stack

TILE = next(tile for tile in load_tiles() if tile.id == "31UDQ")
SCENES = plan_scenes(TILE, 2021)
ONLINE = next(scene for scene in SCENES if scene.online and scene.offset)
OFFLINE = next(scene for scene in SCENES if not scene.online)
BLOCK = (20, 12)
SERVICE = "arcgis/rest/services/CLC_plus/CLMS_CLCplus_RASTER_{}_010m_eu/ImageServer"


@dataclass(frozen=True)
class Sandbox:
    root: Path
    url: str
    s3_url: str


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    root = tmp_path_factory.mktemp("sandbox")
    make_product(ONLINE, frozenset({BLOCK}), root)
    make_product(OFFLINE, frozenset({BLOCK}), root)
    port, s3_port = free_ports(2)
    serve = [sys.executable, "-m", "services.sandbox", "serve", "--port", str(port), "--root", str(root)]
    rclone = str(Path(sys.executable).with_name("rclone"))
    store = [rclone, "serve", "s3", "--addr", f"127.0.0.1:{s3_port}", "--auth-key", "key,secret", str(root)]
    with listening(serve, port), listening(store, s3_port):
        yield Sandbox(root, f"http://127.0.0.1:{port}", f"http://127.0.0.1:{s3_port}")


@pytest.fixture
def bucket(sandbox):
    config = Config(s3={"addressing_style": "path"}, retries={"max_attempts": 2})
    return boto3.client(
        "s3",
        endpoint_url=sandbox.s3_url,
        aws_access_key_id="key",
        aws_secret_access_key="secret",
        region_name="us-east-1",
        config=config,
    )


def _files(client, folder):
    pages = client.get_paginator("list_objects_v2").paginate(Bucket="eodata", Prefix=folder + "/")
    return {entry["Key"]: entry["Size"] for page in pages for entry in page.get("Contents", [])}


def test_a_product_in_the_catalogue_can_be_read_from_the_store(sandbox, bucket):
    query = {"$filter": f"Name eq '{ONLINE.name}'", "$expand": "Attributes"}
    [product] = requests.get(f"{sandbox.url}/odata/v1/Products", query, timeout=LONG_S).json()["value"]
    folder = product["S3Path"].removeprefix("/eodata/")
    files = _files(bucket, folder)
    assert sum(files.values()) == product["ContentLength"]
    names = {key.removeprefix(folder + "/") for key in files}
    assert {"MTD_MSIL2A.xml", "manifest.safe"} <= names
    metadata = fromstring(bucket.get_object(Bucket="eodata", Key=f"{folder}/MTD_MSIL2A.xml")["Body"].read())
    assert metadata.findtext(".//PRODUCT_URI") == product["Name"]
    assert {e.get("band_id"): e.text for e in metadata.iter("BOA_ADD_OFFSET")} == {
        str(band): "-1000" for band in range(13)
    }
    images = {element.text + ".jp2" for element in metadata.iter("IMAGE_FILE")}
    assert images == {name for name in names if name.endswith(".jp2")}
    key = next(key for key in files if key.endswith("_B8A_20m.jp2"))
    data = bucket.get_object(Bucket="eodata", Key=key)["Body"].read()
    manifest = bucket.get_object(Bucket="eodata", Key=f"{folder}/manifest.safe")["Body"].read().decode()
    assert hashlib.sha3_256(data).hexdigest() in manifest
    with MemoryFile(data, filename="band.jp2") as memory, memory.open() as band:
        assert band.shape == (5490, 5490)
        assert band.crs.to_epsg() == TILE.epsg
        pixels = band.read(1, window=((2400, 2520), (1440, 1560)))
        assert (pixels > 0).all()
        assert not band.read(1, window=((2280, 2400), (1440, 1560))).any()


def test_a_product_that_is_offline_is_listed_without_files(sandbox, bucket):
    query = {"$filter": "Online eq false"}
    [product] = requests.get(f"{sandbox.url}/odata/v1/Products", query, timeout=LONG_S).json()["value"]
    assert product["Name"] == OFFLINE.name
    assert not _files(bucket, product["S3Path"].removeprefix("/eodata/"))


def test_a_product_grows_and_keeps_what_it_had(sandbox):
    folder = sandbox.root / "eodata" / ONLINE.folder
    [path] = folder.glob("GRANULE/*/IMG_DATA/R60m/*_B09_60m.jp2")
    before = _read(path)
    more = frozenset({(21, 12)})
    assert is_made(ONLINE, frozenset({BLOCK}), sandbox.root)
    assert not is_made(ONLINE, more, sandbox.root)
    make_product(ONLINE, more, sandbox.root)
    after = _read(path)
    assert is_made(ONLINE, more | {BLOCK}, sandbox.root)
    np.testing.assert_array_equal(after[before > 0], before[before > 0])
    assert np.count_nonzero(after) == 2 * np.count_nonzero(before) == 2 * 40 * 40


def _read(path):
    with MemoryFile(path.read_bytes(), filename="band.jp2") as memory, memory.open() as band:
        return band.read(1)


def test_the_image_server_sends_the_land_cover(sandbox):
    form = {
        "f": "image", "bbox": "3755000,2885000,3757500,2887500", "bboxSR": "3035", "imageSR": "3035",
        "size": "250,250", "format": "tiff", "pixelType": "U8", "interpolation": "RSP_NearestNeighbor",
    }  # fmt: skip
    url = f"{sandbox.url}/{SERVICE.format(2021)}/exportImage"
    answers = [requests.get(url, form, timeout=LONG_S), requests.post(url, form, timeout=LONG_S)]
    for reply in answers:
        with MemoryFile(reply.content) as memory, memory.open() as raster:
            assert raster.bounds == (3755000, 2885000, 3757500, 2887500)
            np.testing.assert_array_equal(raster.read(1), class_window(3755000, 2885000, 250, 250))
    mixed = requests.get(url, form | {"interpolation": "", "size": "200,200"}, timeout=LONG_S)
    with MemoryFile(mixed.content) as memory, memory.open() as raster:
        assert raster.shape == (200, 200)


def test_the_image_server_fails_as_the_real_one_does(sandbox):
    url = f"{sandbox.url}/{SERVICE.format(2021)}"
    assert requests.get(url, {"f": "json"}, timeout=LONG_S).json()["maxImageHeight"] == 4100
    reply = requests.get(f"{url}/exportImage", {"bbox": "0,0,10,10", "size": "16000,10"}, timeout=LONG_S)
    assert (reply.status_code, reply.headers["Content-Type"]) == (200, "image/tiff")
    assert len(reply.content) == 156
    assert reply.json()["error"]["details"] == ["The requested image exceeds the size limit."]
    unknown = requests.get(f"{sandbox.url}/{SERVICE.format(2019)}", {"f": "json"}, timeout=LONG_S)
    assert unknown.json()["error"]["code"] == 404


def test_boundaries_and_addresses_are_served(sandbox):
    name = "gisco/NUTS_RG_01M_2021_3035_LEVL_3.geojson"
    features = requests.get(f"{sandbox.url}/{name}", timeout=LONG_S).json()["features"]
    assert len(features) == 1514
    query = {"q": "5, rue Alphonse Weicker Luxembourg", "format": "json", "limit": "1"}
    [place] = requests.get(f"{sandbox.url}/nominatim/search", query, timeout=LONG_S).json()
    assert (place["lat"], place["lon"]) == ("49.6335945", "6.1695145")
    assert requests.get(f"{sandbox.url}/nominatim/search", {"q": "Atlantis"}, timeout=LONG_S).json() == []
    connection = http.client.HTTPConnection(sandbox.url.removeprefix("http://"), timeout=LONG_S)
    connection.request("GET", "/nominatim/search?q=Paris")
    assert connection.getresponse().status == 403


def test_a_region_that_does_not_exist_is_not_prepared(sandbox):
    url = f"{sandbox.url}/sandbox/prepare"
    assert requests.post(url, params={"nuts": "XX999", "year": "2021"}, timeout=LONG_S).status_code == 422
    state = requests.get(url, params={"nuts": "FR101", "year": "2021"}, timeout=LONG_S).json()
    assert state == {"state": "absent", "done": 0, "total": 0, "message": ""}
