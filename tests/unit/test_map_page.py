"""The page of a map: what it allows itself, and that nothing of what it tells becomes part of it."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import pytest
from shapely.geometry import box

from landpatch.errors import ConfigurationError
from landpatch.index import PatchRow
from landpatch.legend import CLCPLUS_LEGEND, make_legend
from landpatch.map_page import GISCO, MapPage, parse_base_map
from landpatch.tiles import Tile

HOSTILE = "</script><script>alert('x')</script><!--$policy"


class Elements(HTMLParser):
    """Every element of a page with its text."""

    def __init__(self, page):
        super().__init__()
        self.found, self.closed = [], False
        self.feed(page)

    def handle_endtag(self, _):
        self.closed = True

    def handle_starttag(self, tag, attributes):
        self.closed = False
        self.found.append((tag, dict(attributes), ""))

    def handle_data(self, text):
        if not self.found or self.closed:
            return
        tag, attributes, before = self.found[-1]
        self.found[-1] = (tag, attributes, before + text)

    def texts(self, tag):
        return [text for name, attributes, text in self.found if name == tag and "type" not in attributes]


def make_page(base_map=GISCO, name="Paris", reason="", source="cdse", legend=CLCPLUS_LEGEND):
    rows = [
        PatchRow("3757500_2887500_0_20", "missing", reason, None, None, reason),
        PatchRow("3760000_2887500_0_21", "failed", reason, None, None, ""),
    ]
    region = box(3_757_600, 2_887_600, 3_762_000, 2_889_900)
    tiles = [Tile("true", 14, 8298, 5633, b"picture"), Tile("label", 13, 4149, 2816, b"label")]
    return MapPage("FR101", name, 2021, source, region, rows, legend, tiles, base_map).render()


def read_data(page):
    return json.loads(
        re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)[1]
    )


def read_policy(page):
    (policy,) = (
        attributes["content"]
        for tag, attributes, _ in Elements(page).found
        if attributes.get("http-equiv") == "Content-Security-Policy"
    )
    return {name: set(values) for name, *values in (part.split() for part in policy.split(";"))}


def test_the_page_runs_its_own_scripts_and_styles_and_no_others():
    page = make_page()
    policy = read_policy(page)
    for tag, rule in (("script", "script-src"), ("style", "style-src")):
        digests = (hashlib.sha256(text.encode()).digest() for text in Elements(page).texts(tag))
        assert policy[rule] == {f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests}
    assert policy["default-src"] == {"'none'"}
    assert policy["img-src"] == {"data:", "https://gisco-services.ec.europa.eu"}


def test_without_a_base_map_the_page_may_fetch_nothing_at_all():
    page = make_page(base_map=None)
    assert read_policy(page)["img-src"] == {"data:"}
    assert read_data(page)["baseMap"] is None
    assert "gisco-services" not in page


def test_leaflet_is_in_the_page_with_its_licence():
    page = make_page()
    assert "BSD 2-Clause License" in page
    assert "Redistribution and use in source and binary forms" in page
    assert "sourceMappingURL" not in page
    assert not [
        attributes for _, attributes, _ in Elements(page).found if {"src", "href"} & attributes.keys()
    ]


def test_what_comes_out_of_files_is_data_and_never_part_of_the_page():
    page = make_page(name=HOSTILE, reason=HOSTILE)
    assert "alert('x')</script>" not in page
    assert len(Elements(page).texts("script")) == 2
    data = read_data(page)
    assert data["name"] == HOSTILE
    assert data["patches"][0]["reason"] == HOSTILE
    assert data["patches"][0]["labelReason"] == HOSTILE


def test_the_labels_of_another_map_have_its_name_and_not_the_credit_of_clc():
    assert "CLC+ Backbone: © European Union, EEA" in read_data(make_page())["credit"]
    data = read_data(make_page(legend=make_legend(["raster=city.tif;classes=1"], {1: "Roofs", 3: HOSTILE})))
    assert data["labelName"] == "city.tif"
    assert [(each["number"], each["name"]) for each in data["classes"]] == [(1, "Roofs"), (3, HOSTILE)]
    assert "CLC" not in data["credit"]


def test_patches_tiles_and_boundary_are_where_they_belong():
    data = read_data(make_page(source="sandbox"))
    assert data["sandbox"] is True
    assert (data["minNativeZoom"], data["maxZoom"]) == (13, 14)
    assert data["tiles"]["true"] == {"14/8298/5633": base64.b64encode(b"picture").decode()}
    assert data["tiles"]["false"] == {}
    assert data["counts"] == {"missing": 1, "failed": 1}
    # Notre-Dame lies in the second patch.
    lats, lons = zip(*data["patches"][1]["ring"], strict=True)
    assert min(lons) < 2.3499 < max(lons)
    assert min(lats) < 48.8530 < max(lats)
    assert data["bounds"][0][1] < min(lons)
    ((ring,),) = data["boundary"]
    assert len(ring) == 4
    assert all(48.8 < lat < 48.9 and 2.2 < lon < 2.5 for lat, lon in ring)


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://tile.openstreetmap.org/{z}/{x}/{y}.png", "https://tile.openstreetmap.org"),
        ("https://{s}.example.org/a/{z}/{y}/{x}?key=1", "https://*.example.org"),
        ("http://127.0.0.1:8000/{z}/{x}/{y}.png", "http://127.0.0.1:8000"),
    ],
)
def test_another_base_map_may_be_named(url, origin):
    page = make_page(base_map=parse_base_map(url))
    assert read_policy(page)["img-src"] == {"data:", origin}
    assert read_data(page)["baseMap"]["url"] == url


def test_no_base_map_is_asked_for_by_its_name():
    assert parse_base_map("none") is None


@pytest.mark.parametrize(
    "text",
    ["", "osm", "https://example.org/{z}/{x}.png", "file:///{z}/{x}/{y}",
     "https://a.org; script-src *{x}{y}{z}", 'https://a.org/{z}/{x}/{y}"><script>',
     "javascript:alert({x},{y},{z})"],
)  # fmt: skip
def test_what_is_no_base_map_is_refused(text):
    with pytest.raises(ConfigurationError, match="a base map is an address"):
        parse_base_map(text)
