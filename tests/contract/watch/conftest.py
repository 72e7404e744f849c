"""The live page on a real Redis and a real store, open and behind a token."""

import numpy as np
import pytest

from landpatch.codec import encode_image, encode_label
from landpatch.layout import RegionLayout
from landpatch.ledger import Ledger
from landpatch.patch import parse_patch
from landpatch.settings import Settings
from landpatch.storage import open_store
from tests.contract.conftest import S3Server
from tests.contract.watch.served import STORED, TOKEN, serving
from tests.contract.watched import begin


@pytest.fixture(scope="module")
def environment(redis_url, s3: S3Server, data) -> dict[str, str]:
    """Every setting spelled out."""
    return {
        "LANDPATCH_REDIS_URL": redis_url,
        "LANDPATCH_NUTS_URL": str(data / "boundaries.geojson"),
        "AWS_S3_ENDPOINT": s3.endpoint,
        "AWS_ACCESS_KEY_ID": s3.key.get_secret_value(),
        "AWS_SECRET_ACCESS_KEY": s3.secret.get_secret_value(),
        "LANDPATCH_BUCKET": s3.bucket,
        "LANDPATCH_PREFIX": "serve",
        "EO_S3_ACCESS_KEY_ID": "an-account",
        "LANDPATCH_LOG": "json",
    }


@pytest.fixture(scope="module")
def page(environment):
    with serving(environment) as served:
        yield served


@pytest.fixture
def ledger(redis_client):
    """Of a Redis that is empty at the start of the test."""
    return Ledger(redis_client)


@pytest.fixture(scope="module")
def guarded(environment):
    with serving(environment | {"LANDPATCH_SERVE_TOKEN": TOKEN}, "--host", "0.0.0.0") as served:
        yield served


@pytest.fixture
def paris(ledger, environment):
    """FR101 under way, in tasks of ten patches."""
    return begin(ledger, environment["LANDPATCH_NUTS_URL"], "FR101", 10)


@pytest.fixture
def stored(environment):
    """A patch whose left half is water, and whose right half was not observed."""
    name = STORED
    bands = np.zeros((14, 250, 250))
    bands[:12, :, :125] = 0.1
    bands[12, :, :125] = 1
    label = np.zeros((250, 250), "uint8")
    label[:, :125] = 10
    tags = {
        "PRODUCTS": "S2A_X", "SENSING_DATES": "2021-06-01T10:50:31+00:00", "VALID_FRACTION": "0.5",
        "CLEAR_FRACTION": "0.5", "SOURCE": "<script>",
    }  # fmt: skip
    settings = Settings(_env_file=None, **environment)
    store, layout = open_store(settings), RegionLayout("serve", "FR101", 2021)
    store.put(layout.image(name), encode_image(bands, parse_patch(name), tags))
    store.put(layout.label(name), encode_label(label))
    yield name
    store.delete(layout.image(name))
    store.delete(layout.label(name))
