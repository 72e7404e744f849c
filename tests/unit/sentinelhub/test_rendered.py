"""What is rendered becomes observations: reflectances, clarity, places."""

from datetime import UTC, datetime

import numpy as np
import pytest

from landpatch.messages import SceneRef
from landpatch.patch import Patch
from landpatch.processing_units import count_units
from landpatch.sources.sentinelhub import Rendering, write_request
from services.image_worker.rendered import cut_observation

SCENE = SceneRef(
    id="00000000-0000-0000-0000-000000000001",
    name="S2A_MSIL2A_20230601T105031_N0510_R051_T31UDQ_20230601T165000.SAFE",
    s3_path="Sentinel-2/MSI",
    sensed=datetime(2023, 6, 1, 10, 50, 31, tzinfo=UTC),
    baseline=(5, 10),
)
WEST, EAST = Patch(0, 3_757_500, 2_887_500, 0), Patch(1, 3_760_000, 2_887_500, 0)
SOUTH = Patch(0, 3_757_500, 2_885_000, 0)
BOUNDS = (3_757_500, 2_885_000, 3_762_500, 2_890_000)


def rendering(numbers=5000, classes=4):
    return Rendering(
        np.full((12, 500, 500), numbers, dtype="uint16"), np.full((500, 500), classes, dtype="uint8")
    )


@pytest.mark.parametrize(
    ("baseline", "reflectance"), [((2, 14), 0.5), ((3, 1), 0.5), ((4, 0), 0.4), ((5, 9), 0.4)]
)
def test_the_offset_goes_by_the_baseline(baseline, reflectance):
    scene = SCENE.model_copy(update={"baseline": baseline})
    seen = cut_observation(rendering(), BOUNDS, WEST, scene)
    assert seen.reflectance == pytest.approx(reflectance)
    assert seen.reflectance.shape == (12, 250, 250)
    assert seen.scene_id == SCENE.id


def test_values_below_zero_stay():
    assert cut_observation(rendering(400), BOUNDS, WEST, SCENE).reflectance == pytest.approx(-0.06)


def test_each_patch_gets_its_own_part():
    made = rendering()
    made.numbers[:] = 1000 + np.arange(500)[:, None] + 500 * (np.arange(500) >= 250)
    for patch, row, col in ((WEST, 0, 0), (EAST, 0, 250), (SOUTH, 250, 0)):
        seen = cut_observation(made, BOUNDS, patch, SCENE)
        expected = (made.numbers[:, row : row + 250, col : col + 250].astype(float) - 1000) / 10_000
        assert np.array_equal(seen.reflectance, expected)


def test_a_pixel_that_any_band_lacks_is_unseen_and_a_patch_of_them_is_nothing():
    made = rendering()
    made.numbers[7, 3, 4] = 0
    seen = cut_observation(made, BOUNDS, WEST, SCENE)
    assert seen.clarity[3, 4] == 0
    assert not seen.reflectance[:, 3, 4].any()
    assert np.count_nonzero(seen.clarity == 0) == 1
    assert cut_observation(rendering(0, 0), BOUNDS, WEST, SCENE) is None


@pytest.mark.parametrize("scene_class", range(12))
def test_clear_is_what_the_scene_classification_calls_so(scene_class):
    seen = cut_observation(rendering(classes=scene_class), BOUNDS, WEST, SCENE)
    assert set(np.unique(seen.clarity)) == {1 if scene_class in {0, 1, 3, 8, 9, 10} else 2}


def test_what_is_saturated_is_not_clear():
    made = rendering()
    made.numbers[2, 10, 20] = 65535
    seen = cut_observation(made, BOUNDS, WEST, SCENE)
    assert seen.clarity[10, 20] == 1
    assert np.count_nonzero(seen.clarity != 2) == 1


def test_a_request_asks_for_our_grid_and_for_numbers_as_they_are_stored():
    request = write_request(SCENE, BOUNDS)
    assert request["input"]["bounds"] == {
        "bbox": [3757500, 2885000, 3762500, 2890000],
        "properties": {"crs": "http://www.opengis.net/def/crs/EPSG/0/3035"},
    }
    assert (request["output"]["width"], request["output"]["height"]) == (500, 500)
    kernels = {entry["id"]: entry["processing"] for entry in request["input"]["data"]}
    assert kernels == {
        "bands": {"upsampling": "BILINEAR", "downsampling": "BILINEAR", "harmonizeValues": False},
        "classes": {"upsampling": "NEAREST", "downsampling": "NEAREST", "harmonizeValues": False},
    }
    times = {tuple(entry["dataFilter"]["timeRange"].values()) for entry in request["input"]["data"]}
    assert times == {("2023-06-01T10:49:31Z", "2023-06-01T11:35:31Z")}


@pytest.mark.parametrize(
    ("width", "height", "units"), [(512, 512, 26 / 3), (250, 250, 2.066), (2500, 2500, 206.6), (1, 1, 0.005)]
)
def test_processing_units_go_by_pixels_bands_and_sources(width, height, units):
    assert count_units(width, height) == pytest.approx(units, rel=1e-3)
