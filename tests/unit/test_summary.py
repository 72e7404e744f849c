"""What a person reads at the end of a run."""

import pytest

from landpatch.build import Result
from landpatch.messages import RegionRequest
from landpatch.settings import Settings
from landpatch.summary import describe_result


@pytest.mark.parametrize(("used", "named", "rest"), [(2, 2, ""), (6, 6, ""), (9, 6, "… and 3 more")])
def test_the_first_products_are_named_and_the_others_counted(used, named, rest):
    names = [f"S2B_{number}.SAFE" for number in range(used)]
    index = "http://store/landpatch/data/images/LU000/2021/filename2bbox.parquet"
    result = Result("LU000", 2021, 481, 481, 481, 460, 21, [], names, 926_000_000, 439, index, 177.0)
    request = RegionRequest.model_validate(
        {"nuts": "LU000", "year": 2021, "start": "2021-05-01", "end": "2021-09-30"}
    )
    said = describe_result(result, None, request, Settings())
    assert [name for name in names if name in said] == names[:named]
    assert ("more" in said) == bool(rest)
    assert rest in said
    assert "481 of 481 images (460 complete, 21 partial), 481 labels, in 177 s" in said
