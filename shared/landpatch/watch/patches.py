"""A patch that is stored, as a person sees it: its pictures, and what it was made of."""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from threading import Lock
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from landpatch import picture
from landpatch.codec import Image, decode_image, decode_label
from landpatch.errors import AbsentError
from landpatch.grid import to_lonlat
from landpatch.index import read_class_names, read_states
from landpatch.layout import RegionLayout
from landpatch.ledger import Ledger
from landpatch.legend import LAND_COVER, name_classes
from landpatch.patch import parse_patch
from landpatch.storage import Store

Kind = Literal["true", "false", "ndvi", "label"]
KINDS: tuple[Kind, ...] = get_args(Kind)
MOST_IMAGES = 4
"""Decoded and kept; the four pictures of a patch are asked for one after the other. Each has 7 MB."""
_OF_IMAGE: Mapping[str, Callable[[NDArray[np.float64]], NDArray[np.uint8]]] = {
    "true": picture.true_color,
    "false": picture.false_color,
    "ndvi": picture.ndvi,
}


class Showcase:
    """Reads patches of a store. May be used by several threads."""

    def __init__(self, store: Store, prefix: str, ledger: Ledger, *, clcplus: bool) -> None:
        """store: the destination, which is only read, below a prefix. clcplus: whether labels of regions that
        have no index yet are CLC+ Backbone's."""
        self._store = store
        self._prefix = prefix
        self._ledger = ledger
        self._classes = (
            LAND_COVER
            if clcplus
            else name_classes({cover.number: f"class {cover.number}" for cover in LAND_COVER})
        )
        self._images: OrderedDict[str, Image] = OrderedDict()
        self._lock = Lock()

    def draw(self, nuts: str, year: int, patch: str, kind: Kind) -> bytes:
        """A picture of a patch, PNG, 250 x 250. Raises AbsentError where there is none, PermanentError where
        what is stored is broken, InfrastructureError when the store cannot be reached."""
        layout = RegionLayout(self._prefix, nuts, year)
        if kind == "label":
            label = self._read(layout.label(patch))
            return picture.encode_png(picture.classes(decode_label(label, patch)))
        return picture.encode_png(_OF_IMAGE[kind](self._image(layout, patch).bands))

    def describe(self, nuts: str, year: int, patch: str) -> dict[str, Any]:
        """Where a patch lies, and what is known of it. Errors as of `draw`, but none for what is absent."""
        layout = RegionLayout(self._prefix, nuts, year)
        place = parse_patch(patch)
        bounds = to_lonlat().transform_bounds(*place.bounds)
        facts: dict[str, Any] = {"bounds": place.bounds, "lonlat": [round(edge, 5) for edge in bounds]}
        key = f"{nuts}/{year}"
        index = None if key in self._ledger.active() else self._store.get(layout.patches)
        facts["reasons"] = self._explain(key, patch, index)
        try:
            tags = self._image(layout, patch).tags
            facts |= {"image": self._store.url(layout.image(patch)), "tags": dict(tags)}
        except AbsentError:
            facts["image"] = None
        try:
            label = decode_label(self._read(layout.label(patch)), patch)
            pixels = np.bincount(label.ravel(), minlength=12)
            facts |= {"label": self._store.url(layout.label(patch)), "pixels": pixels.tolist()}
            classes = self._classes if index is None else name_classes(read_class_names(index))
            facts["classes"] = [[each.number, each.name, each.colour] for each in classes]
        except AbsentError:
            facts["label"] = None
        return facts

    def _explain(self, key: str, patch: str, index: bytes | None) -> list[str]:
        """Why it, or its label, is not there: from the index, or from the ledger while there is none yet."""
        if index is None:
            found = [self._ledger.outcomes_of(key, kind, [patch]).get(patch) for kind in ("images", "labels")]
            image, label = (outcome.reason if outcome else "" for outcome in found)
        else:
            row = next((row for row in read_states(index) if row.patch == patch), None)
            image, label = (row.reason, row.label_reason) if row else ("", "")
        return [f"{what}: {reason}" for what, reason in (("image", image), ("label", label)) if reason]

    def _image(self, layout: RegionLayout, patch: str) -> Image:
        key = layout.image(patch)
        with self._lock:
            if (image := self._images.get(key)) is not None:
                self._images.move_to_end(key)
                return image
        image = decode_image(self._read(key), parse_patch(patch))
        with self._lock:
            self._images[key] = image
            while len(self._images) > MOST_IMAGES:
                self._images.popitem(last=False)
        return image

    def _read(self, key: str) -> bytes:
        if (data := self._store.get(key)) is None:
            raise AbsentError("it is not in the store")
        return data
