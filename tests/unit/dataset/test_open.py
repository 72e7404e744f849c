"""What is opened, and what is said when it cannot be."""

import pandas as pd
import pytest

import landpatch
from landpatch.errors import AbsentError, PermanentError, RequestError
from landpatch.index import read_filename2bbox
from tests.training_sets import LUXEMBOURG, PARIS


def test_everything_that_is_there_is_opened_by_region_year_and_name(own):
    opened = landpatch.open(own)
    assert opened.regions == ["FR101/2018", "FR101/2021"]
    assert [(entry.year, entry.patch) for entry in opened.entries] == [
        *((2018, patch) for patch in sorted(PARIS[:2])),
        *((2021, patch) for patch in sorted(PARIS)),
    ]
    assert len(opened) == 6


def test_what_the_index_calls_missing_is_not_opened(paris):
    assert {entry.patch for entry in paris.entries} == set(PARIS)


@pytest.mark.parametrize(
    ("regions", "count"),
    [
        ("FR101", 6),
        ("fr101/2018", 2),
        (["FR101/2021"], 4),
        (["FR101", "FR101/2018"], 6),
        (("FR101/2018", "FR101/2021"), 6),
    ],
)
def test_regions_are_named_by_their_code_with_or_without_a_year(own, regions, count):
    assert len(landpatch.open(own, regions)) == count


@pytest.mark.parametrize("tail", ["", "/", "/filename2bbox.parquet"])
def test_the_folder_of_a_regions_images_opens_that_region(own, tail):
    assert landpatch.open(f"{own}/images/FR101/2018{tail}").regions == ["FR101/2018"]


def test_a_region_that_is_no_nuts_region_is_opened_too(public):
    (entry,) = landpatch.open(public, "UKRAINE/2018").entries
    assert entry.bounds == (5900010, 3000020, 5902510, 3002520)


def test_bounds_are_those_of_the_index_and_never_of_a_lattice(luxembourg):
    bounds = {entry.patch: entry.bounds for entry in luxembourg.entries}
    assert set(bounds) == set(LUXEMBOURG)
    assert bounds["4042000_2951690_0_637"] == (4042000, 2951690, 4044500, 2954190)


@pytest.mark.parametrize("wanted", ["FR101/2020", "LU000", "LU000/2021"])
def test_a_region_that_is_not_there_is_named(own, wanted):
    with pytest.raises(AbsentError, match=rf"there is no {wanted} at .*images"):
        landpatch.open(own, wanted)


@pytest.mark.parametrize(
    "wanted", ["", "FR101/", "FR101/21", "../FR101", "FR101/2021/x", "FR101/1999", "a b"]
)
def test_what_is_no_region_is_refused(own, wanted):
    with pytest.raises(RequestError, match="is no region: say FR101"):
        landpatch.open(own, wanted)


def test_a_folder_that_is_one_region_is_not_asked_for_others(own):
    with pytest.raises(RequestError, match="is one region already"):
        landpatch.open(f"{own}/images/FR101/2018", "FR101/2021")


@pytest.mark.parametrize(
    ("location", "says"),
    [
        ("/no/such/folder", "there is no folder /no/such/folder"),
        ("", "nothing to open"),
        ("ftp://host/data", "cannot open ftp://: name a folder, s3://bucket/prefix or https://host/path"),
        ("s3://", "that is no bucket and prefix"),
        ("s3://Bucket/x", "that is no bucket and prefix"),
        ("s3://bucket/../x", "that is no bucket and prefix"),
        ("https://", "that is no address"),
        ("https://host:x/data", "that is no address"),
        ("https://[host/data", "that is no address"),
        ("https://host/a/../data", "that is no address"),
    ],
)
def test_what_cannot_be_opened_is_said_in_one_line(location, says):
    with pytest.raises(RequestError, match=says) as refused:
        landpatch.open(location)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "location",
    [
        "https://user:s3cr3t@host/data", "http://s3cr3t@host/data", "https://host/data?token=s3cr3t",
        "https://host/data#s3cr3t", "https://user:s3cr3t@host:port/data", "s3://key:s3cr3t@bucket/data",
    ],
)  # fmt: skip
def test_an_address_that_holds_a_secret_is_refused_without_repeating_it(location):
    with pytest.raises(RequestError) as refused:
        landpatch.open(location)
    assert "s3cr3t" not in f"{refused.value}{refused.value.__cause__}"


def listing(tmp_path, filenames, boxes):
    path = tmp_path / "index.parquet"
    pd.DataFrame({"filename": filenames, "bbox": boxes}).to_parquet(path)
    return path.read_bytes()


BOX = [4042000.0, 2951690.0, 4044500.0, 2954190.0]


@pytest.mark.parametrize(
    "filename",
    [
        "../../etc/passwd.tif",
        "1_2_3_4.npy",
        "1_2_3_4",
        "1_2_3.tif",
        "a/1_2_3_4.tif",
        "1_2_3_4.tif\n",
        "",
        None,
    ],
)
def test_an_index_cannot_name_what_is_no_patchs_image(tmp_path, filename):
    with pytest.raises(PermanentError, match="which is no patch's image"):
        read_filename2bbox(listing(tmp_path, [filename], [BOX]))


@pytest.mark.parametrize(
    "box",
    [
        BOX[:3],
        [],
        None,
        [0, 0, 0, 0],
        [0, 0, 2500, 250],
        [float("nan")] * 4,
        [float("inf")] * 4,
        [*BOX[2:], *BOX[:2]],
    ],
)
def test_an_index_cannot_name_a_bbox_of_another_size(tmp_path, box):
    with pytest.raises(PermanentError, match="which is no patch's bbox"):
        read_filename2bbox(listing(tmp_path, ["1_2_3_4.tif"], [box]))


def test_an_index_cannot_list_a_patch_twice(tmp_path):
    with pytest.raises(PermanentError, match="twice"):
        read_filename2bbox(listing(tmp_path, ["1_2_3_4.tif"] * 2, [BOX] * 2))


def test_an_index_that_is_none_is_named_with_its_place(tmp_path):
    folder = tmp_path / "images" / "FR101" / "2021"
    folder.mkdir(parents=True)
    (folder / "filename2bbox.parquet").write_bytes(b"PAR1 no, not really")
    with pytest.raises(PermanentError, match=r"images/FR101/2021: filename2bbox.parquet cannot be read"):
        landpatch.open(tmp_path)
