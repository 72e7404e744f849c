"""What the catalogue knows of each product: one JSON file a product under `catalogue/`.

A product is in the catalogue once its file is there; the file is written last.
"""

import hashlib
import json
import os
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import shapely

from services.sandbox.metadata import datastrip_id, granule_id, stamp
from services.sandbox.scenes import Scene

Blocks = frozenset[tuple[int, int]]
"""Row and column of the blocks of a product that hold pixels, from the upper-left; see `products`."""
_FOLDER = "catalogue"


@dataclass(frozen=True, slots=True)
class Entry:
    """A product in the catalogue."""

    product: dict[str, Any]
    """As OData answers it, with `Attributes`."""
    blocks: Blocks


def write_entry(root: Path, entry: Entry) -> None:
    """Put a product in the catalogue, or renew its entry."""
    folder = root / _FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{entry.product['Name']}.json"
    part = path.with_name(f".{path.name}.{os.getpid()}")
    part.write_text(json.dumps({"product": entry.product, "blocks": sorted(entry.blocks)}))
    part.replace(path)


def read_entry(root: Path, name: str) -> Entry | None:
    """The entry of a product, or None."""
    path = root / _FOLDER / f"{name}.json"
    return _parse(path) if path.exists() else None


def read_products(root: Path) -> list[dict[str, Any]]:
    """Every product of the catalogue, by name."""
    return [_parse(path).product for path in sorted((root / _FOLDER).glob("S2*.json"))]


def find_product(root: Path, product_id: str) -> dict[str, Any] | None:
    """The product with an id, or None."""
    return next((product for product in read_products(root) if product["Id"] == product_id), None)


def _parse(path: Path) -> Entry:
    data = json.loads(path.read_text())
    return Entry(data["product"], frozenset((row, col) for row, col in data["blocks"]))


def describe_product(scene: Scene, cloud_cover: float, size: int, manifest: bytes) -> dict[str, Any]:
    """A product as OData answers it. cloud_cover: percent; size: bytes of all files."""
    outline = shapely.set_precision(scene.tile.outline(scene.footprint(), 4326), 1e-9)
    published = stamp(scene.generated + timedelta(minutes=47), 3)
    checksum = {
        "Value": hashlib.md5(manifest, usedforsecurity=False).hexdigest(),
        "Algorithm": "MD5",
        "ChecksumDate": stamp(scene.generated + timedelta(minutes=47), 6),
    }
    return {
        "@odata.mediaContentType": "application/octet-stream",
        "Id": scene.id,
        "Name": scene.name,
        "ContentType": "application/octet-stream",
        "ContentLength": size,
        "OriginDate": stamp(scene.generated + timedelta(minutes=31), 3),
        "PublicationDate": published,
        "ModificationDate": published,
        "Online": scene.online,
        "EvictionDate": "9999-12-31T23:59:59.999999Z",
        "S3Path": f"/eodata/{scene.folder}",
        "Checksum": [checksum] if size else [],
        "ContentDate": {"Start": stamp(scene.sensed), "End": stamp(scene.sensed)},
        "Footprint": f"geography'SRID=4326;{outline.wkt}'",
        "GeoFootprint": json.loads(shapely.to_geojson(outline)),
        "Attributes": list(_list_attributes(scene, cloud_cover)),
    }


def _list_attributes(scene: Scene, cloud_cover: float) -> list[dict[str, Any]]:
    values: dict[str, str | int | float] = {
        "origin": "ESA",
        "tileId": scene.tile.id,
        "cloudCover": cloud_cover,
        "orbitNumber": scene.absolute_orbit,
        "orbitDirection": "DESCENDING",
        "datastripId": datastrip_id(scene),
        "granuleIdentifier": granule_id(scene),
        "productGroupId": scene.datatake,
        "processingLevel": "S2MSI2A",
        "processorVersion": scene.dotted_baseline,
        "processingBaseline": float(scene.dotted_baseline),
        "platformShortName": "SENTINEL-2",
        "instrumentShortName": "MSI",
        "relativeOrbitNumber": scene.relative_orbit,
        "platformSerialIdentifier": scene.platform[2:],
        "operationalMode": "INS-NOBS",
        "productType": "S2MSI2A",
    }
    times = {
        "processingDate": stamp(scene.generated, 6),
        "beginningDateTime": stamp(scene.sensed),
        "endingDateTime": stamp(scene.sensed),
    }
    kinds = {str: "String", int: "Integer", float: "Double"}
    typed = [(name, value, kinds[type(value)]) for name, value in values.items()]
    typed += [(name, value, "DateTimeOffset") for name, value in times.items()]
    return [
        {
            "@odata.type": f"#OData.CSC.{kind}Attribute",
            "Name": name,
            "Value": value,
            "ValueType": kind,
        }
        for name, value, kind in typed
    ]
