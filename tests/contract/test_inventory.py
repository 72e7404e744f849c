"""What is really in a store, and from where its labels are, while there is no index."""

import numpy as np
import pytest

from landpatch.codec import encode_label
from landpatch.inventory import take_inventory
from landpatch.label_notes import LabelNote, store_note
from landpatch.layout import RegionLayout
from landpatch.patch import Patch
from landpatch.storage import S3Store, make_s3_client

pytestmark = pytest.mark.stack

LAYOUT = RegionLayout("inventory", "FR101", 2021)
NAMES = [Patch(number, 3_750_000 + 2500 * number, 2_880_000, 0).name for number in range(6)]
OLD, NEW, RASTER = (2018, "clcplus"), (2021, "clcplus"), (2021, "raster=city.tif")


def label(number):
    """Another for each number from 0 to 11."""
    return encode_label(np.full((250, 250), number, "uint8"))


@pytest.fixture
def client(s3):
    return make_s3_client(s3.endpoint, s3.key, s3.secret)


@pytest.fixture
def store(s3, client):
    """Without anything of the region."""
    store = S3Store(client, s3.bucket, s3.endpoint)
    for entry in list(store.find("inventory/")):
        store.delete(entry.key)
    return store


def put(store, labels):
    for name, data in labels.items():
        store.put(LAYOUT.label(name), data)


def labels_of(store, origin):
    return set(take_inventory(store, LAYOUT).labels_of(*origin))


def test_a_label_is_of_the_edition_and_the_source_that_a_note_says(store):
    labels = {name: label(number) for number, name in enumerate(NAMES)}
    for origin, names in ((OLD, NAMES[:2]), (NEW, NAMES[2:4])):
        store_note(store, LAYOUT, origin, {name: labels[name] for name in names})
    put(store, labels)
    assert labels_of(store, OLD) == set(NAMES[:2])
    assert labels_of(store, NEW) == set(NAMES[2:4])
    assert labels_of(store, RASTER) == set()
    found = take_inventory(store, LAYOUT).labels_of(*NEW)[NAMES[2]]
    assert (found.edition, found.source, found.pixels[2]) == (2021, "clcplus", 62_500)


def test_without_a_label_year_no_label_is_wanted(store):
    put(store, {NAMES[0]: label(1)})
    assert take_inventory(store, LAYOUT).labels_of(None, "clcplus") == {}


def test_a_label_is_only_known_by_the_bytes_that_were_noted(store):
    store_note(store, LAYOUT, NEW, {name: label(1) for name in NAMES})
    other, foreign = label(2), b"not an array"
    put(store, {NAMES[0]: label(1), NAMES[1]: other, NAMES[2]: label(1)[:-1], NAMES[3]: foreign})
    assert labels_of(store, NEW) == {NAMES[0]}


def test_a_note_of_one_patch_says_nothing_of_the_same_bytes_elsewhere(store):
    store_note(store, LAYOUT, NEW, {NAMES[0]: label(1)})
    put(store, {NAMES[0]: label(1), NAMES[1]: label(1)})
    assert labels_of(store, NEW) == {NAMES[0]}


def test_a_label_that_is_the_same_in_two_editions_is_of_both(store):
    for origin in (OLD, NEW):
        store_note(store, LAYOUT, origin, {NAMES[0]: label(10)})
    put(store, {NAMES[0]: label(10)})
    assert labels_of(store, OLD) == labels_of(store, NEW) == {NAMES[0]}


@pytest.mark.parametrize(
    "spoilt",
    [b"", b"{}", b"[]", b'{"version":1,"edition":2021,"source":"clcplus","checksums":{"../x":"0"}}', b"\xff"],
)
def test_a_note_that_is_none_hides_no_other(store, spoilt):
    store_note(store, LAYOUT, NEW, {NAMES[0]: label(1)})
    store.put(LAYOUT.label_note(spoilt), spoilt)
    put(store, {NAMES[0]: label(1)})
    assert labels_of(store, NEW) == {NAMES[0]}


def test_the_same_labels_are_noted_once(store):
    for _ in range(2):
        store_note(store, LAYOUT, NEW, {name: label(1) for name in NAMES})
    (entry,) = store.find(LAYOUT.label_notes)
    note = LabelNote.model_validate_json(store.get(entry.key))
    assert list(note.checksums) == NAMES


def test_notes_take_a_request_each_and_none_for_a_patch(store, client):
    labels = {name: label(1) for name in NAMES}
    put(store, labels)
    asked = []
    client.meta.events.register("before-call.s3", lambda model, **_: asked.append(model.name))

    def count():
        asked.clear()
        take_inventory(store, LAYOUT)
        return asked.count("GetObject"), asked.count("ListObjectsV2")

    before = count()
    store_note(store, LAYOUT, NEW, labels)
    assert count() == (before[0] + 1, before[1])
