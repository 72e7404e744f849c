"""The functions of the product that ask others, and what each gives when nothing is wrong."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

from shapely.geometry import box

from landpatch.sources.clcplus import fetch_codes, read_limits, to_classes
from landpatch.sources.gisco import fetch_boundaries, pick_region
from landpatch.sources.http import make_session
from landpatch.sources.odata import find_scenes
from landpatch.sources.product_files import LoadedFiles
from landpatch.sources.stac import SentinelHubCatalogue
from tests.faults.conftest import FOLDER, PATCH, PRODUCT, SCENE

BAND = f"{FOLDER}/GRANULE/L2A_T31UDQ_A041234_20230601T105030/IMG_DATA/R60m/T31UDQ_20230601T105031_B09_60m.jp2"
LABELS = "/arcgis/rest/services/CLC_plus/CLMS_CLCplus_RASTER_{year}_010m_eu/ImageServer/exportImage"
OBJECT = bytes(range(256)) * 300


@dataclass(frozen=True)
class Client:
    """A function of the product that asks a service; what it gives when nothing is wrong."""

    ask: Callable[..., object]
    """From the fixtures, an endpoint (None: the proxy) and the seconds of a request."""
    pattern: str
    """Of the requests that the fault is for."""


def find_products(world, endpoint, request_s):
    url = f"{endpoint or world.public.url}/odata/v1/Products"
    session, days = make_session(1, request_s), (date(2021, 1, 1), date(2021, 12, 31))
    return len(find_scenes(url, session, box(2.2, 48.8, 2.4, 48.9), *days, 100).scenes)


def find_boundary(world, endpoint, request_s):
    url = f"{endpoint or world.public.url}/gisco/NUTS_RG_01M_2021_3035_LEVL_3.geojson"
    return pick_region(fetch_boundaries(url, make_session(1, request_s)), "FR101").name


def get_labels(world, endpoint, request_s):
    url = f"{endpoint or world.public.url}{LABELS}"
    return to_classes(fetch_codes(url, make_session(1, request_s), 2021, PATCH.bounds), "window").shape


def get_limits(world, endpoint, request_s):
    return read_limits(f"{endpoint or world.public.url}{LABELS}", make_session(1, request_s), 2021).height


def list_product(world, endpoint, request_s):
    eodata = world.open_eodata(*[endpoint] if endpoint else [], request_s=request_s)
    return len(eodata.find_files(FOLDER, PRODUCT).bands)


def read_band(world, endpoint, request_s):
    eodata = world.open_eodata(*[endpoint] if endpoint else [], request_s=request_s)
    return eodata.read_range(BAND, 10, 2000) == world.files["B9"][10:2010]


def get_token(world, endpoint, request_s):
    return bool(world.open_download("ignored", endpoint, request_s)[1].get())


def load_product(world, endpoint, request_s):
    source, _ = world.open_download("ignored", endpoint, request_s)
    return source.open_product(SCENE, 2**31).bands == world.files


def read_part(world, endpoint, request_s):
    source, _ = world.open_download("given", endpoint, request_s)
    remote = source.open_product(SCENE, 2**31)
    if isinstance(remote, LoadedFiles):  # as services say that give no parts; then the whole is asked for
        return remote.bands == world.files
    return remote.read(remote.files.bands["B9"], 10, 2000) == world.files["B9"][10:2010]


def search_hub(world, endpoint, request_s):
    catalogue = SentinelHubCatalogue(world.open_hub(endpoint, request_s))
    days = (date(2023, 1, 1), date(2023, 12, 31))
    return len(catalogue.find(box(2.2, 48.8, 2.4, 48.9), *days, 100).scenes)


def render_patch(world, endpoint, request_s):
    return world.open_hub(endpoint, request_s).render(SCENE, PATCH.bounds).numbers.all()


def put_object(world, endpoint, request_s):
    world.open_store(*[endpoint] if endpoint else [], request_s=request_s).put("put/a", OBJECT)
    return world.open_store().get("put/a") == OBJECT


def get_object(world, endpoint, request_s):
    world.open_store(world.destination.server.endpoint).put("got/a", OBJECT)
    return world.open_store(*[endpoint] if endpoint else [], request_s=request_s).get("got/a") == OBJECT


def list_objects(world, endpoint, request_s):
    world.open_store(world.destination.server.endpoint).put("listed/a", OBJECT)
    store = world.open_store(*[endpoint] if endpoint else [], request_s=request_s)
    return [entry.size for entry in store.find("listed/")]


CLIENTS = {
    "catalogue": Client(find_products, "GET /odata/"),
    "boundaries": Client(find_boundary, "GET /gisco/"),
    "labels": Client(get_labels, "GET .*exportImage"),
    "label limits": Client(get_limits, r"GET .*f=json"),
    "EO listing": Client(list_product, "GET /eodata.*list-type"),
    "EO band": Client(read_band, "GET /eodata/.*B09"),
    "token": Client(get_token, "POST /auth/"),
    "ZIP": Client(load_product, r"GET /odata/v1/Products\("),
    "ZIP part": Client(read_part, r"GET /odata/v1/Products\("),
    "hub search": Client(search_hub, "POST .*search"),
    "hub render": Client(render_patch, "POST .*process"),
    "put": Client(put_object, "PUT /bucket/put/a"),
    "get": Client(get_object, "GET /bucket/got/a"),
    "list": Client(list_objects, r"GET /bucket\?.*listed"),
}
RIGHT = {
    "catalogue": 2, "boundaries": "Paris", "labels": (250, 250), "label limits": 4100, "EO listing": 13,
    "EO band": True, "token": True, "ZIP": True, "ZIP part": True, "hub search": 1, "hub render": True,
    "put": True, "get": True, "list": [len(OBJECT)],
}  # fmt: skip
SERVICES = ("catalogue", "boundaries", "labels", "label limits")
EO = ("EO listing", "EO band")
ZIP = ("token", "ZIP", "ZIP part")
HUB = ("hub search", "hub render")
STORE = ("put", "get", "list")
