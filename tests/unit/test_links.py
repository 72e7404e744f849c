"""Whatever the documentation links to is there."""

import re

import pytest

from tests.environment import ROOT

LINK = re.compile(r"\]\((?![a-z]+:)([^)#\s]+)")
PAGES = [path.relative_to(ROOT).as_posix() for path in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("page", sorted(PAGES))
def test_a_page_links_to_nothing_that_is_not_there(page):
    folder = (ROOT / page).parent
    links = LINK.findall((ROOT / page).read_text())
    assert [link for link in links if not (folder / link).exists()] == []


def test_links_are_found():
    text = "![x](img/a.png) [y](b.md#c) [z](https://example.org) [w](#d)"
    assert LINK.findall(text) == ["img/a.png", "b.md"]
