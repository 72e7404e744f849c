"""`landpatch map FR101`."""

from pathlib import Path

import click

from landpatch import views
from landpatch.commands.entry import one_line
from landpatch.map_page import GISCO, parse_base_map


@click.command(name="map")
@click.argument("nuts")
@click.option("--year", type=int, default=2021, show_default=True, help="Year of the images.")
@click.option("--output", type=click.Path(path_type=Path), help="The HTML file.  [default: in this folder]")
@click.option("--base-map", help="Address of its tiles, with {z}, {x} and {y}; or none.  [default: GISCO's]")
@click.option(
    "--pixels",
    type=click.IntRange(1, 1000),
    default=views.MAP_PIXELS // 1_000_000,
    show_default=True,
    help="Millions of pixels around the region, at most: more details, a larger file.",
)
@one_line
def draw_map(nuts: str, year: int, output: Path | None, base_map: str | None, pixels: int) -> None:
    """Draw the map of a region as one HTML file: open it in a browser.

    Layers to switch: true colour, false colour, NDVI, label, boundary, states; a click on a patch shows what
    it was made of. Needs the internet for the base map alone.
    """
    drawn = views.map(
        nuts,
        year=year,
        output=output,
        base_map=GISCO if base_map is None else parse_base_map(base_map),
        most_pixels=pixels * 1_000_000,
    )
    size_mb = drawn.path.stat().st_size / 1e6
    click.echo(f"{drawn.region}: {drawn.pixel_size_m:.1f} m a pixel, {size_mb:.1f} MB", err=True)
    click.echo(drawn.path)
