"""`landpatch.preview` and `landpatch.report` on a region in a real store, whose pixels are known."""

import io
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from shapely.geometry import box

import landpatch
from landpatch.errors import ConfigurationError, RequestError
from landpatch.layout import RegionLayout
from tests.contract.paris import LAYOUT, NOTRE_DAME, make_settings, read_boundary, store_region
from tests.environment import clean_environment

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
def settings(s3, data):
    return make_settings(s3, data)


@pytest.fixture(scope="module", autouse=True)
def region(s3, data):
    return store_region(s3, data)


def read_panel(png, row, col):
    """One panel of a preview as (250, 250, 3): each of its pixels is drawn as 2 x 2."""
    with Image.open(io.BytesIO(png)) as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    top, left = 76 + row * 560 + 26, 24 + col * 524
    return pixels[top : top + 500 : 2, left : left + 500 : 2]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_panels_of_a_preview_show_the_pixels_in_their_colours(settings, region, here):
    shown = landpatch.preview(region[0].patch, settings=settings)
    assert shown.path.resolve() == here / f"FR101-2021-{region[0].patch}.png"
    assert shown.path.read_bytes() == shown.png == shown._repr_png_()
    panels = {
        # Row and column of the panel, colours of the left and the right half: white is 0.4.
        (0, 0): ((255, 255, 255), (64, 128, 255)),
        (0, 1): ((255, 255, 255), (191, 64, 128)),
        (0, 2): ((255, 1, 0), (0, 128, 255)),
        (1, 0): ((255, 255, 191), (134, 203, 103)),
        (1, 1): ((245, 245, 245), (246, 232, 195)),
    }
    for place, halves in panels.items():
        panel = read_panel(shown.png, *place)
        for columns, colour in zip((slice(5, 120), slice(130, 245)), halves, strict=True):
            found = np.median(panel[20:230, columns], axis=(0, 1))
            assert np.abs(found - colour).max() <= (2 if place[0] else 1), place
        assert np.abs(panel[243:247, 5:245] - 0xEF).max() <= 1, "what was not observed is grey"


def test_a_point_leads_to_the_patch_that_holds_it_and_an_output_is_obeyed(settings, region, here):
    holder = landpatch.preview(NOTRE_DAME, settings=settings, output="mine.png")
    assert holder.path.name == "mine.png"
    xmin, ymin, *_ = map(int, holder.patch.split("_"))
    # Notre-Dame in EPSG:3035.
    assert xmin <= 3760300 < xmin + 2500
    assert ymin <= 2889600 < ymin + 2500
    (here / "folder").mkdir()
    inside = landpatch.preview(holder.patch + ".tif", nuts="fr101", settings=settings, output=here / "folder")
    assert inside.path == here / "folder" / f"FR101-2021-{holder.patch}.png"


def test_the_boundary_of_the_region_is_drawn_over_a_patch_at_its_edge(settings, region, here, data):
    boundary = read_boundary(data).boundary
    dark = {}
    for row in region[:6]:
        xmin, ymin, *_ = map(int, row.patch.split("_"))
        cut = boundary.intersection(box(xmin + 50, ymin + 200, xmin + 1200, ymin + 2450))
        panel = read_panel(landpatch.preview(row.patch, settings=settings).png, 1, 0)
        left = panel[5:230, 5:120]
        dark[row.patch] = ((left.max(axis=-1) < 60).any(), cut.length > 100)
    assert any(crossed for _, crossed in dark.values())
    assert all(drawn == crossed for drawn, crossed in dark.values()), dark


def test_a_patch_without_a_label_says_why_and_is_shown(settings, region, here):
    shown = landpatch.preview(region[6].patch, settings=settings)
    assert np.abs(np.median(read_panel(shown.png, 0, 2)[:100], axis=(0, 1)) - 0xEF).max() <= 1


@pytest.mark.parametrize(
    ("place", "options", "says"),
    [
        ("nonsense", {}, "neither a patch"),
        ("48.85,92.35", {}, "no longitude and latitude"),
        ("48.853,2.3499", {}, "lies in no NUTS3 region; a point is longitude, then latitude"),
        (NOTRE_DAME, {"year": 2018}, "FR101/2018 has no index; build it"),
        (NOTRE_DAME, {"year": 1999}, "no Sentinel-2 images of 1999"),
        (NOTRE_DAME, {"nuts": "FR109"}, "near are FR101"),
        ("6.13,49.61", {}, "LU000/2021 has no index"),
        ("2500_2500_0_0", {}, "lies in no NUTS3 region"),
    ],
)
def test_what_is_not_there_is_said_in_one_line_and_nothing_is_written(settings, here, place, options, says):
    with pytest.raises(RequestError, match=re.escape(says)) as raised:
        landpatch.preview(place, settings=settings, **options)
    assert "\n" not in str(raised.value)
    assert not list(here.iterdir())


def test_a_missing_patch_is_not_drawn_but_says_why_it_is_missing(settings, region, here):
    with pytest.raises(RequestError, match="is missing: no <i>product</i>"):
        landpatch.preview(region[7].patch, settings=settings)
    assert not list(here.iterdir())


def test_a_store_that_is_set_is_looked_at_without_starting_anything(s3, data, here):
    environment = clean_environment(
        AWS_S3_ENDPOINT=s3.endpoint,
        AWS_ACCESS_KEY_ID=s3.key.get_secret_value(),
        AWS_SECRET_ACCESS_KEY=s3.secret.get_secret_value(),
        LANDPATCH_BUCKET=s3.bucket,
        LANDPATCH_PREFIX="views",
        LANDPATCH_NUTS_URL=str(data / "boundaries.geojson"),
        LANDPATCH_STATE_DIR=str(here / "state"),
    )
    command = [Path(sys.executable).parent / "landpatch", "preview", NOTRE_DAME]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert [path.name for path in here.iterdir()] == ran.stdout.split()


@pytest.mark.parametrize("view", [landpatch.preview, landpatch.map, landpatch.report])
def test_an_output_that_cannot_be_is_found_before_anything_is_drawn(settings, here, view):
    what = NOTRE_DAME if view is landpatch.preview else "FR101"
    with pytest.raises(ConfigurationError, match="there is no folder"):
        view(what, settings=settings, output=here / "nowhere" / "deep" / "x")
    assert not list(here.iterdir())


def test_a_report_is_a_page_and_a_text_with_the_same_numbers(settings, region, here):
    written = landpatch.report("fr101", settings=settings)
    assert written.folder.resolve() == here / "FR101-2021-report"
    page, text = written.html.read_text(), written.markdown.read_text()
    for told in ("FR101", "SANDBOX", "CLC+ Backbone 2021", "2021-05-11", "S2B", "05.00"):
        assert told in page
        assert told in text
    # 7 images of 8 patches; 6 labels of 240 rows, half sealed, half water.
    assert "<b>8</b>patches" in page
    assert "8 patches, 7 images, 6 labels" in text
    assert "| 1 Sealed | 180,000 | 50.0 % | 6 |" in text
    assert re.search(r"10 Water</td><td class=\"n\">180,000</td><td class=\"n\">50.0 %", page)
    assert "| missing | 1 | 12.5 % |" in text
    assert "Lichens and mosses (8) is absent" in page
    assert any("Lichens and mosses (8) is absent" in warning for warning in written.warnings)
    assert re.search(r"\| clear \| 97\.0 % \| 97\.0 % \| 97\.0 % \| 97\.0 % \|", text)


def test_a_report_shows_its_pictures_and_what_comes_out_of_files_only_as_text(settings, region, here):
    written = landpatch.report("FR101", settings=settings, output=here)
    page, text = written.html.read_text(), written.markdown.read_text()
    names = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", text)
    assert names == ["states.png", "histograms.png", "contact-sheet.jpg"]
    for name in names:
        with Image.open(written.folder / name) as picture:
            assert picture.width == 1300
    assert page.count('src="data:image/') == 3
    assert not re.search(r"""(src|href)=(?!"data:)""", page)
    assert "<b>first</b>" not in page
    assert "| `S2A_<b>first</b>` |" in text
    assert "no &lt;i&gt;product&lt;/i&gt; | covers it" in page
    assert "no \\<i\\>product\\</i\\> \\| covers it" in text


@pytest.fixture
def other_map(s3, data):
    """The same region in another year, with labels of a map that is not CLC+ Backbone."""
    layout = RegionLayout(LAYOUT.prefix, "FR101", 2018)
    names = {1: "Roofs of $x^$", 10: "<i>Lake</i> | pond"}
    return store_region(s3, data, layout, "raster=city.tif;classes=0123;nearest", names)


def test_labels_of_another_map_are_shown_under_their_own_names(settings, other_map, here):
    written = landpatch.report("FR101", year=2018, settings=settings)
    page, text = written.html.read_text(), written.markdown.read_text()
    for told in (page, text):
        assert "city.tif 2021" in told
        assert "CLC+" not in told
        assert "Lichens" not in told
    assert "| 1 Roofs of $x^$ | 180,000 | 50.0 % | 6 |" in text
    assert "| 10 \\<i\\>Lake\\</i\\> \\| pond | 180,000 |" in text
    assert "10 &lt;i&gt;Lake&lt;/i&gt; | pond</td>" in page
    assert "CLC+" not in landpatch.map("FR101", year=2018, settings=settings).path.read_text()
    shown = landpatch.preview(other_map[0].patch, year=2018, settings=settings)
    assert (np.median(read_panel(shown.png, 0, 2)[:200, :120], axis=(0, 1)) == (255, 1, 0)).all()


def test_the_contact_sheet_shows_pairs_in_one_stretch(settings, region, here):
    written = landpatch.report("FR101", settings=settings)
    with Image.open(written.folder / "contact-sheet.jpg") as sheet:
        pixels = np.asarray(sheet.convert("RGB")).astype(int)
    for colour, count in (((64, 128, 255), 7), ((0, 128, 255), 6)):
        near = (np.abs(pixels - colour).max(axis=-1) <= 12).sum()
        # Each is half of a picture of some 140 pixels.
        assert near > count * 140 * 50, colour
