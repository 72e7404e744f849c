"""Pictures: each colour is known without the code that made it."""

import io

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image

from landpatch import picture
from landpatch.legend import LAND_COVER, STATE_COLOURS, parse_colour
from landpatch.picture import encode_png, encode_webp, find_white, is_observed

B2, B3, B4, B8, NDVI, NDWI = 1, 2, 3, 7, 12, 13


def make_image(height=10, width=10):
    """Observed everywhere, 0.01 in every band."""
    return np.full((14, height, width), 0.01)


def test_white_is_the_98th_percentile_of_the_three_bands_together_and_brighter_is_clipped():
    image = make_image()
    # 300 values: 0, 1, … 299 thousandths; numpy's percentile interpolates, so 98 % lies at 293.02.
    image[[B4, B3, B2]] = np.arange(300).reshape(3, 10, 10) / 1000
    shown = picture.true_color(image)
    assert shown.shape == (10, 10, 4)
    assert shown.dtype == np.uint8
    assert shown[5, 7].tolist() == [
        round(57 / 293.02 * 255),
        round(157 / 293.02 * 255),
        round(257 / 293.02 * 255),
        255,
    ]
    assert shown[9, 9, 2] == 255


@pytest.mark.parametrize(
    ("draw", "bands"), [(picture.true_color, (B4, B3, B2)), (picture.false_color, (B8, B4, B3))]
)
def test_a_composite_takes_its_bands_in_order_and_its_white_from_outside(draw, bands):
    image = make_image()
    for band, value in zip(bands, (0.1, 0.2, 0.4), strict=True):
        image[band] = value
    assert draw(image, white=0.5)[3, 3].tolist() == [51, 102, 204, 255]


def test_a_dark_pixel_below_zero_is_black_and_not_wrapped_around():
    image = make_image()
    image[B4, 0, 0] = -0.02
    assert picture.true_color(image, white=0.05)[0, 0].tolist() == [0, 51, 51, 255]


def test_what_was_not_observed_is_transparent_and_does_not_count_for_the_stretch():
    image = make_image()
    image[:, :9] = 0
    for draw in (picture.true_color, picture.false_color, picture.ndvi, picture.ndwi):
        shown = draw(image)
        assert not shown[:9].any()
        assert (shown[9, :, 3] == 255).all()
    assert find_white(image[[B4, B3, B2]], is_observed(image)) == pytest.approx(0.01)


def test_an_image_without_any_observation_gives_a_transparent_picture():
    nothing = np.zeros((14, 4, 5))
    for draw in (picture.true_color, picture.false_color, picture.ndvi, picture.ndwi):
        assert not draw(nothing).any()


def test_ndvi_is_shown_on_the_colours_of_rdylgn_from_minus_one_to_one():
    image = make_image(1, 2001)
    image[NDVI, 0] = np.linspace(-1, 1, 2001)
    shown = picture.ndvi(image)[0, :, :3].astype(int)
    known = mpl.colormaps["RdYlGn"](np.linspace(0, 1, 2001), bytes=True)[:, :3].astype(int)
    assert np.abs(shown - known).max() <= 1
    assert shown[0].tolist() == [165, 0, 38]
    assert shown[-1].tolist() == [0, 104, 55]


def test_ndwi_is_brown_where_it_is_dry_and_blue_on_water():
    image = make_image(1, 2)
    image[NDWI, 0] = (-0.8, 0.8)
    dry, water = picture.ndwi(image)[0, :, :3].tolist()
    assert np.abs(np.subtract(dry, (140, 81, 10))).max() <= 1
    assert np.abs(np.subtract(water, (33, 102, 172))).max() <= 1


def test_each_class_has_its_colour_and_no_label_is_transparent():
    label = np.array([[0, 1, 2, 3, 4, 5], [6, 7, 8, 9, 10, 11]], dtype="uint8")
    assert picture.classes(label).tolist() == [
        [[0, 0, 0, 0], [255, 1, 0, 255], [35, 139, 35, 255], [128, 255, 0, 255], [0, 255, 0, 255],
         [128, 64, 0, 255]],
        [[204, 242, 78, 255], [254, 255, 128, 255], [255, 129, 255, 255], [191, 191, 191, 255],
         [0, 128, 255, 255], [0, 255, 255, 255]],
    ]  # fmt: skip
    assert not picture.classes(np.array([[12, 253, 255]], dtype="uint8")).any()


def test_a_png_is_read_back_as_it_was():
    rgba = np.random.default_rng(1).integers(0, 256, (7, 5, 4), dtype="uint8")
    with Image.open(io.BytesIO(encode_png(rgba))) as read:
        assert read.format == "PNG"
        assert np.asarray(read.convert("RGBA")).tolist() == rgba.tolist()


def test_a_webp_without_a_quality_keeps_every_pixel_that_is_seen_and_one_with_it_the_alpha():
    rgba = np.random.default_rng(1).integers(0, 256, (16, 12, 4), dtype="uint8")
    rgba[..., 3] = 255
    rgba[:4] = 0
    for quality in (None, 80):
        with Image.open(io.BytesIO(encode_webp(rgba, quality))) as read:
            shown = np.asarray(read.convert("RGBA"))
        assert shown[..., 3].tolist() == rgba[..., 3].tolist()
        assert (shown.tolist() == rgba.tolist()) == (quality is None)


def test_every_class_and_state_has_a_colour_of_its_own():
    assert [cover.number for cover in LAND_COVER] == list(range(1, 12))
    assert len({cover.colour for cover in LAND_COVER}) == 11
    assert len(set(STATE_COLOURS.values())) == len(STATE_COLOURS)


@pytest.mark.parametrize("colour", ["red", "#12345", "#1234567", "#12345g"])
def test_what_is_no_colour_is_refused(colour):
    with pytest.raises(ValueError, match=r"colour|hex"):
        parse_colour(colour)
