"""A training set is the same wherever it lies: a folder, an S3 bucket, a web server; also after a fork."""

import multiprocessing
import os
import pickle
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest

import landpatch
from landpatch.errors import (
    AbsentError,
    ConfigurationError,
    RequestError,
    TransientError,
)
from landpatch.storage import make_s3_client
from tests.contract.conftest import S3Server
from tests.http_server import Request, Server, serving
from tests.torch_needed import need_torch
from tests.training_sets import LUXEMBOURG, PARIS, write_own, write_public

PLACES = ("folder", "s3", "http")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both kinds of training set in one folder."""
    folder = tmp_path_factory.mktemp("sets")
    write_own(folder, "FR101", 2021, PARIS, water=PARIS[1:2])
    write_public(folder, "LU000", 2021, LUXEMBOURG)
    write_public(folder, "LU000", 2024, LUXEMBOURG, labels=False)
    return folder


def give(root: Path, request: Request, absent: int = 404) -> None:
    """A file, or what a server says when there is none."""
    path = root / unquote(urlsplit(request.path).path).lstrip("/")
    if path.is_file():
        data = path.read_bytes()
        request.send(200, data, Content_Length=str(len(data)))
    else:
        request.send(absent, b"<Error><Code>AccessDenied</Code></Error>")


@pytest.fixture(scope="module")
def web(root: Path) -> Iterator[Server]:
    """A web server with the folder, which says of what is absent that it is forbidden."""
    with serving(lambda request: give(root, request, 403), "/data") as server:
        yield server


@pytest.fixture(scope="module")
def bucket(root: Path, s3: S3Server) -> S3Server:
    """A bucket with the folder."""
    client = make_s3_client(s3.endpoint, s3.key, s3.secret)
    for path in (root / "data").rglob("*.*"):
        client.put_object(Bucket=s3.bucket, Key=f"sets/{path.relative_to(root)}", Body=path.read_bytes())
    return s3


@pytest.fixture
def settings(bucket: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What the environment says of the bucket, and nothing else."""
    for name in [name for name in os.environ if name.startswith(("AWS_", "LANDPATCH_", "EO_S3_"))]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)  # no `.env`
    monkeypatch.setenv("AWS_S3_ENDPOINT", bucket.endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", bucket.key.get_secret_value())
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", bucket.secret.get_secret_value())


@pytest.fixture(params=PLACES)
def location(
    request: pytest.FixtureRequest, root: Path, web: Server, bucket: S3Server, settings: None
) -> str:
    """Where the training sets are read from."""
    return {"folder": str(root / "data"), "s3": f"s3://{bucket.bucket}/sets/data", "http": web.url}[
        request.param
    ]


REGIONS = ("FR101/2021", "LU000/2021", "LU000/2024")


def test_a_training_set_is_the_same_wherever_it_lies(location, root):
    here, there = landpatch.open(root / "data", REGIONS), landpatch.open(location, REGIONS)
    assert there.entries == here.entries
    assert len(there) == 10
    for one, other in zip(here, there, strict=True):
        assert (one.patch, one.bounds, one.year, dict(one.tags)) == (
            other.patch, other.bounds, other.year, dict(other.tags)
        )  # fmt: skip
        assert (one.image == other.image).all()
        assert (one.label is None) == (other.label is None) == (one.year == 2024)
        assert one.label is None or (one.label == other.label).all()


def test_what_is_opened_is_selected_and_split_alike(location, root):
    here, there = (landpatch.open(place, REGIONS) for place in (root / "data", location))
    assert [entry.patch for entry in there.select(classes=10).entries] == [PARIS[1]]
    assert len(there.select(labelled=True)) == 7
    parts = (dataset.split(block_m=2500) for dataset in (here, there))
    assert len({str({name: part.entries for name, part in split.items()}) for split in parts}) == 1


def test_the_folder_of_a_regions_images_opens_that_region(location):
    assert landpatch.open(f"{location}/images/LU000/2021/filename2bbox.parquet").regions == ["LU000/2021"]


def test_a_region_that_is_not_there_is_named(location):
    with pytest.raises(AbsentError, match="there is no FR101/2020 at"):
        landpatch.open(location, "FR101/2020")


@pytest.mark.parametrize("kind", ["folder", "s3"])
def test_what_can_be_listed_is_found_without_being_named(kind, root, bucket, settings):
    place = {"folder": root / "data", "s3": f"s3://{bucket.bucket}/sets/data/"}[kind]
    assert landpatch.open(place).regions == list(REGIONS)
    assert landpatch.open(place, "LU000").regions == list(REGIONS[1:])


@pytest.mark.parametrize("wanted", [None, "LU000"])
def test_a_web_server_cannot_be_listed_and_that_is_said(web, wanted):
    with pytest.raises(
        RequestError, match=r'name regions with their years, as in landpatch.open\(".*/data", "LU000/2021"\)'
    ):
        landpatch.open(web.url, wanted)


def test_items_name_the_address_of_each_object(location, root):
    items = landpatch.open(location, "LU000/2021").to_stac()
    for item in items:
        href = item.assets["image"].href
        assert href.endswith(f"/data/images/LU000/2021/{item.id.removeprefix('LU000_2021_')}.tif")
        assert href.startswith(("/", "http://127.0.0.1:"))


def read_in_child(dataset, number):
    return float(dataset.pair(number).image.sum()), os.getpid()


def test_clients_are_made_anew_in_every_process(location):
    """The parent's client is open, and used again, while its children use theirs."""
    dataset = landpatch.open(location, REGIONS)
    expected = [float(pair.image.sum()) for pair in dataset]
    with multiprocessing.get_context("fork").Pool(2) as pool:
        asked = [pool.apply_async(read_in_child, (dataset, number)) for number in [*range(10)] * 3]
        assert [float(dataset.pair(number).image.sum()) for number in range(10)] == expected
        answers = [answer.get(60) for answer in asked]
    assert [answer for answer, _ in answers] == expected * 3
    assert os.getpid() not in {pid for _, pid in answers}


def test_a_process_that_is_no_fork_opens_its_own_client(bucket, settings):
    dataset = landpatch.open(f"s3://{bucket.bucket}/sets/data", REGIONS)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        answers = pool.starmap(read_in_child, [(dataset, number) for number in range(10)])
    assert [answer for answer, _ in answers] == [float(pair.image.sum()) for pair in dataset]


def test_threads_share_a_dataset(location):
    from concurrent.futures import ThreadPoolExecutor

    dataset = landpatch.open(location, REGIONS)
    with ThreadPoolExecutor(8) as pool:
        sums = list(pool.map(lambda number: float(dataset.image(number).sum()), [*range(10)] * 4))
    assert sums == [float(image.sum()) for image in map(dataset.image, range(10))] * 4


def test_a_loader_of_several_workers_reads_from_anywhere(location):
    need_torch()
    import torch

    dataset = landpatch.open(location, ["FR101/2021", "LU000/2021"])
    dataset.pair(0)  # a client is open when the workers start
    loader = torch.utils.data.DataLoader(
        dataset.to_torch(["B1"]), batch_size=2, num_workers=2, multiprocessing_context="fork"
    )
    images = np.concatenate([batch["image"].numpy() for batch in loader])
    expected = np.stack([dataset.image(number)[:1] for number in range(7)]).astype("float32")
    assert (images == expected).all()


def test_a_dataset_that_is_given_to_another_process_holds_no_secret(location, bucket):
    dataset = landpatch.open(location, REGIONS)
    dataset.pair(0)
    sent = pickle.dumps(dataset)
    for secret in (bucket.key, bucket.secret):
        assert secret.get_secret_value().encode() not in sent
        assert secret.get_secret_value() not in repr(dataset)
    assert (pickle.loads(sent).pair(9).image == dataset.pair(9).image).all()  # noqa: S301


def test_without_credentials_a_bucket_is_not_opened(bucket, settings, monkeypatch):
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(ConfigurationError, match="set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"):
        landpatch.open(f"s3://{bucket.bucket}/sets/data")


def test_credentials_that_are_refused_are_not_repeated(bucket, settings, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-the-s3cr3t")
    with pytest.raises(ConfigurationError, match="refuses the credentials") as refused:
        landpatch.open(f"s3://{bucket.bucket}/sets/data")
    assert "s3cr3t" not in f"{refused.value}{refused.value.__cause__!r}"


def test_a_bucket_that_does_not_exist_is_said(bucket, settings):
    with pytest.raises(ConfigurationError, match="no such bucket"):
        landpatch.open("s3://another-bucket/data", "FR101/2021")


def test_a_server_that_is_not_there_is_said(silent_port):
    with pytest.raises(TransientError, match=rf"127.0.0.1:{silent_port} cannot be reached"):
        landpatch.open(f"http://127.0.0.1:{silent_port}/data", "FR101/2021")


def test_an_answer_that_breaks_off_is_no_image(root):
    def answer(request: Request) -> None:
        if request.path.endswith(".tif"):
            request.send(200, b"II*\x00", Content_Length="100000")
        else:
            give(root, request)

    with serving(answer, "/data") as server:
        dataset = landpatch.open(server.url, "LU000/2021")
        with pytest.raises(TransientError, match=r"broke off|of 100000 bytes|cannot be reached"):
            dataset.pair(0)


def test_only_what_is_needed_is_asked_for(root):
    with serving(lambda request: give(root, request), "/data") as server:
        dataset = landpatch.open(server.url, "LU000/2021")
        folder = "/data/images/LU000/2021"
        assert server.paths == [f"{folder}/filename2bbox.parquet", f"{folder}/patches.parquet"]
        dataset.select(point=(6.1695145, 49.6335945)).pair(0)
        name = "LU000/2021/4042000_2951690_0_637"
        assert server.paths[2:] == [f"/data/images/{name}.tif", f"/data/labels/{name}.npy"]
