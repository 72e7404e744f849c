"""`landpatch regions`."""

import json
from dataclasses import asdict
from itertools import groupby

import click

from landpatch.commands.entry import one_line
from landpatch.errors import RequestError
from landpatch.layout import NUTS3_PATTERN
from landpatch.regions import BuiltRegion, Regions, list_regions
from landpatch.sources.training_set import TrainingSet


@click.command()
@click.argument("nuts", nargs=-1)
@click.option("--patches", is_flag=True, help="List every patch that is built here, with its state.")
@click.option("--public/--no-public", default=True, help="Look at the public training set as well.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object as the last line of stdout.")
@one_line
def regions(nuts: tuple[str, ...], patches: bool, public: bool, as_json: bool) -> None:
    """List what is built: here, and in the public training set.

    NUTS: regions such as FR101 LU000; all when none is named.
    """
    codes = [code.strip().upper() for code in nuts]
    for code in codes:
        if not NUTS3_PATTERN.fullmatch(code) and code != "UKRAINE":
            raise RequestError(f"{code!r} is not a NUTS3 code: five characters, such as FR101 or LU000")
    found = list_regions(codes, public=public)
    click.echo(describe_regions(found, patches), err=as_json)
    if as_json:
        click.echo(json.dumps(_as_object(found, patches)))


def _as_object(found: Regions, patches: bool) -> dict[str, object]:
    listed = asdict(found)
    if not patches:
        for region in listed["built"] or ():
            del region["states"]
    return listed


def describe_regions(found: Regions, patches: bool = False) -> str:
    """What a person reads."""
    lines = ["built here"]
    if found.built is None:
        lines.append("  not known: no destination store is set (AWS_S3_ENDPOINT, AWS_ACCESS_KEY_ID, …)")
    elif not found.built:
        lines.append("  nothing yet: landpatch region FR101")
    for region in found.built or ():
        lines += _describe_built(region, patches)
    if found.under_way:
        lines.append("being built")
    lines += [
        f"  {each.region} {each.year}  {each.state}, images {each.images_done} of {each.images_total},"
        f" labels {each.labels_done} of {each.labels_total}"
        for each in found.under_way
    ]
    return "\n".join([*lines, *(_describe_public(found.public) if found.public else [])])


def _describe_built(region: BuiltRegion, patches: bool) -> list[str]:
    wanting = [
        f"{count} {state}" for state in ("partial", "missing", "failed") if (count := getattr(region, state))
    ]
    lines = [
        f"  {region.region} {region.year}  {region.patches} patches: {region.complete} complete"
        f"{''.join(f', {each}' for each in wanting)}; {region.labels} labels"
    ]
    if patches:
        lines += [
            f"    {at.patch}  {at.state}{'' if at.label else ', without a label'}"
            f"{f': {at.reason}' if at.reason else ''}"
            for at in region.states
        ]
    return lines


def _describe_public(public: TrainingSet) -> list[str]:
    lines = [f"in the public training set ({public.url})"]
    if public.fault:
        lines.append(f"  NOT CHECKED: {public.fault}")
        lines.append("  what it was announced to have:")
    for region, years in groupby(public.regions, key=lambda each: each.region):
        told = (
            f"{each.year}{'' if each.patches is None else f' ({each.patches} patches)'}" for each in years
        )
        lines.append(f"  {region}  {', '.join(told)}")
    if not public.regions:
        lines.append("  none of these regions")
    return lines
