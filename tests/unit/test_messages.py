"""Messages: small versioned JSON, and nothing in them that a worker could be led astray by."""

import json
from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from landpatch.messages import (
    MAX_PATCHES,
    AdvanceRegion,
    CutScene,
    FetchLabels,
    Message,
    PatchWork,
    PlanRegion,
    RegionRequest,
    SceneRef,
    SettlePatches,
    WriteIndex,
    describe_message,
)

NAME = "S2A_MSIL2A_20210601T105031_N0500_R051_T31UDQ_20230212T061204.SAFE"
REQUEST = RegionRequest(
    nuts="FR101", year=2021, label_year=2021, start=date(2021, 5, 1), end=date(2021, 9, 30)
)
SCENE = SceneRef(
    id="67360f3a-f36b-11ef-9d3f-0050561a7772",
    name=NAME,
    s3_path=f"Sentinel-2/MSI/L2A/2021/06/01/{NAME}",
    sensed=datetime(2021, 6, 1, 10, 50, 31, tzinfo=UTC),
    baseline=(5, 0),
)
HEADER = {"run": "r", "nuts": "FR101", "year": 2021, "round": 1}
WORK = PatchWork(name="3755000_2887500_0_1", earlier=(SCENE,))
MESSAGES = [
    PlanRegion(run="r", request=REQUEST),
    AdvanceRegion(**HEADER),
    CutScene(**HEADER, recipe="x", composite="best", scene=SCENE, patches=(WORK,)),
    SettlePatches(**HEADER, recipe="x", composite="best", block=0, patches=(WORK,)),
    FetchLabels(**HEADER, label_year=2021, block=3, patches=("3755000_2887500_0_1", "0_0_0_0")),
    WriteIndex(run="r", request=REQUEST.model_copy(update={"label_year": None, "cover": "within"})),
]
every_message = pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)


@every_message
def test_a_message_survives_the_queue(message: Message):
    text = json.dumps(message.model_dump(mode="json"))
    assert type(message).model_validate(json.loads(text)) == message
    assert type(message).model_validate_json(message.model_dump_json()) == message


@every_message
def test_a_message_names_its_version_and_another_version_is_refused(message: Message):
    fields = message.model_dump(mode="json")
    assert fields["version"] == 1
    with pytest.raises(ValidationError, match="version"):
        type(message).model_validate(fields | {"version": 2})


@every_message
def test_an_unknown_field_is_refused(message: Message):
    with pytest.raises(ValidationError, match="Extra inputs"):
        type(message).model_validate(message.model_dump(mode="json") | {"pixels": []})


@every_message
def test_a_field_that_is_missing_is_refused(message: Message):
    fields = message.model_dump(mode="json")
    del fields["run"]
    with pytest.raises(ValidationError, match="run"):
        type(message).model_validate(fields)


def test_an_unknown_field_deep_inside_is_refused():
    fields = MESSAGES[2].model_dump(mode="json")
    fields["patches"][0]["earlier"][0]["secret"] = "x"
    with pytest.raises(ValidationError, match="Extra inputs"):
        CutScene.model_validate(fields)


@pytest.mark.parametrize(
    "nuts",
    [
        "",
        "FR1",
        "FR1011",
        "fr101",
        "FR10_",
        "../..",
        "FR101\n",
        " FR101",
        "F٣101",
        "1R101",
        "FR/01",
        None,
        17,
    ],
)
def test_what_is_no_nuts3_code_is_refused(nuts):
    with pytest.raises(ValidationError, match="nuts"):
        AdvanceRegion(**(HEADER | {"nuts": nuts}))
    with pytest.raises(ValidationError, match="nuts"):
        RegionRequest(nuts=nuts, year=2021, start=date(2021, 5, 1), end=date(2021, 9, 30))


@pytest.mark.parametrize(
    "name",
    [
        "3755001_2887500_0_1",
        "3755000_2887400_0_1",
        "3755000_2887500_0",
        "3755000_2887500_0_-1",
        "03755000_2887500_0_1",
        "3755000_2887500_0_1.tif",
        "../3755000_2887500_0_1",
        "3755000_2887500_0_1\n",
        "٣755000_2887500_0_1",
        "-0_0_0_0",
        "",
    ],
)
def test_what_is_no_patch_on_the_grid_is_refused(name):
    with pytest.raises(ValidationError, match="name"):
        PatchWork(name=name)


def test_a_patch_west_of_the_origin_is_a_patch():
    assert PatchWork(name="-2500_0_0_0").name == "-2500_0_0_0"


@pytest.mark.parametrize(
    "path",
    [
        f"/Sentinel-2/{NAME}",
        f"../Sentinel-2/{NAME}",
        f"Sentinel-2/../../{NAME}",
        f"Sentinel-2/{NAME}/..",
        "..",
        "",
        "Sentinel-2/a b",
        "Sentinel-2/%2e%2e/x",
        "Sentinel-2\\..\\x",
        "Sentinel-2/x\n",
        "x" * 501,
    ],
)
def test_a_path_that_could_lead_out_of_the_bucket_is_refused(path):
    with pytest.raises(ValidationError, match="s3_path"):
        SceneRef.model_validate(SCENE.model_dump() | {"s3_path": path})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", "../../x"),
        ("id", ""),
        ("id", "67360f3a-f36b-11ef-9d3f-0050561a7772\n"),
        ("name", "S1A_IW_GRDH_1SDV"),
        ("name", NAME.lower()),
        ("name", f"../{NAME}"),
        ("baseline", [5]),
        ("sensed", "yesterday"),
    ],
)
def test_a_scene_that_is_none_is_refused(field, value):
    with pytest.raises(ValidationError, match=field):
        SceneRef.model_validate(SCENE.model_dump() | {field: value})


@pytest.mark.parametrize("message", [MESSAGES[2], MESSAGES[3], MESSAGES[4]], ids=["cut", "settle", "labels"])
def test_a_task_has_at_least_one_patch_and_not_more_than_a_region_can_have(message):
    fields = message.model_dump(mode="json")
    patch = fields["patches"][0] if isinstance(fields["patches"][0], str) else {"name": "0_0_0_0"}
    for wrong in ([], [patch] * (MAX_PATCHES + 1)):
        with pytest.raises(ValidationError, match="patches"):
            type(message).model_validate(fields | {"patches": wrong})
    assert (
        len(type(message).model_validate(fields | {"patches": [patch] * MAX_PATCHES}).patches) == MAX_PATCHES
    )


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("year", 2014),
        ("year", 2101),
        ("label_year", 1999),
        ("max_cloud", -0.1),
        ("max_cloud", 100.1),
        ("max_cloud", float("nan")),
        ("start", "05-01"),
        ("cover", "touches"),
        ("composite", "mean"),
    ],
)
def test_a_request_out_of_bounds_is_refused(field, value):
    with pytest.raises(ValidationError, match=field):
        RegionRequest.model_validate(REQUEST.model_dump() | {field: value})


def test_a_message_cannot_be_changed_once_it_is_made():
    with pytest.raises(ValidationError, match="frozen"):
        REQUEST.year = 2020


def test_a_region_is_named_alike_by_the_request_and_by_every_message_of_the_run():
    assert REQUEST.key == MESSAGES[1].region == "FR101/2021"


def test_a_message_for_many_patches_stays_small():
    patches = tuple(f"{2500 * n}_2887500_0_{n}" for n in range(1000))
    message = FetchLabels(**HEADER, label_year=2021, block=0, patches=patches)
    assert len(message.model_dump_json()) < 40_000


requests = st.builds(
    RegionRequest,
    nuts=st.just("FR101"),
    year=st.just(2021),
    label_year=st.sampled_from([None, 2018, 2021]),
    max_cloud=st.integers(0, 100),
    start=st.dates(date(2021, 1, 1), date(2021, 6, 30)),
    end=st.dates(date(2021, 7, 1), date(2021, 12, 31)),
    cover=st.sampled_from(["intersects", "within"]),
    composite=st.sampled_from(["best", "median"]),
)


@given(requests, requests)
def test_two_images_have_one_recipe_just_when_days_cloud_and_composite_are_the_same(one, other):
    facts = [(asked.start, asked.end, asked.max_cloud, asked.composite) for asked in (one, other)]
    assert (one.image_recipe("cdse") == other.image_recipe("cdse")) == (facts[0] == facts[1])
    assert one.image_recipe("cdse") != one.image_recipe("sandbox")


@pytest.mark.parametrize(
    ("message", "field", "value"),
    [
        (MESSAGES[0], "run", ""),
        (MESSAGES[0], "run", "x" * 41),
        (MESSAGES[0], "run", "FR101/2021"),
        (MESSAGES[1], "run", "a b"),
        (MESSAGES[1], "year", 1),
        (MESSAGES[1], "year", 3000),
        (MESSAGES[1], "round", -1),
        (MESSAGES[1], "round", 101),
        (MESSAGES[2], "recipe", "x" * 501),
        (MESSAGES[3], "block", -1),
        (MESSAGES[4], "block", MAX_PATCHES + 1),
        (MESSAGES[4], "label_year", 1999),
        (MESSAGES[4], "label_year", 10**400),
    ],
)
def test_a_field_out_of_bounds_is_refused(message, field, value):
    with pytest.raises(ValidationError, match=field):
        type(message).model_validate(message.model_dump() | {field: value})


@pytest.mark.parametrize(
    ("field", "value"),
    [("sensed", "2021-06-01T10:50:31"), ("baseline", [5, 100]), ("baseline", [-1, 0])],
)
def test_a_scene_whose_time_or_baseline_cannot_be_compared_is_refused(field, value):
    with pytest.raises(ValidationError, match=field):
        SceneRef.model_validate(SCENE.model_dump() | {field: value})


def test_a_message_names_no_more_scenes_than_a_run_can_have():
    fields = MESSAGES[2].model_dump(mode="json")
    scene = fields["scene"]
    with pytest.raises(ValidationError, match="earlier"):
        CutScene.model_validate(fields | {"patches": [{"name": "0_0_0_0", "earlier": [scene] * 101}]})
    patches = [{"name": "0_0_0_0", "earlier": [scene] * 100}] * 2001
    with pytest.raises(ValidationError, match="200000 scenes"):
        CutScene.model_validate(fields | {"patches": patches})
    assert len(CutScene.model_validate(fields | {"patches": patches[:2000]}).patches) == 2000


def test_a_request_that_ends_before_it_starts_is_refused():
    with pytest.raises(ValidationError, match="starts after its end"):
        RegionRequest.model_validate(REQUEST.model_dump() | {"start": date(2021, 10, 1)})


@every_message
def test_who_watches_the_queues_reads_the_region_and_no_long_list(message: Message):
    big = message
    if isinstance(message, CutScene):
        names = [f"{2500 * col}_0_0_{col}" for col in range(1900)]
        big = message.model_copy(update={"patches": tuple(PatchWork(name=name) for name in names)})
    described = describe_message(big)
    assert "FR101/2021" in described
    assert len(described) < 200


def test_region_tile_and_day_of_a_product_are_read_at_a_glance():
    message = CutScene(**HEADER, recipe="x", composite="best", scene=SCENE, patches=(WORK,))
    assert describe_message(message) == f"FR101/2021 T31UDQ 2021-06-01, round 1, 1 patches, {NAME}"
