"""Pauses and message ids."""

import pytest

from landpatch.broker import PRIORITIES, queue_keys
from landpatch.celery import SERVED_FIRST, message_id, read_message_id
from landpatch.ledger import Overdue
from landpatch.messages import (
    AdvanceRegion,
    CutScene,
    FetchLabels,
    PatchWork,
    PlanRegion,
    RegionRequest,
    SceneRef,
    SettlePatches,
    WriteIndex,
    dump_message,
    load_message,
)
from landpatch.tasks import pause_s

REQUEST = RegionRequest(nuts="FR101", year=2021, start="2021-05-01", end="2021-09-30")
ROUND = {"run": "a1", "nuts": "FR101", "year": 2021, "round": 3}
CUT = {**ROUND, "recipe": "r", "composite": "best"}
SCENE = SceneRef(
    id="0b" * 16, name=f"S2A_MSIL2A_{'X' * 50}", s3_path="a/b", sensed="2021-06-01T10:00:00Z", baseline=(5, 0)
)
MESSAGES = [
    PlanRegion(run="a1", request=REQUEST),
    AdvanceRegion(**ROUND),
    AdvanceRegion(**ROUND, after="labels"),
    CutScene(
        **CUT,
        scene=SCENE,
        patches=(PatchWork(name="0_0_0_0", earlier=(SCENE,)), PatchWork(name="0_2500_0_1")),
    ),
    SettlePatches(**CUT, block=2, patches=(PatchWork(name="0_0_0_0"),)),
    FetchLabels(**ROUND, label_year=2021, block=7, patches=("0_0_0_0",)),
    WriteIndex(run="a1", request=REQUEST),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message.task)
def test_a_messages_id_says_which_task_it_asks_for_and_is_new_each_time(message):
    first, second = message_id(message), message_id(message)
    assert first != second
    assert read_message_id(first) == Overdue("FR101/2021", "a1", message.kind, message.task)


@pytest.mark.parametrize(
    "text", ["", "d4d0-11", "FR101-2021.a1.images.1:b", "FR101-2021.a1.other.plan.c", "a.b.c.d.e.f"]
)
def test_another_id_is_none_of_ours(text):
    assert read_message_id(text) is None


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message.task)
def test_a_message_that_is_kept_comes_back_as_it_was(message):
    assert load_message(dump_message(message)) == message


def test_a_patch_of_which_nothing_is_kept_is_its_name_alone():
    dumped = MESSAGES[3].model_dump(mode="json")["patches"]
    assert dumped[0].keys() == {"name", "earlier"}
    assert dumped[1] == "0_2500_0_1"


def test_pauses_grow_up_to_the_longest_and_differ():
    means = [sum(pause_s(failures, 10, 30) for _ in range(400)) / 400 for failures in range(1, 7)]
    assert means == pytest.approx([10, 30, 90, 270, 300, 300], rel=0.05)
    pauses = {pause_s(1, 10, 30) for _ in range(200)}
    assert len(pauses) > 100
    assert all(8 <= pause <= 12 for pause in pauses)


def test_there_is_a_list_for_every_priority():
    assert queue_keys("images") == ["images", "images\x06\x163", "images\x06\x166", "images\x06\x169"]
    assert len(PRIORITIES) == len(SERVED_FIRST) + 1
