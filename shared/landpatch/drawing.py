"""Figures with titles and legends, by matplotlib: the panels of a patch, and what a report shows."""

import io
import math
from collections.abc import Iterator, Sequence

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry import MultiPolygon, Polygon

from landpatch import picture
from landpatch.errors import ConfigurationError
from landpatch.index import PatchRow
from landpatch.legend import NDVI_SCALE, NDWI_SCALE, STATE_COLOURS, Legend
from landpatch.patch import PATCH_SIZE_M, Patch, parse_patch
from landpatch.radiometry import BANDS
from landpatch.stored import Pair, StoredRegion
from landpatch.tally import Histograms, describe_share

try:
    from matplotlib.axes import Axes
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle
except ImportError as error:
    if (error.name or "").partition(".")[0] != "matplotlib":
        raise
    raise ConfigurationError("pictures need matplotlib: pip install 'landpatch[maps]'") from None

_DPI = 100
_EMPTY = "#efefef"
_SANDBOX = "SANDBOX: synthetic pixels"


def draw_preview(stored: StoredRegion, pair: Pair) -> bytes:
    """A patch in five panels and a legend, as a PNG."""
    panel, gap, title, scale, head = 500, 24, 26, 34, 76
    width, height = 3 * panel + 4 * gap, head + 2 * (title + panel + scale)
    figure = Figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI, facecolor="white")

    def cell(row: int, col: int) -> Axes:
        top = head + row * (title + panel + scale) + title
        place = (gap + col * (panel + gap), height - top - panel, panel, panel)
        return figure.add_axes((place[0] / width, place[1] / height, panel / width, panel / height))

    _head(figure, stored, pair, height, gap / width)
    bands = pair.image.bands if pair.image else None
    panels = (
        ((0, 0), "true colour, bands 4-3-2", picture.true_color, ()),
        ((0, 1), "false colour, bands 8-4-3: vegetation is red", picture.false_color, ()),
        ((1, 0), "NDVI", picture.ndvi, NDVI_SCALE),
        ((1, 1), "NDWI", picture.ndwi, NDWI_SCALE),
    )
    for (row, col), text, draw, colours in panels:
        axes = cell(row, col)
        _show(axes, text, None if bands is None else draw(bands), pair.patch, stored.region.boundary)
        if colours:
            _scale(axes, colours)
    shown = None if pair.label is None else picture.classes(pair.label)
    edition = f"{stored.legend.title} {pair.row.label.edition or ''}".strip() if pair.row.label else "label"
    _show(cell(0, 2), edition, shown, pair.patch, stored.region.boundary)
    _scale_bar(figure.axes[0], pair.patch)
    _legend(cell(1, 2), stored.legend, pair.label)
    return _save(figure)


def _head(figure: Figure, stored: StoredRegion, pair: Pair, height: int, left: float) -> None:
    row = pair.row
    title = f"{stored.region.nuts} {stored.region.name}, {stored.layout.year}: patch {row.patch}"
    figure.text(left, 1 - 30 / height, title, fontsize=15, weight="bold")
    facts = [row.state + (f" ({row.reason})" if row.reason else "")]
    if row.image is not None:
        valid, clear = describe_share(row.image.valid_fraction), describe_share(row.image.clear_fraction)
        facts.append(f"{valid} valid, {clear} clear")
        facts.append(f"sensed {', '.join(date[:10] for date in row.image.dates)}")
    if row.label is None:
        facts.append(f"no label{f' ({row.label_reason})' if row.label_reason else ''}")
    figure.text(left, 1 - 58 / height, "  ·  ".join(facts), fontsize=10.5, color="#444444")
    if stored.source == "sandbox":
        figure.text(
            1 - left, 1 - 30 / height, _SANDBOX, fontsize=11, color="#8a5a00", weight="bold", ha="right"
        )


def _show(
    axes: Axes,
    title: str,
    rgba: NDArray[np.uint8] | None,
    patch: Patch,
    boundary: Polygon | MultiPolygon,
) -> None:
    """A picture of a patch with the boundary of its region; grey where there is nothing to show."""
    xmin, ymin, xmax, ymax = patch.bounds
    axes.set_facecolor(_EMPTY)
    axes.set_title(title, fontsize=11, loc="left", pad=5)
    if rgba is None:
        axes.text(0.5, 0.5, "nothing stored", transform=axes.transAxes, ha="center", color="#777777")
    else:
        axes.imshow(rgba, extent=(xmin, xmax, ymin, ymax), interpolation="nearest")
    for line in _lines(boundary, patch):
        for colour, width in (("white", 3.2), ("black", 1.3)):
            axes.plot(*line.T, color=colour, linewidth=width, solid_joinstyle="round")
    _frame(axes, xmin, xmax, ymin, ymax)


def _frame(axes: Axes, xmin: float, xmax: float, ymin: float, ymax: float) -> None:
    axes.set(xlim=(xmin, xmax), ylim=(ymin, ymax), xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set_color("#888888")


def _lines(boundary: Polygon | MultiPolygon, patch: Patch) -> Iterator[NDArray[np.float64]]:
    """The parts of a boundary within a patch, each (point, 2)."""
    within = shapely.intersection(boundary.boundary, shapely.box(*patch.bounds))
    for part in shapely.get_parts(shapely.line_merge(within)):
        if part.length > 0:
            yield shapely.get_coordinates(part)


def _scale(axes: Axes, colours: Sequence[str]) -> None:
    """The colours of an index, below its panel."""
    inset = axes.inset_axes((0.0, -0.026, 1.0, 0.016))
    shades = LinearSegmentedColormap.from_list("scale", list(colours))
    inset.imshow(np.linspace(0, 1, 256)[None], aspect="auto", cmap=shades, extent=(-1, 1, 0, 1))
    inset.set(yticks=[], xticks=[])
    for at, side in ((-1, "left"), (0, "center"), (1, "right")):
        inset.text(at, -0.5, f"{at:g}".replace("-", "−"), fontsize=8, ha=side, va="top")


def _scale_bar(axes: Axes, patch: Patch) -> None:
    x, y = patch.xmin + 120, patch.ymin + 120
    for colour, width in (("black", 5), ("white", 2.6)):
        axes.plot([x, x + 500], [y, y], color=colour, linewidth=width, solid_capstyle="butt")
    axes.text(x + 250, y + 40, "500 m", color="white", fontsize=9, ha="center", weight="bold")


def _legend(axes: Axes, legend: Legend, label: NDArray[np.uint8] | None) -> None:
    """Every class with its share of the patch; those that it has not are pale."""
    axes.set_axis_off()
    axes.set(xlim=(0, 1), ylim=(len(legend.classes) + 1, 0))
    counts = np.bincount([] if label is None else label.ravel(), minlength=12)
    total = max(1, counts.sum())
    entries = [(each.colour, f"{each.number}  {each.name}", counts[each.number]) for each in legend.classes]
    for row, (colour, name, count) in enumerate([*entries, (_EMPTY, "0  no label", counts[0])]):
        alpha = 1.0 if count else 0.35
        place = Rectangle((0.02, row + 0.2), 0.08, 0.6, facecolor=colour, edgecolor="#555555", alpha=alpha)
        axes.add_patch(place)
        axes.text(0.13, row + 0.5, name, va="center", fontsize=11, alpha=alpha, parse_math=False)
        share = describe_share(count / total) if count else "–"
        axes.text(0.98, row + 0.5, share, va="center", ha="right", fontsize=11, alpha=alpha)


def draw_histograms(histograms: Histograms) -> bytes:
    """How often each band has which value, as a PNG."""
    columns = 5
    rows = math.ceil(len(BANDS) / columns)
    figure = Figure(figsize=(13, 2.3 * rows), dpi=_DPI, layout="constrained")
    for number, (name, axes) in enumerate(zip(BANDS, figure.subplots(rows, columns).ravel(), strict=False)):
        edges, shares = histograms.shares(number)
        axes.stairs(shares, edges, fill=True, color="#31688e")
        axes.set_title(name, fontsize=10, loc="left", pad=3)
        axes.set(xlim=histograms.reach(number), yticks=[])
        axes.tick_params(labelsize=8)
        axes.locator_params(axis="x", nbins=4)
        axes.spines[["top", "right", "left"]].set_visible(False)
    for axes in figure.axes[len(BANDS) :]:
        axes.set_axis_off()
    return _save(figure)


def draw_states(stored: StoredRegion) -> bytes:
    """Where the patches lie, by state and by how clear they are, as a PNG."""
    rows = list(stored.rows.values())
    bounds = np.array([parse_patch(row.patch).bounds for row in rows])
    xmin, ymin = bounds[:, :2].min(axis=0) - 500
    xmax, ymax = bounds[:, 2:].max(axis=0) + 500
    height = np.clip(6.4 * (ymax - ymin) / (xmax - xmin), 3, 10) + 0.4
    figure = Figure(figsize=(13, height), dpi=_DPI, layout="constrained")
    left, right = figure.subplots(1, 2)
    shades = LinearSegmentedColormap.from_list("clear", ["#440154", "#31688e", "#35b779", "#fde725"])
    for axes, title in ((left, "state"), (right, "clear pixels")):
        axes.set_title(title, loc="left", fontsize=11)
        for row in rows:
            patch = parse_patch(row.patch)
            place = Rectangle((patch.xmin, patch.ymin), PATCH_SIZE_M, PATCH_SIZE_M, edgecolor="#ffffff80")
            if axes is left:
                place.set_facecolor(STATE_COLOURS.get(row.state, "#ffffff"))
            else:
                place.set_facecolor("#ffffff" if row.image is None else shades(row.image.clear_fraction))
            axes.add_patch(place)
        for part in shapely.get_parts(stored.region.boundary):
            axes.plot(*shapely.get_coordinates(part.exterior).T, color="black", linewidth=0.9)
        _frame(axes, xmin, xmax, ymin, ymax)
        axes.set_aspect("equal")
    for state, colour in STATE_COLOURS.items():
        if count := sum(row.state == state for row in rows):
            left.plot([], [], "s", color=colour, markersize=9, label=f"{state} ({count})")
    left.legend(loc="best", fontsize=9)
    inset = right.inset_axes((0.04, 0.02, 0.3, 0.02))
    inset.imshow(np.linspace(0, 1, 256)[None], aspect="auto", cmap=shades, extent=(0, 100, 0, 1))
    inset.set(yticks=[], xticks=[0, 50, 100], xticklabels=["0 %", "50 %", "100 %"])
    inset.tick_params(labelsize=8, top=True, bottom=False, labeltop=True, labelbottom=False, pad=1)
    return _save(figure)


def draw_contact_sheet(pairs: Sequence[Pair], white: float) -> bytes:
    """Patches side by side, true colour and label, as a JPEG. white: as of `picture.true_color`."""
    columns = 4
    rows = math.ceil(len(pairs) / columns)
    figure = Figure(figsize=(13, 1.75 * rows), dpi=_DPI, layout="constrained")
    # Each third column is a gap.
    widths = {"width_ratios": [1, 1, 0.04] * columns}
    grid = figure.subplots(rows, columns * 3, squeeze=False, gridspec_kw=widths).ravel()
    for axes in grid:
        axes.set_axis_off()
    for number, pair in enumerate(pairs):
        image, label = grid[3 * number : 3 * number + 2]
        for axes in (image, label):
            axes.set_axis_on()
            axes.set(xticks=[], yticks=[], facecolor=_EMPTY)
        if pair.image is not None:
            image.imshow(picture.true_color(pair.image.bands, white), interpolation="antialiased")
        if pair.label is not None:
            label.imshow(picture.classes(pair.label), interpolation="nearest")
        image.set_title(pair.row.patch, fontsize=7, loc="left", pad=2)
        label.set_title(_describe_clarity(pair.row), fontsize=7, loc="right", pad=2)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="jpeg", pil_kwargs={"quality": 88})
    return buffer.getvalue()


def _describe_clarity(row: PatchRow) -> str:
    return row.state if row.image is None else f"{row.state}, {100 * row.image.clear_fraction:.0f} % clear"


def _save(figure: Figure) -> bytes:
    """As a PNG, the same bytes for the same figure."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
