"""Bad input gets one clear line and its exit code; nothing is written, nothing is queued."""

import pytest

from tests.contract.conftest import serving_s3

pytestmark = pytest.mark.stack


@pytest.fixture
def untouched(stack):
    """Fails the test when it has written or queued something."""
    files, regions = stack.files(), stack.redis.smembers("landpatch:regions")
    yield
    assert stack.files() == files
    assert stack.waiting() == 0
    assert stack.redis.smembers("landpatch:regions") == regions


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["XX"], "not a NUTS3 code"),
        (["../etc"], "not a NUTS3 code"),
        (["FR109"], "near are FR10"),
        (["BE100", "--year", "2010"], "from 2015"),
        (["BE100", "--start", "09-01", "--end", "05-01"], "after END"),
        (["BE100", "--start", "31-12"], "MM-DD"),
        (["BE100", "--max-cloud", "101"], "from 0 to 100"),
        (["BE100", "--label-year", "2020"], "LABEL_YEAR may be 2018 and 2021"),
    ],
)
def test_a_wrong_request_gets_one_line_and_exit_code_2(stack, untouched, arguments, says):
    run = stack.landpatch("region", *arguments)
    lines = [line for line in run.stderr.splitlines() if not line.startswith("SANDBOX")]
    assert run.returncode == 2
    assert len(lines) == 1
    assert says in lines[0]
    assert run.stdout == ""


ZIP = {"LANDPATCH_IMAGE_SOURCE": "odata-zip"}
HUB = {"LANDPATCH_IMAGE_SOURCE": "sentinelhub"}
RASTER = {"LANDPATCH_LABEL_SOURCE": "raster:/nowhere/map.tif"}
TABLE = {"LANDPATCH_LABEL_CLASSES": "{10: 2}"}
SIGNED = {"LANDPATCH_LABEL_SOURCE": "raster:http://127.0.0.1:1/map.tif?signature=canary-secret"}


@pytest.mark.parametrize(
    ("wrong", "says", "code"),
    [
        ({"LANDPATCH_BUCKET": "nowhere"}, "no such bucket", 2),
        ({"AWS_SECRET_ACCESS_KEY": "canary-secret"}, "refuses the credentials", 2),
        ({"AWS_ACCESS_KEY_ID": ""}, "no credentials for the destination store", 2),
        ({"EO_S3_SECRET_ACCESS_KEY": "canary-secret"}, "EO data store", 2),
        ({"LANDPATCH_IMAGE_SOURCE": "carrier-pigeon"}, "LANDPATCH_IMAGE_SOURCE", 2),
        (ZIP | {"LANDPATCH_CDSE_PASSWORD": "canary-secret"}, "check LANDPATCH_CDSE_USER and", 2),
        (ZIP | {"LANDPATCH_CDSE_PASSWORD": ""}, "set LANDPATCH_CDSE_USER and LANDPATCH_CDSE_PASSWORD", 2),
        (ZIP | {"LANDPATCH_CDSE_TOKEN_URL": "http://127.0.0.1:1/token"}, "token service", 1),
        (HUB | {"LANDPATCH_SENTINELHUB_CLIENT_SECRET": "canary-secret"}, "check LANDPATCH_SENTINELHUB_", 2),
        (HUB | {"LANDPATCH_SENTINELHUB_CLIENT_ID": ""}, "set LANDPATCH_SENTINELHUB_CLIENT_ID and", 2),
        (HUB | {"LANDPATCH_SENTINELHUB_URL": "http://127.0.0.1:1"}, "Sentinel Hub", 1),
        ({"LANDPATCH_REDIS_URL": "redis://:canary-secret@127.0.0.1:1/0"}, "Redis", 1),
        ({"AWS_S3_ENDPOINT": "http://127.0.0.1:1"}, "cannot be reached", 1),
        ({"LANDPATCH_ODATA_URL": "http://127.0.0.1:1/odata"}, "catalogue", 1),
        ({"LANDPATCH_NUTS_URL": "http://127.0.0.1:1/nuts.geojson"}, "boundary service", 1),
        ({"LANDPATCH_CLCPLUS_URL": "http://127.0.0.1:1/{year}/exportImage"}, "label service", 1),
        ({"AWS_S3_ENDPOINT": "ftp://x"}, "AWS_S3_ENDPOINT", 2),
        ({"LANDPATCH_LABEL_SOURCE": "worldcover"}, "is `clcplus`, or `raster:` with a path", 2),
        ({"LANDPATCH_LABEL_SOURCE": "raster:ftp://x/map.tif"}, "may name files by path, or over http", 2),
        ({"LANDPATCH_LABEL_SOURCE": "raster:http://me:canary-secret@x/map.tif"}, "LABEL_SOURCE", 2),
        ({"LANDPATCH_LABEL_RESAMPLING": "cubic"}, "LANDPATCH_LABEL_RESAMPLING", 2),
        (RASTER, "needs a class table: set LANDPATCH_LABEL_CLASSES", 2),
        (RASTER | {"LANDPATCH_LABEL_CLASSES": "/nowhere/classes.csv"}, "cannot be read: No such file", 2),
        (RASTER | {"LANDPATCH_LABEL_CLASSES": "{10: 12}"}, "no class from 0 (none) to 11", 2),
        (RASTER | TABLE, "the label raster (LANDPATCH_LABEL_SOURCE) map.tif is not there", 2),
        (SIGNED | TABLE, "the label raster (LANDPATCH_LABEL_SOURCE) map.tif", 1),
    ],
)
def test_wrong_settings_get_one_line_without_the_secret(stack, untouched, wrong, says, code):
    run = stack.landpatch("region", "BE100", **stack.settings() | wrong)
    lines = [line for line in run.stderr.splitlines() if not line.startswith("SANDBOX")]
    assert run.returncode == code, run.stderr
    assert len(lines) == 1
    assert says in lines[0]
    assert "canary-secret" not in run.stderr + run.stdout


def test_a_destination_that_cannot_be_written_is_found_before_anything_is_queued(stack, untouched, tmp_path):
    with serving_s3(tmp_path, "--read-only") as server:
        run = stack.landpatch(
            "region",
            "BE100",
            **stack.settings()
            | {
                "AWS_S3_ENDPOINT": server.endpoint,
                "AWS_ACCESS_KEY_ID": server.key.get_secret_value(),
                "AWS_SECRET_ACCESS_KEY": server.secret.get_secret_value(),
                "LANDPATCH_BUCKET": server.bucket,
            },
        )
    lines = [line for line in run.stderr.splitlines() if not line.startswith("SANDBOX")]
    assert run.returncode == 1, run.stderr
    assert len(lines) == 1
    assert "nothing can be stored" in lines[0]
