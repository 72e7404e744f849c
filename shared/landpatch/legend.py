"""What the colours of pictures and maps mean: land cover, states of a patch, scales of the indices."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from landpatch.sources.labels import CLCPLUS


@dataclass(frozen=True, slots=True)
class LandCover:
    """A class of a land cover map."""

    number: int
    """As in a label."""
    name: str
    colour: str
    """`#RRGGBB`."""


LAND_COVER = (
    LandCover(1, "Sealed", "#FF0100"),
    LandCover(2, "Woody needle leaved", "#238B23"),
    LandCover(3, "Woody broadleaved deciduous", "#80FF00"),
    LandCover(4, "Woody broadleaved evergreen", "#00FF00"),
    LandCover(5, "Low-growing woody", "#804000"),
    LandCover(6, "Permanent herbaceous", "#CCF24E"),
    LandCover(7, "Periodically herbaceous", "#FEFF80"),
    LandCover(8, "Lichens and mosses", "#FF81FF"),
    LandCover(9, "Non- and sparsely-vegetated", "#BFBFBF"),
    LandCover(10, "Water", "#0080FF"),
    LandCover(11, "Snow and ice", "#00FFFF"),
)
"""Source: CLC+ Backbone, Product User Manual, class list and colours. 0, no label, is transparent."""
NO_LABEL_CODES = (253, 254, 255)
"""Coastal sea buffer, outside the area, no data: all become 0."""


@dataclass(frozen=True, slots=True)
class Legend:
    """What the numbers of a region's labels mean."""

    title: str
    """Of the map that they are from."""
    classes: tuple[LandCover, ...] = LAND_COVER
    """By number; those that a label cannot have are left out."""
    credit: str = ""
    """Whom to name; empty where it is not known."""


CLCPLUS_LEGEND = Legend("CLC+ Backbone", credit="CLC+ Backbone: © European Union, EEA")


def name_classes(names: Mapping[int, str]) -> tuple[LandCover, ...]:
    """Classes of one's own, in the colours of CLC+ Backbone; CLC+ Backbone's where there are no names.

    names: by number.
    """
    own = (replace(cover, name=names[cover.number]) for cover in LAND_COVER if cover.number in names)
    return tuple(own) or LAND_COVER


def make_legend(sources: Iterable[str], names: Mapping[int, str]) -> Legend:
    """The legend of a region's labels.

    sources: what its index says of where they are from, `clcplus` or `raster=city.tif;…`. names: see
    `name_classes`.
    """
    titles = sorted({source.removeprefix("raster=").partition(";")[0] for source in sources})
    if set(titles) <= {CLCPLUS, ""}:
        return CLCPLUS_LEGEND
    return Legend(", ".join(titles), name_classes(names))


STATE_COLOURS: Mapping[str, str] = {
    "queued": "#DDDDDD",
    "cutting": "#56B4E9",
    "complete": "#009E73",
    "partial": "#F0E442",
    "missing": "#999999",
    "failed": "#D55E00",
}
"""Of a patch, in the order in which it goes through them. Source: Okabe and Ito, colours that the
colour-blind tell apart."""

NDVI_SCALE = (
    "#A50026", "#D73027", "#F46D43", "#FDAE61", "#FEE08B", "#FFFFBF",
    "#D9EF8B", "#A6D96A", "#66BD63", "#1A9850", "#006837",
)  # fmt: skip
"""RdYlGn, at equal steps from -1 to 1. Source: ColorBrewer 2.0, Cynthia A. Brewer."""

NDWI_SCALE = (
    "#543005", "#8C510A", "#BF812D", "#DFC27D", "#F6E8C3", "#F5F5F5",
    "#D1E5F0", "#92C5DE", "#4393C3", "#2166AC", "#053061",
)  # fmt: skip
"""Brown of BrBG for what is dry, blue of RdBu for water, at equal steps from -1 to 1. Source: ColorBrewer
2.0, Cynthia A. Brewer."""


def parse_colour(colour: str) -> tuple[int, int, int]:
    """Red, green and blue, 0 to 255, of `#RRGGBB`; raises ValueError."""
    if len(colour) != 7 or colour[0] != "#":
        raise ValueError(f"not a colour: {colour!r}")
    red, green, blue = bytes.fromhex(colour[1:])
    return red, green, blue
