"""`landpatch locate "Brussels, Belgium"`."""

import json
from dataclasses import asdict

import click

from landpatch.commands.entry import one_line
from landpatch.embedded import complete_settings
from landpatch.place import Built, Location
from landpatch.place import locate as find_location

SANDBOX = "SANDBOX: its geocoder knows the names of the regions and a few addresses; points can be anywhere"


@click.command()
@click.argument("place", required=False)
@click.option("--lon", type=float, help="Longitude of a point, degrees east (EPSG:4326).")
@click.option("--lat", type=float, help="Latitude of a point, degrees north (EPSG:4326).")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object as the last line of stdout.")
@one_line
def locate(place: str | None, lon: float | None, lat: float | None, as_json: bool) -> None:
    """Find the region and the patch of a place, and whether it is built.

    PLACE: a name or an address, such as "5, rue Alphonse Weicker Luxembourg"; or give --lon and --lat.

    Exit code 2: nobody knows the place, or it lies in none of the NUTS3 regions.
    """
    settings = complete_settings(required=False)
    if settings.source == "sandbox" and place is not None:
        click.echo(SANDBOX, err=True)
    location = find_location(place, lon=lon, lat=lat, settings=settings)
    click.echo(describe_location(location), err=as_json)
    if as_json:
        click.echo(json.dumps(asdict(location)))


def describe_location(at: Location) -> str:
    """What a person reads."""
    east, north = "E" if at.lon >= 0 else "W", "N" if at.lat >= 0 else "S"
    off = f", {at.off_region_m:.0f} m outside of its boundary" if at.off_region_m else ""
    lines = [
        *([at.name] if at.name else []),
        f"  point    {abs(at.lon):.7f} {east}  {abs(at.lat):.7f} {north}   EPSG:3035 {at.x:.0f} {at.y:.0f}",
        f"  region   {at.region} {at.region_name}{off}",
        *_describe_patch(at),
        *_describe_built(at),
        *([f"  source   {at.credit}"] if at.credit else []),
    ]
    return "\n".join(lines)


def _describe_patch(at: Location) -> list[str]:
    if at.patch is None or at.bounds is None or at.bounds_lonlat is None:
        return ["  patch    none: the point lies in none of the region's cells"]
    also = f", also a cell of {', '.join(at.neighbours)}" if at.neighbours else ""
    degrees = " ".join(f"{edge:.6f}" for edge in at.bounds_lonlat)
    return [
        f"  patch    {at.patch}{also}",
        f"           EPSG:3035 xmin ymin xmax ymax      {' '.join(map(str, at.bounds))}",
        f"           EPSG:4326 west south east north    {degrees}",
    ]


def _describe_built(at: Location) -> list[str]:
    if at.built is None:
        return ["  built    not known: no destination store is set (AWS_S3_ENDPOINT, AWS_ACCESS_KEY_ID, …)"]
    if not at.built:
        return [f"  built    not yet: landpatch region {at.region}"]
    return [f"  built    {_describe_year(built)}" for built in at.built]


def _describe_year(built: Built) -> str:
    if not built.state:
        return f"{built.year}  the region, without this patch"
    label = "with its label" if built.label else "without a label"
    return f"{built.year}  {built.state}, {label}  {built.image}".rstrip()
