"""The policies of docs/security.md grant what the code asks of the two stores, and nothing else."""

import json
import re
from contextlib import suppress
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from landpatch.errors import LandpatchError
from landpatch.layout import RegionLayout, probe_key
from landpatch.quota import Governor, Quota
from landpatch.sources.eodata import EOData
from landpatch.storage import S3Store, make_s3_client

pytestmark = pytest.mark.stack

TEXT = (Path(__file__).parents[2] / "docs" / "security.md").read_text()
DESTINATION, EO = map(json.loads, re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL))
ACTIONS = {
    "ListObjectsV2": "s3:ListBucket",
    "GetObject": "s3:GetObject",
    "PutObject": "s3:PutObject",
    "DeleteObject": "s3:DeleteObject",
}
"""What an operation needs; source: Amazon S3, "Actions, resources, and condition keys"."""
PATCH, SCENE = "3757500_2887500_0_20", "67360f3a-f36b-11ef-9d3f-0050561a7772"


def granted(policy):
    """Every action and where it may be done."""
    return {
        (action, resource)
        for statement in policy["Statement"]
        for action in statement["Action"]
        for resource in statement["Resource"]
    }


def noting(client):
    """The operations that a client is asked for, from now on."""
    asked = set()
    client.meta.events.register("before-call.s3", lambda model, **_: asked.add(model.name))
    return asked


def test_nothing_is_granted_on_everything():
    for policy in (DESTINATION, EO):
        assert all(statement["Effect"] == "Allow" for statement in policy["Statement"])
        for action, resource in granted(policy):
            assert "*" not in action
            assert resource.startswith(("arn:aws:s3:::landpatch", "arn:aws:s3:::eodata"))
            assert resource.count("*") == (0 if action == "s3:ListBucket" else 1)


def test_the_destination_store_is_asked_for_what_its_policy_grants_and_for_nothing_else(s3):
    client = make_s3_client(s3.endpoint, s3.key, s3.secret)
    asked = noting(client)
    store = S3Store(client, s3.bucket, s3.endpoint)
    store.check()
    store.put("policy/x", b"x")
    store.get("policy/x")
    list(store.find("policy/"))
    store.delete("policy/x")
    assert {ACTIONS[name] for name in asked} == {action for action, _ in granted(DESTINATION)}


def test_every_key_is_where_the_policy_lets_it_be_written_and_only_what_is_not_kept_is_removed():
    layout = RegionLayout("data", "FR101", 2021)
    fleeting = [layout.observation(PATCH, SCENE, "best"), layout.label_note(b"{}"), probe_key("data")]
    kept = [
        layout.image(PATCH),
        layout.label(PATCH),
        layout.patches,
        layout.filename2bbox,
        layout.normalization,
    ]

    def may(action, key):
        return any(
            fnmatchcase(f"arn:aws:s3:::landpatch/{key}", resource)
            for granted_action, resource in granted(DESTINATION)
            if granted_action == action
        )

    for key in (*kept, *fleeting):
        assert may("s3:GetObject", key)
        assert may("s3:PutObject", key)
        assert may("s3:DeleteObject", key) == (key in fleeting)
    assert not may("s3:PutObject", "elsewhere/x")


def test_the_eo_data_store_is_asked_for_what_its_policy_grants_and_for_nothing_else(s3, redis_client):
    client = make_s3_client(s3.endpoint, s3.key, s3.secret, retries=0)
    asked = noting(client)
    governor = Governor(redis_client, "policy", Quota(4, 10**9, 10**6, 10**12))
    eodata = EOData(client, s3.endpoint, governor)
    for ask in (
        eodata.check,
        lambda: eodata.find_files("Sentinel-2/MSI/L2A/x.SAFE", "x"),
        lambda: eodata.read("Sentinel-2/MSI/L2A/x.SAFE/MTD_MSIL2A.xml", 10),
    ):
        with suppress(LandpatchError):  # this server has no such bucket; what counts is what it was asked
            ask()
    assert {ACTIONS[name] for name in asked} == {action for action, _ in granted(EO)}
