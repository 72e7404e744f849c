"""`landpatch preview 3757500_2887500_0_20`."""

import os
import sys
from pathlib import Path

import click

from landpatch import views
from landpatch.commands.entry import one_line
from landpatch.errors import RequestError
from landpatch.terminal import choose_protocol, encode_picture


@click.command()
@click.argument("place", metavar="PATCH|POINT", required=False)
@click.option("--lon", type=float, help="Longitude of a point, degrees east (EPSG:4326).")
@click.option("--lat", type=float, help="Latitude of a point, degrees north (EPSG:4326).")
@click.option("--nuts", help="The patch's region, where its cell belongs to several.")
@click.option("--year", type=int, default=2021, show_default=True, help="Year of the images.")
@click.option("--output", type=click.Path(path_type=Path), help="The PNG file.  [default: in this folder]")
@one_line
def preview(
    place: str | None, lon: float | None, lat: float | None, nuts: str | None, year: int, output: Path | None
) -> None:
    """Draw a patch: true colour, false colour, NDVI, NDWI and label, with the region's boundary.

    PATCH: its name, such as 3757500_2887500_0_20. POINT: longitude,latitude, such as 2.35,48.85; where one
    is negative, give --lon and --lat. Prints the path of the PNG, and shows it where the terminal can
    (kitty, iTerm2, sixel).
    """
    if (lon is None) != (lat is None) or (place is None) == (lon is None):
        raise RequestError("name a patch, or a point as longitude,latitude, or give --lon and --lat")
    shown = views.preview(place or f"{lon:f},{lat:f}", nuts=nuts, year=year, output=output)
    protocol = choose_protocol(os.environ) if sys.stdout.isatty() else None
    if protocol is not None:
        click.echo(encode_picture(shown.png, protocol))
    click.echo(shown.path)
