"""Which regions are meant by codes, a file, or `all`."""

import io

import pytest

from landpatch.commands.codes import EVERYWHERE, read_codes
from landpatch.errors import RequestError


def test_codes_come_in_order_and_each_once():
    assert read_codes(["lu000", "FR101", "LU000 "], None) == ["LU000", "FR101"]


def test_a_file_has_a_code_a_line_and_remarks():
    listed = io.StringIO("# capitals\nFR101  # Paris\n\n  be100\n#LU000\nFR101\n")
    assert read_codes(["MT001"], listed) == ["MT001", "FR101", "BE100"]


def test_all_is_one_word():
    assert read_codes(["all"], None) == read_codes([], io.StringIO("ALL\n")) == [EVERYWHERE]


@pytest.mark.parametrize("listed", [None, io.StringIO(""), io.StringIO("# none\n")])
def test_no_region_is_told_how_to_name_one(listed):
    with pytest.raises(RequestError, match="such as FR101"):
        read_codes([], listed)


def test_a_file_that_is_no_text_is_refused():
    listed = io.TextIOWrapper(io.BytesIO(b"\xff\xfe\x00F"), encoding="utf-8")
    with pytest.raises(RequestError, match="not text"):
        read_codes([], listed)
