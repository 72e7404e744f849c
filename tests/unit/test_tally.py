"""The numbers of a report, added up by hand."""

from dataclasses import replace

import numpy as np
import pytest

from landpatch.index import ImageFacts, LabelFacts, PatchRow
from landpatch.tally import Histograms, tally_region

IMAGE = ImageFacts(
    size=1000, etag="-", sha256="0" * 64, recipe="-", valid_fraction=1.0, clear_fraction=0.9,
    products=("S2A",), dates=("2021-06-01T10:50:31+00:00",), baselines=("05.00",), shares=(1.0,),
    band_mean=(0.2,) * 14, band_var=(0.01,) * 14,
)  # fmt: skip


def label(**pixels):
    """A label with pixels of classes such as c1=10; the rest has none."""
    counts = [pixels.get(f"c{number}", 0) for number in range(12)]
    counts[0] = 62_500 - sum(counts[1:])
    return LabelFacts(size=100, etag="-", sha256="1" * 64, edition=2021, pixels=tuple(counts))


def row(name, image=IMAGE, classes=None, state="complete", reason="", label_reason=""):
    return PatchRow(name, state, reason, image, classes, label_reason)


ROWS = [
    row("0_0_0_0", classes=label(c1=60_000, c2=100, c10=400)),
    row(
        "2500_0_0_1",
        replace(
            IMAGE, clear_fraction=0.5, products=("S2A", "S2B"), shares=(0.75, 0.25),
            dates=("2021-06-01T10:50:31+00:00", "2021-05-11T10:50:31+00:00"), baselines=("05.00", "03.01"),
        ),
        classes=label(c1=40_000, c2=0, c10=600, c6=10_000),
        state="partial",
    ),
    row("5000_0_0_2", classes=label(c6=30_000), label_reason=""),
    row("7500_0_0_3", None, None, "missing", "no product in the catalogue covers it", "the same"),
]  # fmt: skip


def test_counts_states_and_sizes_are_added_up():
    tally = tally_region(ROWS)
    assert (tally.patches, tally.images, tally.labels) == (4, 3, 3)
    assert (tally.image_bytes, tally.label_bytes) == (3000, 300)
    assert tally.states == {"complete": 2, "partial": 1, "missing": 1}
    assert tally.reasons == [("no product in the catalogue covers it", 1), ("the same", 1)]
    assert tally.editions == [2021]
    assert tally.clear == pytest.approx([0.5, 0.54, 0.9, 0.9])


def test_shares_of_classes_are_of_the_pixels_that_have_one():
    tally = tally_region(ROWS)
    classes = {entry.cover.number: entry for entry in tally.classes}
    labelled = 60_000 + 100 + 400 + 40_000 + 600 + 10_000 + 30_000
    assert classes[1].pixels == 100_000
    assert classes[1].share == pytest.approx(100_000 / labelled)
    assert (classes[10].pixels, classes[10].patches) == (1000, 2)
    assert classes[8].pixels == 0
    assert tally.unlabelled == pytest.approx(1 - labelled / (3 * 62_500))


def test_a_class_that_is_absent_rare_in_few_patches_or_too_common_is_warned_of():
    many = [
        row(f"{2500 * number}_0_0_{number}", classes=label(c6=20_000, c7=20_000, c10=30))
        for number in range(20)
    ]
    many[0] = row("0_0_0_0", classes=label(c6=20_000, c7=20_000, c2=3000))
    warnings = " ".join(tally_region(many).warnings)
    assert "Water (10) is rare: 0.07 % of the labelled pixels, in 19 of 20 patches." in warnings
    assert "Woody needle leaved (2) is in 1 of 20 patches only" in warnings
    assert "Snow and ice (11) is absent" in warnings
    assert "herbaceous" not in warnings
    assert "Sealed (1) dominates with 71 %" in " ".join(tally_region(ROWS).warnings)


def test_products_are_listed_by_day_with_what_they_gave():
    first, second = tally_region(ROWS).products
    assert (first.name, first.date, first.baseline, first.patches) == ("S2B", "2021-05-11", "03.01", 1)
    assert first.share == pytest.approx(0.25 / 3)
    assert (second.name, second.patches) == ("S2A", 3)
    assert second.share == pytest.approx(2.75 / 3)


def test_a_region_without_images_and_labels_has_a_tally_without_warnings():
    tally = tally_region(ROWS[3:])
    assert (tally.images, tally.labels, tally.valid, tally.products, tally.warnings) == (
        0,
        0,
        [],
        [],
        ["Only 0 patches have a label."],
    )


def test_histograms_count_observed_pixels_alone_and_keep_what_lies_beyond():
    bands = np.zeros((14, 10, 10))
    bands[:, :5] = 0.2025
    bands[3, 0, 0] = 5.0
    histograms = Histograms()
    histograms.add(bands)
    edges, shares = histograms.shares(3)
    assert histograms.counts.sum(axis=1).tolist() == [50] * 14
    at = np.searchsorted(edges, 0.2025, side="right") - 1
    assert shares[at] == pytest.approx(49 / 50)
    assert shares[-1] == pytest.approx(1 / 50)
    low, high = histograms.reach(0)
    assert low < 0.2025 < high < 0.3
