"""Which products a region gets, and how far they are."""

import json
from pathlib import Path

import pytest

from services.sandbox.prepare import plan_work, read_progress


def test_a_small_region_meets_every_case():
    scenes = [scene for scene, _ in plan_work("FR101", 2021)]
    assert {scene.tile.id for scene in scenes} == {"31UDQ"}
    assert {scene.cut for scene in scenes} == {"none", "edge", "north", "south"}
    assert {scene.online for scene in scenes} == {True, False}
    twice = [
        scene for scene in scenes if sum(other.datatake[:-7] == scene.datatake[:-7] for other in scenes) > 1
    ]
    assert len({scene.baseline for scene in twice}) == 2
    covers = [scene.cloud_cover() for scene in scenes]
    assert min(covers) < 10
    assert max(covers) > 60


def test_a_large_region_gets_fewer_dates_in_all_its_tiles():
    work = plan_work("LU000", 2021)
    assert {scene.tile.id for scene, _ in work} == {"31UFQ", "31UFR", "31UGQ", "31UGR", "32ULA", "32ULV"}
    for tile in {scene.tile.id for scene, _ in work}:
        dates = {scene.sensed.date() for scene, _ in work if scene.tile.id == tile}
        assert 3 <= len(dates) <= 4


def test_names_are_those_of_real_products():
    [name] = [scene.name for scene, _ in plan_work("FR101", 2021) if scene.sky.cover == 0.08]
    assert name == "S2B_MSIL2A_20210615T104231_N0301_R050_T31UDQ_20210615T140733.SAFE"


@pytest.mark.parametrize(("region", "year"), [("XX999", 2021), ("FR101", 1999)])
def test_what_cannot_be_had_is_refused(region, year):
    with pytest.raises(ValueError, match=f"{region}|{year}"):
        plan_work(region, year)


def test_a_run_that_was_killed_counts_as_failed(tmp_path: Path):
    assert read_progress("FR101", 2021, tmp_path).state == "absent"
    note = tmp_path / "prepare" / "FR101_2021.json"
    note.parent.mkdir()
    progress = {"state": "running", "done": 2, "total": 9, "message": "", "pid": 2**22 + 1}
    note.write_text(json.dumps(progress))
    assert read_progress("FR101", 2021, tmp_path).state == "failed"
    note.write_text(json.dumps(progress | {"state": "done"}))
    assert read_progress("FR101", 2021, tmp_path).state == "done"
