"""The pixels of a patch: its image and its label."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from landpatch.codec import Image, decode_label, decode_published_image, decode_published_label
from landpatch.dataset.entries import Entry
from landpatch.dataset.places import Place
from landpatch.errors import PermanentError
from landpatch.index import Bounds
from landpatch.legend import Legend
from landpatch.patch import CRS, PIXEL_SIZE_M

if TYPE_CHECKING:
    import xarray as xr


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """An image and its label; pixel (i, j) of one is pixel (i, j) of the other, row 0 in the north."""

    nuts: str
    """Code of the region, `FR101`."""
    year: int
    """Year of the image."""
    patch: str
    """Name of the patch."""
    bounds: Bounds
    """xmin ymin xmax ymax, metres, in `crs`."""
    image: NDArray[np.float64]
    """(14, 250, 250): 12 reflectances, NDVI, NDWI, in the order of `landpatch.radiometry.BANDS`; 0 = no
    observation."""
    label: NDArray[np.uint8] | None
    """(250, 250): classes, 0 = no label; None where the patch has none."""
    tags: Mapping[str, str]
    """The image's `LANDPATCH_…` tags, without the prefix: products, dates, fractions, source."""
    legend: Legend
    """What the classes are; 1 to 11 of CLC+ Backbone, unless the labels are from another map."""
    crs: str = CRS

    @property
    def transform(self) -> Affine:
        """From (column, row) to (x, y) in `crs`, of pixel corners; as rasterio has it."""
        return make_transform(self.bounds)

    @property
    def observed(self) -> NDArray[np.bool_]:
        """(250, 250): where anything was observed."""
        seen: NDArray[np.bool_] = (self.image != 0).any(axis=0)
        return seen

    def to_xarray(self) -> "xr.Dataset":
        """The pair as an xarray Dataset: `image` (band, y, x) float64 and, where there is one, `label`
        (y, x) uint8; `x` and `y` are pixel centres in metres, `spatial_ref` holds the CRS as CF and rioxarray
        have it.

        Raises MissingExtraError without xarray.
        """
        from landpatch.dataset.extras import need  # noqa: PLC0415  # xarray is optional

        with need("xarray"):
            from landpatch.dataset.as_xarray import show_pair  # noqa: PLC0415
        return show_pair(self)


def make_transform(bounds: Bounds) -> Affine:
    """From (column, row) to (x, y) in EPSG:3035, of a patch's pixel corners."""
    xmin, _, _, ymax = bounds
    return Affine(PIXEL_SIZE_M, 0, xmin, 0, -PIXEL_SIZE_M, ymax)


def read_image(place: Place, entry: Entry) -> Image:
    """The image of a patch; raises PermanentError when it is not there or cannot be read."""
    key = entry.layout.image(entry.patch)
    data = place.get(key)
    if data is None:
        raise PermanentError(f"{place.url(key)} is not there, but its index lists it")
    return decode_published_image(data, entry.patch, entry.bounds)


def read_label(place: Place, entry: Entry) -> NDArray[np.uint8] | None:
    """The label of a patch, (250, 250) uint8; None where there is none.

    Raises PermanentError when it cannot be read, or is not there although the index lists it.
    """
    if entry.labelled is False:
        return None
    key = entry.layout.label(entry.patch)
    data = place.get(key)
    if data is not None:
        return (decode_published_label if entry.image is None else decode_label)(data, entry.patch)
    if entry.labelled:
        raise PermanentError(f"{place.url(key)} is not there, but its index lists it")
    return None


def read_pair(place: Place, entry: Entry) -> Pair:
    """Image and label of a patch. Errors as of `read_image` and `read_label`."""
    image = read_image(place, entry)
    label = read_label(place, entry)
    return Pair(
        entry.nuts, entry.year, entry.patch, entry.bounds, image.bands, label, image.tags, entry.legend
    )
