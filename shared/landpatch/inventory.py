"""What is really in the store: each object read and checked, or known from the last index."""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np
import structlog

from landpatch.codec import decode_image, decode_label, sha256
from landpatch.errors import PermanentError
from landpatch.index import ImageFacts, LabelFacts, PatchRow, read_patches
from landpatch.label_notes import Noted, read_notes
from landpatch.layout import RegionLayout, patch_of_key
from landpatch.patch import parse_patch
from landpatch.storage import Store, StoredObject

READERS = 4
log = structlog.get_logger()
Facts = TypeVar("Facts", ImageFacts, LabelFacts)


@dataclass(frozen=True, slots=True)
class Inventory:
    """The checked objects of a region."""

    images: Mapping[str, ImageFacts]
    """By patch name."""
    labels: Mapping[str, LabelFacts]
    """By patch name."""
    noted: Noted = field(default_factory=dict)
    """What label notes say."""

    def images_of(self, recipe: str) -> dict[str, ImageFacts]:
        """The images that were made by a recipe."""
        return {name: found for name, found in self.images.items() if found.recipe == recipe}

    def labels_of(self, edition: int | None, source: str) -> dict[str, LabelFacts]:
        """The labels of an edition from a source, which its recipe names: by the last index or by a note."""
        if edition is None:
            return {}
        wanted = edition, source
        return {
            name: replace(found, edition=edition, source=source)
            for name, found in self.labels.items()
            if (found.edition, found.source) == wanted or wanted in self.noted.get((name, found.sha256), ())
        }


def take_inventory(store: Store, layout: RegionLayout) -> Inventory:
    """Read and check every image and label of a region.

    An object whose size and ETag are those of the last index is not read again. The edition of a label
    that the last index does not know is 0, and its source empty: the bytes do not tell them, but a note may
    (`labels_of`). A truncated or foreign object is left out, with a warning.
    """
    known = _read_last_index(store, layout)
    with ThreadPoolExecutor(READERS) as pool:
        images = _look(
            store, layout.images, ".tif", pool,
            lambda entry, name: _known_image(known.get(name), entry) or _read_image(store, entry, name),
        )  # fmt: skip
        labels = _look(
            store, layout.labels, ".npy", pool,
            lambda entry, name: _known_label(known.get(name), entry)
            or _read_label(store, entry, name),
        )  # fmt: skip
        noted = read_notes(store, layout, pool)
    return Inventory(images, labels, noted)


def _read_last_index(store: Store, layout: RegionLayout) -> dict[str, PatchRow]:
    data = store.get(layout.patches)
    if data is None:
        return {}
    try:
        return read_patches(data)
    except PermanentError as error:
        log.warning("the last index cannot be read; every object is checked", reason=str(error))
        return {}


def _look(
    store: Store,
    folder: str,
    suffix: str,
    pool: ThreadPoolExecutor,
    look: Callable[[StoredObject, str], Facts | None],
) -> dict[str, Facts]:
    entries = {
        name: entry
        for entry in store.find(folder)
        if entry.key.endswith(suffix) and (name := patch_of_key(entry.key)) is not None
    }
    found = pool.map(look, entries.values(), entries)
    return {name: facts for name, facts in zip(entries, found, strict=True) if facts is not None}


def _known_image(row: PatchRow | None, entry: StoredObject) -> ImageFacts | None:
    image = row.image if row else None
    return image if image and (image.size, image.etag) == (entry.size, entry.etag) else None


def _known_label(row: PatchRow | None, entry: StoredObject) -> LabelFacts | None:
    label = row.label if row else None
    return label if label and (label.size, label.etag) == (entry.size, entry.etag) else None


def _read_image(store: Store, entry: StoredObject, name: str) -> ImageFacts | None:
    data = store.get(entry.key) or b""
    try:
        return describe_image(data, name, entry.etag)
    except PermanentError as error:
        log.warning("not a patch of ours", key=entry.key, reason=str(error))
        return None


def _read_label(store: Store, entry: StoredObject, name: str) -> LabelFacts | None:
    data = store.get(entry.key) or b""
    try:
        return describe_label(data, name, entry.etag)
    except PermanentError as error:
        log.warning("not a label of ours", key=entry.key, reason=str(error))
        return None


def describe_image(data: bytes, name: str, etag: str) -> ImageFacts:
    """Decode, check and describe an image; raises PermanentError."""
    image = decode_image(data, parse_patch(name))
    tags = image.tags
    with np.errstate(over="ignore"):
        band_mean, band_var = image.bands.mean(axis=(1, 2)), image.bands.var(axis=(1, 2))
    try:
        facts = ImageFacts(
            size=len(data),
            etag=etag,
            sha256=sha256(data),
            recipe=tags["RECIPE"],
            valid_fraction=float(tags["VALID_FRACTION"]),
            clear_fraction=float(tags["CLEAR_FRACTION"]),
            products=tuple(tags["PRODUCTS"].split(",")),
            dates=tuple(tags["SENSING_DATES"].split(",")),
            baselines=tuple(tags["BASELINES"].split(",")),
            shares=tuple(float(share) for share in tags["SHARES"].split(",")),
            band_mean=tuple(band_mean.tolist()),
            band_var=tuple(band_var.tolist()),
        )
    except (KeyError, ValueError) as error:
        raise PermanentError(f"{name}.tif: tag missing or wrong: {error}") from error
    if not np.isfinite(facts.band_var).all():
        raise PermanentError(f"{name}.tif: holds values that no reflectance has")
    if not all(0 <= share <= 1 for share in (facts.valid_fraction, facts.clear_fraction, *facts.shares)):
        raise PermanentError(f"{name}.tif: a fraction in its tags is none")
    return facts


def describe_label(data: bytes, name: str, etag: str) -> LabelFacts:
    """Decode, check and describe a label; raises PermanentError."""
    classes = decode_label(data, name)
    return LabelFacts(
        size=len(data),
        etag=etag,
        sha256=sha256(data),
        edition=0,
        source="",
        pixels=tuple(np.bincount(classes.ravel(), minlength=12).tolist()),
    )
