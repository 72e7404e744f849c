"""The XML files of a product, from templates made of genuine ones.

Source: Sentinel-2 Products Specification Document; N0214 for products without offsets, N0509 for those
with them.
"""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from string import Template

import shapely
from shapely.geometry import Polygon

from services.sandbox.landscape import DATA
from services.sandbox.scenes import TILE_SIZE_M, Scene

_UNIT = """\
    <xfdu:contentUnit ID="{unit}_Unit" unitType="{kind}">
      <dataObjectPointer dataObjectID="{unit}"/>
    </xfdu:contentUnit>"""
_OBJECT = """\
  <dataObject ID="{unit}">
    <byteStream mimeType="{mime}" size="{size}">
      <fileLocation href="./{path}" locatorType="URL"/>
      <checksum checksumName="SHA3-256">{digest}</checksum>
    </byteStream>
  </dataObject>"""


def stamp(moment: datetime, decimals: int = 3) -> str:
    """A time as products have it, such as `2021-06-12T10:50:31.024Z`."""
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{'024000'[:decimals]}Z"


def datastrip_id(scene: Scene) -> str:
    """The identifier of a product's datastrip."""
    return (
        f"{scene.platform}_OPER_MSI_L2A_DS_2APS_{scene.generated:%Y%m%dT%H%M%S}"
        f"_S{scene.strip_start:%Y%m%dT%H%M%S}_N{scene.dotted_baseline}"
    )


def granule_id(scene: Scene, level: str = "L2A") -> str:
    """The identifier of a product's granule."""
    return (
        f"{scene.platform}_OPER_MSI_{level}_TL_2APS_{scene.generated:%Y%m%dT%H%M%S}"
        f"_A{scene.absolute_orbit:06d}_T{scene.tile.id}_N{scene.dotted_baseline}"
    )


def write_product_metadata(scene: Scene, images: list[str], cloud_cover: float) -> bytes:
    """MTD_MSIL2A.xml; images: keys of the images below the product's folder; cloud_cover: percent."""
    name = "with" if scene.offset else "without"
    lines = [f"{' ' * 24}<IMAGE_FILE>{image.removesuffix('.jp2')}</IMAGE_FILE>" for image in sorted(images)]
    return _fill(f"MTD_MSIL2A_{name}_offset.xml", scene, cloud_cover, image_files="\n".join(lines))


def write_granule_metadata(scene: Scene, cloud_cover: float) -> bytes:
    """MTD_TL.xml; cloud_cover: percent."""
    return _fill("MTD_TL.xml", scene, cloud_cover)


def write_manifest(scene: Scene, files: Mapping[str, bytes]) -> bytes:
    """manifest.safe; files: what the product holds, by key below its folder."""
    units = {path: _name_unit(path) for path in sorted(files)}
    content = [
        _UNIT.format(unit=unit, kind="Metadata Unit" if path.endswith(".xml") else "Measurement Data Unit")
        for path, unit in units.items()
    ]
    objects = [describe_file(unit, path, files[path]) for path, unit in units.items()]
    return _fill("manifest.safe", scene, 0, content_units="\n".join(content), data_objects="\n".join(objects))


def describe_file(unit: str, path: str, content: bytes) -> str:
    """A manifest's entry for a file. unit: its name there; path: below the product's folder."""
    return _OBJECT.format(
        unit=unit,
        path=path,
        mime="text/xml" if path.endswith(".xml") else "application/octet-stream",
        size=len(content),
        digest=hashlib.sha3_256(content).hexdigest(),
    )


def _name_unit(path: str) -> str:
    """The manifest's name for a file, as genuine ones have it."""
    if path == "MTD_MSIL2A.xml":
        return "S2_Level-2A_Product_Metadata"
    if path.endswith("MTD_TL.xml"):
        return "S2_Level-2A_Tile1_Metadata"
    _, _, band, size = path.removesuffix(".jp2").rsplit("/", 1)[-1].split("_")
    return f"IMG_DATA_Band_{band}_{size}_Tile1_Data"


def _fill(template: str, scene: Scene, cloud_cover: float, **more: str) -> bytes:
    footprint = scene.footprint()
    values = {
        "name": scene.name,
        "sensed": stamp(scene.sensed),
        "generated": stamp(scene.generated, 6).replace("024000", "000000"),
        "dotted_baseline": scene.dotted_baseline,
        "spacecraft": f"Sentinel-{scene.platform[1:]}",
        "unit": scene.platform[1:],
        "relative_orbit": str(scene.relative_orbit),
        "absolute_orbit": f"{scene.absolute_orbit:06d}",
        "datatake": scene.datatake,
        "datastrip": datastrip_id(scene),
        "granule_id": granule_id(scene),
        "l1c_granule_id": granule_id(scene, "L1C"),
        "footprint": _list_positions(scene, footprint),
        "cloud_cover": f"{cloud_cover:.6f}",
        "clear": f"{100 - cloud_cover:.6f}",
        "nodata": f"{100 * (1 - footprint.area / TILE_SIZE_M**2):.6f}",
        "epsg": str(scene.tile.epsg),
        "zone": f"{scene.tile.epsg % 100}N",
        "ulx": str(scene.tile.ulx),
        "uly": str(scene.tile.uly),
    }
    return _load(template).substitute(values | more).encode()


def _list_positions(scene: Scene, footprint: Polygon) -> str:
    """Latitude and longitude of a footprint's corners, in turn."""
    ring = shapely.get_coordinates(scene.tile.outline(footprint, 4326))
    return " ".join(f"{lat:.12g} {lon:.12g}" for lon, lat in ring)


@cache
def _load(template: str) -> Template:
    return Template((DATA / "templates" / template).read_text(encoding="utf-8"))
