"""Look at what has been built: a patch, the map of a region, its report. One call each.

import landpatch
landpatch.preview("3757500_2887500_0_20")
landpatch.map("FR101")
landpatch.report("FR101")
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np

from landpatch import mercator, picture
from landpatch.embedded import reading_settings
from landpatch.errors import ConfigurationError, InfrastructureError, RequestError
from landpatch.map_page import GISCO, BaseMap, MapPage
from landpatch.mosaic import make_mosaic, patch_bounds
from landpatch.patch import PIXEL_SIZE_M, parse_patch
from landpatch.progress import follow
from landpatch.settings import Settings
from landpatch.stored import Pair, StoredRegion, find_patch, open_region
from landpatch.tiles import Tile, draw_tiles, find_whites, zoom_out

MAP_PIXELS = 40_000_000
"""Of a map's rectangle at its last zoom: with more, a browser has much to hold and a file some 30 MB."""
SAMPLE = 200
"""Images that a report's histograms are made of."""
CONTACTS = 32
"""Patches on a contact sheet."""


@dataclass(frozen=True, slots=True)
class Preview:
    """A picture of a patch."""

    path: Path
    region: str
    """Such as `FR101/2021`."""
    patch: str
    png: bytes

    def _repr_png_(self) -> bytes:
        """What a notebook shows."""
        return self.png


@dataclass(frozen=True, slots=True)
class RegionMap:
    """The interactive map of a region."""

    path: Path
    region: str
    zoom: int
    """The last one with pictures of its own."""
    pixel_size_m: float
    """There, on the ground."""
    tiles: int

    def _repr_html_(self) -> str:
        """What a notebook shows: the page as a frame, where the notebook's server can reach it."""
        place = escape(os.path.relpath(self.path), quote=True)
        return f'<iframe src="{place}" width="100%" height="600" style="border: 0"></iframe>'


@dataclass(frozen=True, slots=True)
class RegionReport:
    """The report of a region."""

    folder: Path
    html: Path
    markdown: Path
    warnings: Sequence[str]
    """What a trainer should know of the balance of the classes."""


def preview(
    place: str,
    *,
    nuts: str | None = None,
    year: int = 2021,
    output: str | Path | None = None,
    settings: Settings | None = None,
) -> Preview:
    """Draw a patch: true colour, false colour, NDVI, NDWI and label, with the boundary of its region.

    place: a patch's name, or a point as `longitude,latitude` in degrees. nuts: the region, where the cell
    belongs to several. output: a PNG file, by default in the current folder.

    Raises RequestError for what is not there, ConfigurationError where matplotlib is missing.
    """
    from landpatch import drawing  # noqa: PLC0415  # an extra

    stored, name = find_patch(settings or reading_settings(), place, nuts, year)
    path = _choose_file(output, f"{_stem(stored)}-{name}.png")
    row = stored.rows[name]
    if row.image is None and row.label is None:
        raise RequestError(f"{name} of {stored.key} is {row.state}: {row.reason or 'nothing is stored'}")
    png = drawing.draw_preview(stored, stored.read(name))
    _write(path, png)
    return Preview(path, stored.key, name, png)


def map(
    nuts: str,
    *,
    year: int = 2021,
    output: str | Path | None = None,
    base_map: BaseMap | None = GISCO,
    most_pixels: int = MAP_PIXELS,
    settings: Settings | None = None,
) -> RegionMap:
    """Draw the map of a region as one HTML file.

    output: an HTML file, by default in the current folder. base_map: what is fetched when it is looked at.
    most_pixels: of the rectangle around the region; a larger region is drawn with fewer details.

    Raises RequestError when the region is not built.
    """
    stored = open_region(settings or reading_settings(), nuts, year)
    path = _choose_file(output, f"{_stem(stored)}-map.html")
    tiles, zoom, pixel_size_m = _draw_tiles(stored, most_pixels)
    page = MapPage(
        stored.region.nuts,
        stored.region.name,
        stored.layout.year,
        stored.source,
        stored.region.boundary,
        list(stored.rows.values()),
        stored.legend,
        tiles,
        base_map,
    )
    _write(path, page.render().encode())
    return RegionMap(path, stored.key, zoom, pixel_size_m, len(tiles))


def _draw_tiles(stored: StoredRegion, most_pixels: int) -> tuple[list[Tile], int, float]:
    """The pictures of a map, their last zoom and its pixels on the ground."""
    bounds = patch_bounds(*(parse_patch(name) for name in stored.rows))
    frame = mercator.cover(bounds, mercator.choose_zoom(bounds, PIXEL_SIZE_M, most_pixels))
    mosaic = make_mosaic(frame)
    for pair in follow(stored.read_each(stored.rows), len(stored.rows), "patches"):
        mosaic.lay(pair.patch, None if pair.image is None else pair.image.bands, pair.label)
    whites = find_whites(mosaic)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        tiles = [tile for level in zoom_out(mosaic) for tile in draw_tiles(level, whites, pool)]
    ground = mercator.pixel_size_m(frame.zoom) * mercator.ground_scale((bounds[1] + bounds[3]) / 2)
    return tiles, frame.zoom, ground


def report(
    nuts: str,
    *,
    year: int = 2021,
    output: str | Path | None = None,
    settings: Settings | None = None,
) -> RegionReport:
    """Write the report of a region: counts, states, classes, products, histograms, a contact sheet.

    output: a folder, by default in the current one; it gets `report.html`, which stands alone, `report.md`
    and the pictures of it.

    Raises RequestError when the region is not built, ConfigurationError where a library is missing.
    """
    from landpatch import drawing  # noqa: PLC0415  # an extra
    from landpatch.report_page import Report  # noqa: PLC0415
    from landpatch.tally import Histograms, tally_region  # noqa: PLC0415

    stored = open_region(settings or reading_settings(), nuts, year)
    folder = _choose_folder(output, f"{_stem(stored)}-report")
    rows = list(stored.rows.values())
    tally, histograms, shown = tally_region(rows, stored.legend), Histograms(), []
    names = _spread([row.patch for row in rows if row.image is not None], SAMPLE)
    contacts = set(_spread(names, CONTACTS))
    for pair in follow(stored.read_each(names), len(names), "images"):
        if pair.image is not None:
            histograms.add(pair.image.bands)
        if pair.row.patch in contacts:
            shown.append(pair)
    pictures = {"states.png": drawing.draw_states(stored)}
    if shown:
        pictures["histograms.png"] = drawing.draw_histograms(histograms)
        pictures["contact-sheet.jpg"] = drawing.draw_contact_sheet(shown, _find_white(shown))
    made = Report(stored, tally, len(names), pictures)
    folder.mkdir(exist_ok=True)
    html, markdown = "report.html", "report.md"
    contents = {**pictures, html: made.render_html().encode(), markdown: made.render_markdown().encode()}
    for name, data in contents.items():
        _write(folder / name, data)
    return RegionReport(folder, folder / html, folder / markdown, tally.warnings)


def _spread(names: Sequence[str], most: int) -> list[str]:
    """At most so many names, at even distances."""
    return (
        [names[number * len(names) // most] for number in range(most)] if len(names) > most else list(names)
    )


def _find_white(pairs: Sequence[Pair]) -> float:
    """One stretch for all of them."""
    images = [pair.image.bands for pair in pairs if pair.image is not None]
    whites = [
        picture.find_white(picture.pick_bands(bands, picture.TRUE_COLOUR), picture.is_observed(bands))
        for bands in images
    ]
    return float(np.median(whites))


def _stem(stored: StoredRegion) -> str:
    return stored.key.replace("/", "-")


def _choose_file(output: str | Path | None, default: str) -> Path:
    """Where to write a file; raises ConfigurationError before there is anything to write."""
    path = Path(output or default)
    if path.is_dir():
        path /= default
    _check_folder(path.parent)
    return path


def _choose_folder(output: str | Path | None, default: str) -> Path:
    """The folder to write into, which need not be there yet; raises ConfigurationError."""
    path = Path(output or default)
    if path.exists() and not path.is_dir():
        raise ConfigurationError(f"{path} is a file; a report is a folder")
    _check_folder(path if path.exists() else path.parent)
    return path


def _check_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise ConfigurationError(f"there is no folder {folder}; make it, or choose another with --output")
    if not os.access(folder, os.W_OK):
        raise ConfigurationError(f"{folder.resolve()} cannot be written; choose another folder with --output")


def _write(path: Path, data: bytes) -> None:
    try:
        path.write_bytes(data)
    except OSError as error:
        raise InfrastructureError(f"{path} cannot be written: {error.strerror}") from error
