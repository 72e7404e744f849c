"""Rows of an index, and images -> the numbers of a report."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from landpatch.codec import LABEL_CLASSES
from landpatch.index import PatchRow, measure_bands
from landpatch.legend import CLCPLUS_LEGEND, STATE_COLOURS, LandCover, Legend
from landpatch.radiometry import BANDS, INDEX_BANDS

RARE_SHARE = 0.01
"""Of the labelled pixels, below which a class is rare."""
FEW_PATCHES = 3
"""Below which a class cannot be in training, validation and test at once."""
DOMINANT_SHARE = 0.5
_QUANTILES = (0, 0.05, 0.5, 1)


@dataclass(frozen=True, slots=True)
class ClassTally:
    """How much of a region a class has."""

    cover: LandCover
    pixels: int
    share: float
    """Of the labelled pixels."""
    patches: int
    """That have a pixel of it."""


@dataclass(frozen=True, slots=True)
class ProductTally:
    """What a product gave to a region."""

    name: str
    date: str
    """Day of sensing."""
    baseline: str
    patches: int
    """That have a pixel of it."""
    share: float
    """Of all pixels of the images."""


@dataclass(frozen=True, slots=True)
class BandTally:
    """A band over all images."""

    name: str
    mean: float
    std: float


@dataclass(frozen=True, slots=True)
class Tally:
    """What an index tells of a region."""

    patches: int
    images: int
    labels: int
    image_bytes: int
    label_bytes: int
    states: Mapping[str, int]
    """Patches of each state."""
    reasons: Sequence[tuple[str, int]]
    """Why patches or labels are not whole, and how many, most often first."""
    editions: Sequence[int]
    """Of the labels."""
    label_name: str
    """Of the map that they are from."""
    valid: Sequence[float]
    """Least, 5th percentile, median and greatest valid fraction of the images; empty without images."""
    clear: Sequence[float]
    """The same of the clear fraction."""
    classes: Sequence[ClassTally]
    unlabelled: float
    """Share of the labels' pixels that have no class."""
    products: Sequence[ProductTally]
    """By day of sensing."""
    bands: Sequence[BandTally]

    @property
    def warnings(self) -> list[str]:
        """What a trainer should know of the balance of the classes."""
        if self.labels < FEW_PATCHES:
            return [f"Only {self.labels} patches have a label."]
        return [text for tally in self.classes if (text := _warn(tally, self.labels))]


def describe_share(share: float) -> str:
    """A share in percent; what is there is never called 0."""
    return "< 0.1 %" if 0 < share < 0.0005 else f"{100 * share:.1f} %"


def _warn(tally: ClassTally, labels: int) -> str:
    name = f"{tally.cover.name} ({tally.cover.number})"
    if tally.pixels == 0:
        return f"{name} is absent: nothing can be learnt of it here."
    if tally.share > DOMINANT_SHARE:
        return (
            f"{name} dominates with {100 * tally.share:.0f} % of the labelled pixels: accuracy says little."
        )
    where = f"in {tally.patches} of {labels} patches"
    if tally.patches < FEW_PATCHES:
        return f"{name} is {where} only: too few to be in training, validation and test at once."
    if tally.share < RARE_SHARE:
        return f"{name} is rare: {100 * tally.share:.2f} % of the labelled pixels, {where}."
    return ""


def tally_region(rows: Sequence[PatchRow], legend: Legend = CLCPLUS_LEGEND) -> Tally:
    """Add up the rows of an index; legend: of their labels."""
    images = [row.image for row in rows if row.image is not None]
    labels = [row.label for row in rows if row.label is not None]
    counts = Counter(row.state for row in rows)
    reasons = Counter(reason for row in rows for reason in (row.reason, row.label_reason) if reason)
    pixels = np.array([label.pixels for label in labels], dtype="int64").reshape(-1, len(LABEL_CLASSES))
    return Tally(
        patches=len(rows),
        images=len(images),
        labels=len(labels),
        image_bytes=sum(image.size for image in images),
        label_bytes=sum(label.size for label in labels),
        states={state: counts[state] for state in STATE_COLOURS if counts[state]},
        reasons=reasons.most_common(10),
        editions=sorted({label.edition for label in labels}),
        valid=_quantiles([image.valid_fraction for image in images]),
        clear=_quantiles([image.clear_fraction for image in images]),
        label_name=legend.title,
        classes=_tally_classes(pixels, legend),
        unlabelled=float(pixels[:, 0].sum() / max(1, pixels.sum())),
        products=_tally_products(rows),
        bands=[BandTally(*band) for band in zip(BANDS, *measure_bands(rows), strict=True)],
    )


def _quantiles(fractions: Sequence[float]) -> list[float]:
    return np.quantile(fractions, _QUANTILES).tolist() if fractions else []


def _tally_classes(pixels: NDArray[np.int64], legend: Legend) -> list[ClassTally]:
    """pixels: (label, class)."""
    labelled = max(1, int(pixels[:, 1:].sum()))
    return [
        ClassTally(
            cover,
            pixels=(count := int(pixels[:, cover.number].sum())),
            share=count / labelled,
            patches=int(np.count_nonzero(pixels[:, cover.number])),
        )
        for cover in legend.classes
    ]


def _tally_products(rows: Sequence[PatchRow]) -> list[ProductTally]:
    facts: dict[str, tuple[str, str]] = {}
    shares: dict[str, list[float]] = defaultdict(list)
    images = [row.image for row in rows if row.image is not None]
    for image in images:
        for name, date, baseline, share in zip(
            image.products, image.dates, image.baselines, image.shares, strict=False
        ):
            facts[name] = date[:10], baseline
            shares[name].append(share)
    tallies = [
        ProductTally(
            name, *facts[name], patches=sum(share > 0 for share in given), share=sum(given) / len(images)
        )
        for name, given in shares.items()
    ]
    return sorted(tallies, key=lambda product: (product.date, product.name))


_BINS = 240
_REFLECTANCE, _INDEX = (-0.1, 1.1), (-1.0, 1.0)
_SHOWN = 0.998
"""Of the pixels, that a histogram has to show."""


@dataclass(slots=True)
class Histograms:
    """How often each band has which value; observed pixels alone."""

    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros((len(BANDS), _BINS), dtype="int64"))
    """(band, bin); the first and the last bin hold what lies beyond."""

    def add(self, bands: NDArray[np.float64]) -> None:
        """Count the pixels of an image (14, y, x)."""
        observed = bands[:, (bands != 0).any(axis=0)]
        for number, values in enumerate(observed):
            low, high = _range(number)
            bins = ((values - low) / (high - low) * _BINS).clip(0, _BINS - 1).astype("int64")
            self.counts[number] += np.bincount(bins, minlength=_BINS)

    def shares(self, band: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Edges of the bins, and the share of the pixels in each, of one band by its position."""
        low, high = _range(band)
        return np.linspace(low, high, _BINS + 1), self.counts[band] / max(1, self.counts[band].sum())

    def reach(self, band: int) -> tuple[float, float]:
        """From where to where nearly all values of a band lie, with a margin."""
        edges, shares = self.shares(band)
        total = np.cumsum(shares)
        tail = (1 - _SHOWN) / 2
        first, last = (int(np.searchsorted(total, share)) for share in (tail, 1 - tail))
        return float(edges[max(0, first - 4)]), float(edges[min(_BINS, last + 5)])


def _range(band: int) -> tuple[float, float]:
    return _INDEX if BANDS[band] in INDEX_BANDS else _REFLECTANCE
