"""Which bytes to fetch: as few bytes and requests as the quota makes worth it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from landpatch.jp2 import Head, Tiling
from landpatch.transfer import CHUNK_BYTES, Rates, plan_fetch

CDSE = Rates(bytes_per_s=80e6, requests_per_s=2000 / 60)
MB = 1_000_000


def head(lengths, known=True):
    """A file whose tiles, in a row, have these lengths."""
    begin = 3000
    offsets = begin + np.concatenate([[0], np.cumsum(lengths)])
    spans = {n: ((int(offsets[n]), int(length)),) for n, length in enumerate(lengths)}
    tiling = Tiling(len(lengths), 1, 1, 1)
    return Head(b"", b"", tiling, 15, begin, int(offsets[-1]), spans if known else None)


def test_only_the_needed_tiles_are_fetched_where_the_file_says_where_they_lie():
    fetch = plan_fetch(head([5 * MB] * 100), [3, 50], CDSE)
    assert fetch.how == "tiles"
    assert fetch.spans == ((3000 + 15 * MB, 5 * MB), (3000 + 250 * MB, 5 * MB))


@pytest.mark.parametrize(("gap", "requests"), [(2_300_000, 1), (2_500_000, 2)])
def test_a_gap_is_fetched_when_that_costs_less_than_a_request(gap, requests):
    # At 80 MB a second and 2000 requests a minute a request costs as much as 2.4 MB.
    assert len(plan_fetch(head([MB, gap, MB]), [0, 2], CDSE).spans) == requests


@pytest.mark.parametrize(("last", "how"), [(45, "walk"), (70, "whole")])
def test_walking_is_chosen_up_to_where_its_requests_cost_as_much_as_the_whole_file(last, how):
    # 121 tiles of 0.95 MB: all costs 1.44 s of the account and 14 requests of 30 ms; walking 30 ms a step.
    fetch = plan_fetch(head([950_000] * 121, known=False), [last], CDSE)
    assert fetch.how == how


def test_the_border_between_walking_and_all_of_it_is_where_the_costs_are_equal():
    size, tiles = 121 * 950_000, 121
    requests = -(-size // CHUNK_BYTES)
    for last in range(tiles):
        walked = CDSE.cost_s((last + 1) * 12 + size / tiles, last + 2)
        expected = "walk" if walked < CDSE.cost_s(size, requests) else "whole"
        assert plan_fetch(head([950_000] * tiles, known=False), [last], CDSE).how == expected


def test_a_slower_line_makes_walking_worth_more_and_a_smaller_quota_of_requests_less():
    file = head([950_000] * 121, known=False)
    assert plan_fetch(file, [70], CDSE).how == "whole"
    assert plan_fetch(file, [70], Rates(1e6, 2000 / 60)).how == "walk"
    assert plan_fetch(file, [20], CDSE).how == "walk"
    assert plan_fetch(file, [20], Rates(80e6, 60 / 60)).how == "whole"


def test_nothing_is_fetched_when_nothing_is_needed():
    assert plan_fetch(head([MB] * 4, known=False), [], CDSE).spans == ()


@pytest.mark.parametrize(
    ("last", "size", "to_the_end"),
    [
        (88, 120 * MB, False),
        (89, 120 * MB, True),
        (119, 120 * MB, True),
        (60, 4 * MB, True),
        (60, 6 * MB, False),
    ],
)
def test_a_file_is_worth_having_to_its_end_where_little_lies_behind_what_is_needed(last, size, to_the_end):
    # A quarter of it, or as much as costs no more than a request: 2.4 MB.
    file = head([size // 120] * 120, known=False)
    fetch = plan_fetch(file, [last], Rates(80e6, 1 / 0.03))
    whole = fetch if fetch.how == "whole" else plan_fetch(file, list(range(last + 1)), Rates(80e6, 1 / 0.03))
    assert (whole.how, whole.to_the_end) == ("whole", to_the_end)


def test_of_a_file_that_says_where_its_tiles_lie_all_comes_when_all_is_needed():
    file = head([5 * MB] * 20)
    assert plan_fetch(file, range(20), CDSE).to_the_end
    assert not plan_fetch(file, range(19), CDSE).to_the_end


@given(
    lengths=st.lists(st.integers(14, 40 * MB), min_size=1, max_size=60),
    known=st.booleans(),
    data=st.data(),
)
def test_what_is_fetched_holds_every_needed_tile_once_in_order_and_in_bounded_requests(lengths, known, data):
    needed = data.draw(st.lists(st.integers(0, len(lengths) - 1), min_size=1, unique=True))
    file = head(lengths, known)
    fetch = plan_fetch(file, sorted(needed), CDSE)
    assert all(0 < length <= CHUNK_BYTES for _, length in fetch.spans)
    ends = [offset + length for offset, length in fetch.spans]
    assert all(end <= begin for end, (begin, _) in zip(ends, fetch.spans[1:], strict=False))
    if fetch.how == "walk":
        return
    truth = head(lengths).spans
    for tile in needed:
        ((offset, length),) = truth[tile]
        inside = sum(
            max(0, min(end, offset + length) - max(begin, offset))
            for (begin, _), end in zip(fetch.spans, ends, strict=True)
        )
        assert inside == length
