"""PyTorch: the same pixels as float32 and int64, through DataLoader workers of every kind."""

import pytest

import landpatch
from landpatch.errors import PermanentError, RequestError
from tests.torch_needed import need_torch
from tests.training_sets import PARIS


@pytest.fixture(autouse=True)
def _torch():
    need_torch()


def test_a_sample_has_the_pixels_of_its_pair(paris):
    import torch

    labelled = paris.select(labelled=True)
    samples = labelled.to_torch()
    assert isinstance(samples, torch.utils.data.Dataset)
    assert len(samples) == 3
    for number, pair in enumerate(labelled):
        sample = samples[number]
        assert set(sample) == {"image", "mask", "patch"}
        assert (sample["image"].dtype, sample["mask"].dtype) == (torch.float32, torch.int64)
        assert (sample["image"].numpy() == pair.image.astype("float32")).all()
        assert (sample["mask"].numpy() == pair.label).all()
        assert sample["patch"] == pair.patch


def test_bands_are_chosen_by_name_in_the_order_given(paris):
    image = paris.to_torch(["NDVI", "B2", "B8A"], labels=False)[0]["image"]
    assert [round(float(band.mean())) for band in image] == [12, 1, 8]


@pytest.mark.parametrize("bands", [["B10"], [], ["B2", 3], "B"])
def test_an_unknown_band_is_refused(paris, bands):
    with pytest.raises(RequestError, match="bands are B1 B2"):
        paris.to_torch(bands, labels=False)


def test_a_transform_makes_what_it_wants_of_a_sample(paris):
    samples = paris.to_torch(labels=False, transform=lambda sample: sample["patch"])
    assert [samples[number] for number in range(4)] == [entry.patch for entry in paris.entries]


def test_patches_without_a_label_are_counted_before_any_is_read(paris):
    with pytest.raises(RequestError, match=r"1 of 4 patches have no label: take select\(labelled=True\)"):
        paris.to_torch()


def test_where_no_index_tells_a_missing_label_is_found_when_it_is_read(public):
    samples = landpatch.open(public, "LU000/2024").to_torch()
    with pytest.raises(PermanentError, match=r"has no label: take select\(labelled=True\)"):
        samples[0]


@pytest.mark.parametrize(("workers", "start"), [(0, None), (2, "fork"), (2, "spawn")])
def test_a_loader_gives_every_patch_once(paris, workers, start):
    import torch

    loader = torch.utils.data.DataLoader(
        paris.to_torch(labels=False),
        batch_size=2,
        shuffle=True,
        num_workers=workers,
        multiprocessing_context=start,
    )
    for _ in range(2):
        batches = list(loader)
        assert [tuple(batch["image"].shape) for batch in batches] == [(2, 14, 250, 250)] * 2
        assert sorted(patch for batch in batches for patch in batch["patch"]) == sorted(PARIS)
