"""`landpatch verify` on a region in a real store: whole at first, then spoilt in one way after the other."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest

from landpatch.codec import encode_image, encode_label
from landpatch.errors import PermanentError, RequestError
from landpatch.index import PatchRow, build_filename2bbox, build_patches
from landpatch.inventory import describe_image, describe_label
from landpatch.layout import RegionLayout
from landpatch.patch import parse_patch
from landpatch.storage import S3Store, make_s3_client
from landpatch.verify import Verdict, verify_region

pytestmark = pytest.mark.stack

NAMES = ("3755000_2875000_0_1", "3757500_2875000_0_2", "3760000_2875000_0_3")
LAYOUT = RegionLayout("verify", "FR101", 2021)
TAGS = {
    "RECIPE": "a recipe",
    "VALID_FRACTION": "1.0",
    "CLEAR_FRACTION": "1.0",
    "PRODUCTS": "a product",
    "SENSING_DATES": "2021-06-01T10:50:31+00:00",
    "BASELINES": "05.00",
    "SHARES": "1.0",
}


def make_label(seed: int) -> np.ndarray:
    """Fields of 13 x 13 pixels, (260, 260), so that a shifted part can be taken."""
    fields = np.random.default_rng(seed).integers(1, 8, (20, 20))
    return np.kron(fields, np.ones((13, 13), int)).astype("uint8")


def make_bands(label: np.ndarray) -> np.ndarray:
    reflectance = np.random.default_rng(1).permutation(np.linspace(0.05, 0.5, 12))[label]
    return np.broadcast_to(reflectance, (14, *label.shape)).copy()


def make_row(name: str, bands: np.ndarray, classes: np.ndarray, tags: dict[str, str] = TAGS):
    image, label = encode_image(bands, parse_patch(name), tags), encode_label(classes)
    row = PatchRow(
        name, "complete", "", describe_image(image, name, "-"), describe_label(label, name, "-"), ""
    )
    return row, {LAYOUT.image(name): image, LAYOUT.label(name): label}


def write(store: S3Store, rows: list[PatchRow], objects: dict[str, bytes]) -> None:
    for entry in store.find("verify/"):
        store.delete(entry.key)
    objects = objects | {
        LAYOUT.patches: build_patches(rows),
        LAYOUT.filename2bbox: build_filename2bbox(rows),
        LAYOUT.normalization: b"mean: []",
    }
    for key, data in objects.items():
        store.put(key, data)


@pytest.fixture(scope="module")
def store(s3) -> S3Store:
    return S3Store(make_s3_client(s3.endpoint, s3.key, s3.secret), s3.bucket, s3.endpoint)


@pytest.fixture(scope="module")
def region(store) -> tuple[list[PatchRow], dict[str, bytes]]:
    rows, objects = [], {}
    for seed, name in enumerate(NAMES):
        label = make_label(seed)[5:255, 5:255]
        row, pair = make_row(name, make_bands(label), label)
        rows.append(row)
        objects |= pair
    write(store, rows, objects)
    return rows, objects


@contextmanager
def replaced(store: S3Store, key: str, data: bytes | None) -> Iterator[Verdict]:
    """The verdict while an object is another one, or not there."""
    before = store.get(key)
    try:
        if data is None:
            store.delete(key)
        else:
            store.put(key, data)
        yield verify_region(store, LAYOUT)
    finally:
        if before is None:
            store.delete(key)
        else:
            store.put(key, before)


def test_a_whole_region_has_no_fault_and_every_pair_lies_on_each_other(store, region):
    assert verify_region(store, LAYOUT) == Verdict(images=3, labels=3, faults=(), compared=3, aligned=3)


@pytest.mark.parametrize("key", [LAYOUT.image(NAMES[1]), LAYOUT.label(NAMES[1])])
@pytest.mark.parametrize(
    ("spoil", "what"),
    [
        (lambda data: data[:-1] + bytes([data[-1] ^ 1]), "another checksum"),
        (lambda data: data[: len(data) // 2], "another checksum"),
        (lambda data: None, "is not there"),
    ],
)
def test_an_object_that_is_not_as_it_was_written_is_a_fault(store, region, key, spoil, what):
    with replaced(store, key, spoil(region[1][key])) as verdict:
        (fault,) = verdict.faults
    assert key in fault.what
    assert what in fault.what


def test_an_object_that_no_index_lists_is_a_fault(store, region):
    key = LAYOUT.image("2500_2500_0_0")
    with replaced(store, key, b"stray") as verdict:
        (fault,) = verdict.faults
    assert (fault.object, fault.what) == (key, "is in no index")


@pytest.mark.parametrize(
    ("listed", "what"),
    [
        (lambda rows: build_filename2bbox(rows[:2]), "other patches"),
        (lambda rows: b"no parquet", "cannot be read"),
        (lambda rows: None, "is not there"),
    ],
)
def test_the_two_indexes_have_to_agree(store, region, listed, what):
    with replaced(store, LAYOUT.filename2bbox, listed(region[0])) as verdict:
        (fault,) = verdict.faults
    assert fault.object == LAYOUT.filename2bbox
    assert what in fault.what


def test_a_region_without_an_index_is_a_wrong_request_and_a_broken_index_an_error(store, region):
    with pytest.raises(RequestError, match="has no index"):
        verify_region(store, RegionLayout("verify", "FR101", 2020))
    with (
        pytest.raises(PermanentError, match="cannot be read"),
        replaced(store, LAYOUT.patches, b"no parquet"),
    ):
        pass


# Objects that are what the index says, checksum and all, and yet cannot be right.
def too_bright(bands):
    bands[3, 10, 10] = 6.6


def too_dark(bands):
    bands[3, 10, 10] = -0.21


def index_beyond_one(bands):
    bands[12, 10, 10] = 1.01


def half_black(bands):
    bands[:, :125] = 0


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (too_bright, "reflectance from"),
        (too_dark, "reflectance from"),
        (index_beyond_one, "an index of"),
        (half_black, "of its pixels are not 0"),
    ],
)
def test_pixels_that_cannot_be_are_a_fault_whatever_the_index_says(store, region, change, what):
    rows, objects = region
    label = make_label(0)[5:255, 5:255]
    bands = make_bands(label)
    change(bands)
    row, pair = make_row(NAMES[0], bands, label)
    try:
        write(store, [row, *rows[1:]], objects | pair)
        (fault,) = verify_region(store, LAYOUT).faults
    finally:
        write(store, rows, objects)
    assert fault.object == LAYOUT.image(NAMES[0])
    assert what in fault.what


def test_a_class_count_that_is_not_the_labels_is_a_fault(store, region):
    rows, objects = region
    label = make_label(0)[5:255, 5:255]
    (other, _) = make_row(NAMES[0], make_bands(label), make_label(9)[5:255, 5:255])
    assert rows[0].label is not None
    assert other.label is not None
    mixed = replace(rows[0], label=replace(rows[0].label, pixels=other.label.pixels))
    try:
        write(store, [mixed, *rows[1:]], objects)
        (fault,) = verify_region(store, LAYOUT).faults
    finally:
        write(store, rows, objects)
    assert fault.object == LAYOUT.label(NAMES[0])
    assert "other pixels a class" in fault.what


@pytest.mark.parametrize("shift", [(1, 0), (0, -2)])
def test_images_that_lie_beside_their_labels_are_a_fault_that_names_the_shift(store, region, shift):
    rows, objects = [], {}
    for seed, name in enumerate(NAMES):
        label = make_label(seed)
        bands = np.roll(make_bands(label), (-shift[0], -shift[1]), (1, 2))
        part = slice(5, 255)
        row, pair = make_row(name, bands[:, part, part].copy(), label[part, part].copy())
        rows.append(row)
        objects |= pair
    try:
        write(store, rows, objects)
        verdict = verify_region(store, LAYOUT)
    finally:
        write(store, *region)
    (fault,) = verdict.faults
    assert verdict.aligned == 0
    assert f"a shift of {shift} pixels" in fault.what
