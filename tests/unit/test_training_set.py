"""The public training set is asked, index by index; where it cannot be, that is said, and soon."""

import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from landpatch.errors import PermanentError
from landpatch.sources.http import make_session
from landpatch.sources.training_set import ANNOUNCED, count_rows, survey_training_set
from tests.http_server import serving


def index_of(rows: int, names=("filename", "bbox")) -> bytes:
    """A `filename2bbox.parquet` of so many patches."""
    buffer = io.BytesIO()
    columns = {names[0]: pa.array([f"{n}.tif" for n in range(rows)], pa.string())}
    if len(names) > 1:
        columns[names[1]] = pa.array([[0.0, 0.0, 2500.0, 2500.0]] * rows, pa.list_(pa.float64()))
    pq.write_table(pa.table(columns), buffer)
    return buffer.getvalue()


def answering(indexes):
    """A server that has these indexes, by region and year; a number instead of one is a status."""

    def answer(request):
        _, _, region, year, name = request.path.split("/")
        found = indexes.get((region, int(year)), 404)
        assert name == "filename2bbox.parquet"
        request.send(found) if isinstance(found, int) else request.send(200, found)

    return serving(answer)


def survey(url):
    return survey_training_set(url.rstrip("/"), make_session(retries=0))


EVERY = {(region, year): index_of(3) for year, names in ANNOUNCED.items() for region in names.split()}


def test_what_was_announced_is_what_the_course_says():
    assert len({region for names in ANNOUNCED.values() for region in names.split()}) == 30
    every_year = set.intersection(*(set(names.split()) for names in ANNOUNCED.values()))
    assert len(every_year) == 26
    years = {year: set(names.split()) - every_year for year, names in ANNOUNCED.items()}
    assert years == {
        2018: {"DK041", "IE061"},
        2021: {"CY000", "CZ072", "IE061"},
        2024: {"CY000", "CZ072", "DK041"},
    }


def test_every_region_and_year_is_told_with_its_patches():
    with answering(EVERY | {("LU000", 2024): index_of(351)}) as server:
        found = survey(server.url)
    assert found.fault == ""
    assert len(found.regions) == len(EVERY)
    (luxembourg,) = [each for each in found.regions if (each.region, each.year) == ("LU000", 2024)]
    assert luxembourg.patches == 351
    assert luxembourg.index == f"{server.base}/images/LU000/2024/filename2bbox.parquet"
    assert {each.patches for each in found.regions if each is not luxembourg} == {3}
    assert len(server.asked) == len(EVERY)


def test_what_was_announced_and_is_not_there_is_left_out():
    with answering({key: index for key, index in EVERY.items() if key[0] != "MT001"}) as server:
        found = survey(server.url)
    assert found.fault == ""
    assert "MT001" not in {each.region for each in found.regions}
    assert len(found.regions) == len(EVERY) - 3


@pytest.mark.parametrize("wrong", [503, b"<html>", index_of(1, ("filename",))], ids=["busy", "html", "other"])
def test_a_region_that_cannot_be_asked_is_told_without_patches_and_that_is_said(wrong):
    with answering(EVERY | {("MT001", 2021): wrong}) as server:
        found = survey(server.url)
    assert found.fault.startswith(
        "1 of its regions could not be asked: the public training set (LANDPATCH_TR"
    )
    assert [(each.region, each.year) for each in found.regions if each.patches is None] == [("MT001", 2021)]


def test_where_it_cannot_be_reached_one_try_is_enough_and_what_was_announced_is_told():
    found = survey("http://127.0.0.1:1")
    assert "cannot be reached" in found.fault
    assert len(found.regions) == len(EVERY)
    assert {each.patches for each in found.regions} == {None}
    with answering(dict.fromkeys(EVERY, 503)) as server:
        assert "503" in survey(server.url).fault
        assert len(server.asked) == 1


def test_rows_are_counted_of_an_index_only():
    assert count_rows(index_of(0)) == 0
    assert count_rows(index_of(481)) == 481
    for wrong in (b"", b"PAR1", index_of(3)[:-20], index_of(3, ("filename",))):
        with pytest.raises(PermanentError, match="LANDPATCH_TRAINING_SET_URL"):
            count_rows(wrong)
