"""What a user types becomes a request, or one line that says how to mend it."""

from datetime import date
from typing import Any

import pytest

from landpatch.build import prepare_request
from landpatch.errors import RequestError
from landpatch.messages import RegionRequest

TYPED = {
    "nuts": "FR101",
    "year": 2021,
    "label_year": None,
    "max_cloud": 30.0,
    "start": "05-01",
    "end": "09-30",
    "cover": "intersects",
    "composite": "best",
    "today": date(2025, 7, 10),
}


def prepare(**typed: Any) -> RegionRequest:
    return prepare_request(**(TYPED | typed))


def test_the_defaults_make_a_request():
    assert prepare() == RegionRequest(
        nuts="FR101",
        year=2021,
        label_year=2021,
        max_cloud=30,
        start=date(2021, 5, 1),
        end=date(2021, 9, 30),
        cover="intersects",
        composite="best",
    )


@pytest.mark.parametrize("typed", ["fr101", " FR101 ", "Fr101\n"])
def test_a_code_may_be_typed_in_small_letters_and_with_blanks_around(typed):
    assert prepare(nuts=typed).nuts == "FR101"


@pytest.mark.parametrize(("year", "edition"), [(2018, 2018), (2021, 2021), (2017, None), (2019, None)])
def test_labels_are_of_the_year_of_the_images_where_there_are_such(year, edition):
    assert prepare(year=year).label_year == edition


@pytest.mark.parametrize(("year", "label_year"), [(2019, 2018), (2021, 2018), (2018, 2021)])
def test_labels_are_of_the_year_that_is_asked_for(year, label_year):
    assert prepare(year=year, label_year=label_year).label_year == label_year


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ({"nuts": "FR1"}, "'FR1' is not a NUTS3 code: five characters, such as FR101 or LU000"),
        ({"nuts": "FR10100"}, "'FR10100' is not a NUTS3 code"),
        ({"nuts": "12345"}, "'12345' is not a NUTS3 code"),
        ({"nuts": ""}, "'' is not a NUTS3 code"),
        ({"nuts": "FR\n01"}, r"'FR\\n01' is not a NUTS3 code"),
        ({"nuts": "../.."}, "is not a NUTS3 code"),
        ({"year": 2014}, "no Sentinel-2 images of 2014: choose a year from 2015 to 2025"),
        ({"year": 2026}, "no Sentinel-2 images of 2026: choose a year from 2015 to 2025"),
        ({"year": 0}, "no Sentinel-2 images of 0"),
        ({"max_cloud": -1}, "MAX_CLOUD is percent, from 0 to 100, not -1"),
        ({"max_cloud": 100.5}, "MAX_CLOUD is percent, from 0 to 100, not 100.5"),
        ({"max_cloud": float("nan")}, "MAX_CLOUD is percent, from 0 to 100, not nan"),
        ({"start": "13-01"}, "START is a day as MM-DD, such as 05-01, not '13-01'"),
        ({"start": ""}, "START is a day as MM-DD, such as 05-01, not ''"),
        ({"start": "2021-05-01"}, "START is a day as MM-DD"),
        ({"start": "May 1"}, "START is a day as MM-DD"),
        ({"end": "09-31"}, "END is a day as MM-DD, such as 05-01, not '09-31'"),
        ({"end": "09-30\n09-31"}, r"END is a day as MM-DD, .*'09-30\\n09-31'"),
        ({"start": "02-29"}, "START is a day as MM-DD, such as 05-01, not '02-29'"),
        ({"end": "02-29", "start": "01-01"}, "END is a day as MM-DD, such as 05-01, not '02-29'"),
        ({"start": "09-01", "end": "05-01"}, "START 09-01 is after END 05-01"),
        ({"year": 2025, "start": "07-11"}, "START 2025-07-11 lies in the future"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(typed, told):
    with pytest.raises(RequestError, match=told) as refused:
        prepare(**typed)
    assert "\n" not in str(refused.value)


def test_of_a_source_that_has_any_year_labels_are_of_the_year_of_the_images():
    assert prepare(year=2019, editions=None).label_year == 2019
    assert prepare(year=2019, label_year=2012, editions=None).label_year == 2012
    with pytest.raises(RequestError, match="no labels of 1999: LABEL_YEAR may be any from 2000 to 2100"):
        prepare(label_year=1999, editions=None)


def test_the_leap_day_is_a_day_of_a_leap_year():
    assert prepare(year=2020, start="02-29", end="02-29").start == date(2020, 2, 29)


def test_one_day_is_a_time_and_so_is_a_whole_year():
    assert prepare(start="06-01", end="06-01").end == date(2021, 6, 1)
    assert prepare(start="01-01", end="12-31").end == date(2021, 12, 31)


def test_the_season_that_is_under_way_can_be_asked_for():
    request = prepare(year=2025, start="07-10")
    assert (request.start, request.end) == (date(2025, 7, 10), date(2025, 9, 30))


@pytest.mark.parametrize("max_cloud", [0, 100])
def test_the_ends_of_the_range_of_clouds_are_in_it(max_cloud):
    assert prepare(max_cloud=max_cloud).max_cloud == max_cloud


@pytest.mark.parametrize("label_year", [0, 18, 1999, 2101])
def test_a_label_year_that_cannot_be_is_told_in_one_line(label_year):
    with pytest.raises(RequestError, match="LABEL_YEAR"):
        prepare(label_year=label_year)
