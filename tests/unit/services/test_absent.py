"""Why a patch is not there, from what it was sent to and what has come of that."""

import pytest

from landpatch.records import Outcome, Work
from services.dispatcher.pipeline import explain_absent

WORK = {
    "images:1:a": Work(failure="a is broken"),
    "images:2:b": Work(bytes_downloaded=5),
    "images:3:c": Work(failure="c is broken"),
    "images:3:settle-0": Work(failure="of other patches"),
    "labels:0": Work(failure="of labels"),
}


@pytest.mark.parametrize(
    ("tried", "outcome"),
    [
        ([], Outcome("missing", "no product in the catalogue covers it")),
        (["b"], Outcome("missing", "no valid pixel in any of 1 products")),
        (["a", "b"], Outcome("failed", "a is broken")),
        (["a", "b", "c"], Outcome("failed", "c is broken")),
        (["c", "a"], Outcome("failed", "a is broken")),
    ],
)
def test_a_patch_is_missing_unless_a_product_of_it_could_not_be_read_and_then_the_last_says_why(
    tried, outcome
):
    assert explain_absent(["p", "q"], {"p": tried, "q": ["b"]}, WORK) == {
        "p": outcome,
        "q": Outcome("missing", "no valid pixel in any of 1 products"),
    }
