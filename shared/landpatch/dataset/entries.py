"""What the indexes of a training set list: its patches, before any pixel is read."""

from collections.abc import Iterable
from dataclasses import dataclass

from landpatch.dataset.places import Place
from landpatch.errors import AbsentError, PermanentError, RequestError
from landpatch.index import Bounds, ImageFacts, LabelFacts, read_filename2bbox, read_legend, read_patches
from landpatch.layout import PublishedLayout
from landpatch.legend import CLCPLUS_LEGEND, Legend


@dataclass(frozen=True, slots=True)
class Entry:
    """A patch of a region and year that has an image."""

    layout: PublishedLayout
    """The keys of its region and year."""
    patch: str
    """Its name, `{xmin}_{ymin}_{idx}_{id}`."""
    bounds: Bounds
    """xmin ymin xmax ymax, metres, EPSG:3035."""
    image: ImageFacts | None
    """What `patches.parquet` says of its image; None where there is no such index."""
    label: LabelFacts | None
    """What `patches.parquet` says of its label; None also where it says that there is none."""
    legend: Legend
    """What the labels of its region mean; where there is no `patches.parquet`, they are CLC+ Backbone's."""

    @property
    def nuts(self) -> str:
        """Code of its region, `FR101`."""
        return self.layout.nuts

    @property
    def year(self) -> int:
        """Year of its image."""
        return self.layout.year

    @property
    def labelled(self) -> bool | None:
        """Whether it has a label; None where only a look at the label itself tells."""
        return None if self.image is None else self.label is not None


def find_layouts(place: Place, wanted: str) -> list[PublishedLayout]:
    """The regions and years that `FR101` or `FR101/2021` names.

    Raises RequestError for what is no such name, and for a region without its year where nothing can be
    listed; AbsentError for a region of which nothing is there.
    """
    nuts, slash, year = wanted.strip().upper().partition("/")
    try:
        named = PublishedLayout(nuts, int(year) if slash else 2000)
    except ValueError:
        raise RequestError(f"{wanted!r} is no region: say FR101, or FR101/2021") from None
    if slash:
        return [named]
    found = place.list_regions(nuts)
    if not found:
        raise _absent(place, nuts)
    return found


def read_entries(place: Place, layouts: Iterable[PublishedLayout]) -> list[Entry]:
    """Every patch that the indexes of these regions list, by region, year and name.

    Raises AbsentError for a region without an index, PermanentError for an index that cannot be read.
    """
    ordered = sorted(set(layouts), key=lambda layout: (layout.nuts, layout.year))
    return [entry for layout in ordered for entry in _read_index(place, layout)]


def _read_index(place: Place, layout: PublishedLayout) -> list[Entry]:
    listed = place.get(layout.filename2bbox)
    if listed is None:
        raise _absent(place, f"{layout.nuts}/{layout.year}")
    details = place.get(layout.patches)
    try:
        bounds = read_filename2bbox(listed)
        rows = read_patches(details) if details is not None else {}
        legend = CLCPLUS_LEGEND if details is None else read_legend(details, rows.values())
    except PermanentError as error:
        raise PermanentError(f"{place.url(layout.images)}: {error}") from error
    entries = []
    for patch, box in sorted(bounds.items()):
        row = rows.get(patch)
        image, label = (row.image, row.label) if row else (None, None)
        entries.append(Entry(layout, patch, box, image, label, legend))
    return entries


def _absent(place: Place, region: str) -> AbsentError:
    return AbsentError(f"there is no {region} at {place.url('images')}: no filename2bbox.parquet was found")
