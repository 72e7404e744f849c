"""Small regions made of the cells of a genuine one: their products are those of that region."""

import json
from pathlib import Path

from shapely.geometry import MultiPolygon, mapping, shape
from shapely.geometry import box as rectangle

from landpatch.grid import lay_grid


def write_boundaries(source: Path, target: Path, count: int) -> list[str]:
    """Write a boundary file of so many regions, each of two cells out of Paris; their codes."""
    features = json.loads(source.read_text())["features"]
    paris = next(shape(feature["geometry"]) for feature in features if feature["id"] == "FR101")
    cells = [paris.intersection(rectangle(*patch.bounds)).buffer(-1) for patch in lay_grid(paris)]
    made = []
    for number in range(count):
        parts = [cells[number], cells[(number + 8) % len(cells)]]
        polygons = [part for cell in parts for part in getattr(cell, "geoms", [cell])]
        code = f"FRX{number:02d}"
        properties = {"NUTS_ID": code, "LEVL_CODE": 3, "CNTR_CODE": "FR", "NAME_LATN": code}
        geometry = mapping(MultiPolygon(polygons))
        made.append({"type": "Feature", "id": code, "properties": properties, "geometry": geometry})
    target.write_text(json.dumps({"type": "FeatureCollection", "features": made}))
    return [feature["id"] for feature in made]
