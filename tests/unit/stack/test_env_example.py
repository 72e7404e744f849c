"""`.env.example` names every setting, with the default that the code has."""

import re

from pydantic_core import PydanticUndefined

from landpatch.settings import Settings
from tests.environment import ROOT

NO_SETTINGS = {"LANDPATCH_STATE_DIR", "LANDPATCH_LOG", "COMPOSE_PROFILES", "FLOWER_BASIC_AUTH"}
"""Read before there are settings, or by others."""
NOT_FOR_USERS = {"LANDPATCH_SOURCE"}
"""Set by the embedded stack."""


def test_every_setting_is_there_and_no_other():
    named = set(re.findall(r"^# ([A-Z0-9_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    known = {str(field.alias) for field in Settings.model_fields.values()}
    assert named == known - NOT_FOR_USERS | NO_SETTINGS


def test_the_defaults_are_those_of_the_code():
    text = (ROOT / ".env.example").read_text()
    shown = dict(re.findall(r"^# ([A-Z0-9_]+)=(\S+)$", text, re.MULTILINE))
    defaults = {
        str(field.alias): str(field.default)
        for field in Settings.model_fields.values()
        if field.default not in (None, PydanticUndefined)
    }
    for name in shown.keys() & defaults.keys():
        assert shown[name] == defaults[name], name
