"""The layout: every key as the contract has it, and none that leads elsewhere."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from landpatch.layout import (
    PublishedLayout,
    RegionLayout,
    patch_of_filename,
    patch_of_key,
    probe_key,
    split_index_folder,
)

LAYOUT = RegionLayout("data", "FR101", 2021)
PATCH = "3755000_2887500_0_1"
SCENE = "67360f3a-f36b-11ef-9d3f-0050561a7772"


def test_keys_are_those_of_the_contract():
    assert LAYOUT.image(PATCH) == f"data/images/FR101/2021/{PATCH}.tif"
    assert LAYOUT.label(PATCH) == f"data/labels/FR101/2021/{PATCH}.npy"
    assert LAYOUT.filename2bbox == "data/images/FR101/2021/filename2bbox.parquet"
    assert LAYOUT.patches == "data/images/FR101/2021/patches.parquet"
    assert LAYOUT.normalization == "data/images/FR101/2021/metrics-normalization.yaml"


def test_every_key_lies_in_the_folder_that_is_listed_for_it():
    assert LAYOUT.image(PATCH).startswith(LAYOUT.images)
    assert LAYOUT.label(PATCH).startswith(LAYOUT.labels)
    assert LAYOUT.observation(PATCH, SCENE, "best").startswith(LAYOUT.observations_of(SCENE, "best"))
    assert LAYOUT.label_note(b"{}").startswith(LAYOUT.label_notes)
    assert LAYOUT.observations_of(SCENE, "best").startswith(LAYOUT.observations)
    assert LAYOUT.label_notes.startswith(LAYOUT.observations)


def test_what_is_kept_of_two_recipes_or_said_in_two_notes_has_keys_of_its_own():
    assert LAYOUT.observations_of(SCENE, "best") != LAYOUT.observations_of(SCENE, "median")
    assert LAYOUT.label_note(b"one") != LAYOUT.label_note(b"other")


def test_the_folders_of_two_regions_or_years_do_not_hold_each_other():
    layouts = [RegionLayout("data", nuts, year) for nuts in ("FR101", "FR102") for year in (2020, 2021)]
    folders = [folder for layout in layouts for folder in (layout.images, layout.labels, layout.observations)]
    assert not [(a, b) for a in folders for b in folders if a != b and a.startswith(b)]


def test_a_prefix_may_have_several_parts():
    assert RegionLayout("a/b-c/d_1", "FR101", 2021).images == "a/b-c/d_1/images/FR101/2021/"


@pytest.mark.parametrize(
    ("prefix", "nuts", "year"),
    [
        ("", "FR101", 2021),
        ("/data", "FR101", 2021),
        ("data/", "FR101", 2021),
        ("a//b", "FR101", 2021),
        ("..", "FR101", 2021),
        ("a/../b", "FR101", 2021),
        ("a b", "FR101", 2021),
        ("data\n", "FR101", 2021),
        ("data", "../..", 2021),
        ("data", "fr101", 2021),
        ("data", "FR101\n", 2021),
        ("data", "FR1/1", 2021),
        ("data", "FR101", 1999),
        ("data", "FR101", 3000),
    ],
)
def test_what_could_lead_out_of_the_prefix_is_refused(prefix, nuts, year):
    with pytest.raises(ValueError, match="not a"):
        RegionLayout(prefix, nuts, year)


@pytest.mark.parametrize(
    "patch", ["../x", "3755001_2887500_0_1", PATCH + ".tif", f"a/{PATCH}", "", PATCH + "\n"]
)
def test_a_key_is_made_of_a_patch_on_the_grid_only(patch):
    for make in (LAYOUT.image, LAYOUT.label, lambda name: LAYOUT.observation(name, SCENE, "best")):
        with pytest.raises(ValueError, match=r"name|invalid|unpack"):
            make(patch)


@pytest.mark.parametrize("scene", ["../../x", "", "a/b", SCENE + "\n", SCENE + ".npz", "x" * 36])
def test_a_key_is_made_of_a_product_id_only(scene):
    with pytest.raises(ValueError, match="not a product id"):
        LAYOUT.observation(PATCH, scene, "best")


@pytest.mark.parametrize(
    "key",
    [
        "data/images/FR101/2021/filename2bbox.parquet",
        "data/images/FR101/2021/patches.parquet",
        "data/images/FR101/2021/metrics-normalization.yaml",
        "data/images/FR101/2021/3755001_2887500_0_1.tif",
        "data/images/FR101/2021/",
        "data/images/FR101/2021/3755000_2887500_0.tif",
        "notes.txt",
        "",
    ],
)
def test_a_foreign_key_tells_of_no_patch(key):
    assert patch_of_key(key) is None


cells = st.integers(0, 3000).map(lambda cell: cell * 2500)


@given(cells, cells, st.integers(0, 999), st.integers(0, 10**7))
def test_the_key_of_an_image_and_of_its_label_tell_of_the_same_patch(xmin, ymin, part, cell_id):
    patch = f"{xmin}_{ymin}_{part}_{cell_id}"
    assert patch_of_key(LAYOUT.image(patch)) == patch_of_key(LAYOUT.label(patch)) == patch


# To read by: training sets that may be another's.

ANCHORED = "4042000_2951690_0_637"
"""The tutorial's patch, on a grid of its region's own."""


def test_a_training_set_is_read_by_the_same_keys_without_a_prefix():
    published = PublishedLayout("FR101", 2021)
    for key in ("images", "labels", "filename2bbox", "patches", "normalization"):
        assert f"data/{getattr(published, key)}" == getattr(LAYOUT, key)
    assert f"data/{published.image(PATCH)}" == LAYOUT.image(PATCH)
    assert f"data/{published.label(PATCH)}" == LAYOUT.label(PATCH)


def test_a_patch_on_another_grid_can_be_read_and_not_written():
    assert PublishedLayout("LU000", 2021).image(ANCHORED) == f"images/LU000/2021/{ANCHORED}.tif"
    with pytest.raises(ValueError, match="grid"):
        LAYOUT.image(ANCHORED)


def test_the_public_training_set_has_a_region_that_is_none():
    assert PublishedLayout("UKRAINE", 2018).labels == "labels/UKRAINE/2018/"


@pytest.mark.parametrize(
    ("nuts", "year"),
    [
        ("../..", 2021),
        ("", 2021),
        ("F", 2021),
        ("fr101", 2021),
        ("FR101\n", 2021),
        ("FR/01", 2021),
        ("FR101", 1999),
    ],
)
def test_what_could_lead_elsewhere_is_not_read_either(nuts, year):
    with pytest.raises(ValueError, match="not a region and year"):
        PublishedLayout(nuts, year)


@pytest.mark.parametrize(
    "patch", ["../x", PATCH + ".tif", f"a/{PATCH}", "", PATCH + "\n", "1_2_3", "1_2_3_4_5"]
)
def test_a_key_to_read_is_made_of_a_patchs_name_only(patch):
    with pytest.raises(ValueError, match="not the name of a patch"):
        PublishedLayout("FR101", 2021).image(patch)


@pytest.mark.parametrize(
    ("key", "found"),
    [
        ("images/FR101/2021/filename2bbox.parquet", ("", "FR101", 2021)),
        ("data/images/LU000/2018/", ("data/", "LU000", 2018)),
        ("https://host/a/data/images/UKRAINE/2024", ("https://host/a/data/", "UKRAINE", 2024)),
        ("images/images/FR101/2021", ("images/", "FR101", 2021)),
        ("data/labels/FR101/2021/", None),
        ("data/myimages/FR101/2021/", None),
        ("images/FR101/2021/patches.parquet", None),
        ("images/FR101/", None),
        ("images/FR101/21", None),
        ("images/fr101/2021", None),
    ],
)
def test_the_folder_of_an_index_tells_its_region_and_what_lies_above(key, found):
    assert split_index_folder(key) == found


@pytest.mark.parametrize(
    ("filename", "patch"),
    [
        (f"{ANCHORED}.tif", ANCHORED),
        (ANCHORED, None),
        (f"{ANCHORED}.npy", None),
        (f"a/{ANCHORED}.tif", None),
        (f"{ANCHORED}.tif\n", None),
        (".tif", None),
    ],
)
def test_an_index_names_patches_by_their_images(filename, patch):
    assert patch_of_filename(filename) == patch


def test_each_look_whether_something_can_be_stored_has_a_key_of_its_own():
    keys = {probe_key("data") for _ in range(3)}
    assert len(keys) == 3
    assert all(key.startswith("data/write-probe-") for key in keys)
