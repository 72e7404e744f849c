"""Class tables: what a code becomes, and what is no table."""

import numpy as np
import pytest

from landpatch.class_table import UNKNOWN, parse_table
from landpatch.errors import ConfigurationError

WHAT = "the table"
OURS = {10: 2, 30: 6, 80: 10, 0: 0}


@pytest.mark.parametrize(
    "text",
    [
        "10: 2\n30: 6\n80: 10\n0: 0\n",
        "# WorldCover\n10: 2  # trees\n\n30: 6\n80: 10\n0: 0",
        "{10: 2, 30: 6, 80: 10, 0: 0}",
        "10,2\n30,6\n80,10\n0,0\n",
        "code,class\n10,2\n30,6\n80,10\n0,0\n",
        "Code;Class;Remark\r\n10;2;trees\r\n30; 6 ;grass\r\n80;10;water\r\n0;0;none\r\n",
        "# a remark: of a person\ncode,class\n10,2\n30,6\n80,10\n0,0\n",
    ],
    ids=["yaml", "yaml with remarks", "in braces", "csv", "csv with a heading", "semicolons", "csv remark"],
)
def test_yaml_and_csv_say_the_same(text):
    table = parse_table(text, WHAT)
    assert dict(table.classes) == OURS
    assert dict(table.names) == {}
    assert table.digest == parse_table("{0: 0, 80: 10, 30: 6, 10: 2}", WHAT).digest


@pytest.mark.parametrize(
    "text",
    ["5: Forest\n7: Open land\n6: Forest\n0: 0\n", "code,class\n5,Forest\n7,Open land\n6,Forest\n0,0\n"],
)
def test_names_are_numbered_as_they_first_appear(text):
    table = parse_table(text, WHAT)
    assert dict(table.classes) == {5: 1, 7: 2, 6: 1, 0: 0}
    assert dict(table.names) == {1: "Forest", 2: "Open land"}


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "uint32"])
def test_codes_become_classes_whatever_their_type(dtype):
    codes = np.array([[10, 30], [80, 0]], dtype=dtype)
    assert parse_table("{10: 2, 30: 6, 80: 10, 0: 0}", WHAT).apply(codes).tolist() == [[2, 6], [10, 0]]


def test_negative_and_large_codes_are_codes_too():
    table = parse_table("{-32768: 0, 100000: 4}", WHAT)
    assert table.apply(np.array([-32768, 100000], dtype="int32")).tolist() == [0, 4]


def test_a_code_without_a_line_is_told_apart_from_no_label():
    table = parse_table("{10: 2, 0: 0}", WHAT)
    codes = np.array([10, 9, 0, 11, 255, 2**32 - 1], dtype="uint32")
    assert table.apply(codes).tolist() == [2, UNKNOWN, 0, UNKNOWN, UNKNOWN, UNKNOWN]


def test_another_table_has_another_digest():
    digests = {
        parse_table(text, WHAT).digest
        for text in ("{1: 2}", "{1: 3}", "{2: 2}", "{1: 2, 2: 2}", "{1: A}", "{1: B}")
    }
    assert len(digests) == 6


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is no list of codes"),
        ("# nothing\n", "is no list of codes"),
        ("- 1\n- 2\n", "is no list of codes"),
        ("{}", "has no code"),
        ("code,class\n", "has no code"),
        ("10: 12", "code 10 becomes '12', which is no class from 0 (none) to 11"),
        ("10: -1", "which is no class"),
        ("10: 2.5", "which is no class"),
        ("10: true", "which is no class"),
        ("10:\n", "which is no class"),
        ("10: [1]", "which is no class"),
        ("ten: 1", "'ten' is no code"),
        ("1.5: 1", "'1.5' is no code"),
        ("true: 1", "'True' is no code"),
        ("99999999999: 1", "'99999999999' is no code"),
        ("[1, 2]: 1", "a code is a whole number"),
        ("10: 1\n10: 2", "a code is there twice"),
        ("10,1\n10,2", "a code is there twice"),
        ("10,1\n20\n", "a line without a class"),
        ("10: Trees\n20: 3", "where one class has a name, all have"),
        ("10: Trees\n20: ''", "where one class has a name, all have"),
        ('10: "a\\u0007b"', "where one class has a name, all have"),
        (f"10: {'x' * 101}", "where one class has a name, all have"),
        ("\n".join(f"{code}: Class {code}" for code in range(12)), "12 names, and a label has at most 11"),
        ("10: !!python/object/apply:os.system [ls]", "is neither YAML nor CSV"),
        ("10: {", "is neither YAML nor CSV"),
        ("10: &a [*a]", "which is no class"),
        ("x" * 100_001, "is larger than a class table is"),
        ("[" * 5000, "is neither YAML nor CSV"),
    ],
)
def test_what_is_no_table_is_said_in_one_line(text, says):
    with pytest.raises(ConfigurationError) as caught:
        parse_table(text, WHAT)
    message = str(caught.value)
    assert message.startswith(WHAT)
    assert says in message
    assert "\n" not in message
    assert len(message) < 400
