"""One product: its `.SAFE` folder under `eodata/`, and its entry in the catalogue.

A product has its full size, but pixels only in the blocks that were asked for; elsewhere it is 0. Blocks
are 2400 m squares counted from the product's upper-left corner. What a block holds depends on the product
alone, so a product can be made again with more of them.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from services.sandbox.catalogue import Blocks, Entry, describe_product, read_entry, write_entry
from services.sandbox.jp2 import GRIDS, BandGrid, JP2Tile, write_jp2
from services.sandbox.metadata import write_granule_metadata, write_manifest, write_product_metadata
from services.sandbox.render import Chunk, render_chunk
from services.sandbox.scenes import TILE_SIZE_M, Scene, Tile, make_transformer

_R10M = ("B02", "B03", "B04", "B08")
_R20M = ("B02", "B03", "B04", "B05", "B06", "B07", "B8A", "B11", "B12", "SCL")
_R60M = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B8A", "B09", "B11", "B12", "SCL")
_BLOCK_M = 2400
_BLOCKS = -(-TILE_SIZE_M // _BLOCK_M)
_RUN = 16
_FLAT = {"AOT": 95, "WVP": 1850}
"""Bands of one value: aerosol optical thickness in thousandths, water vapour in thousandths of a cm."""


def list_files(scene: Scene) -> list[tuple[str, int]]:
    """The rendered bands of a product, each with its pixel size in metres."""
    twenty = ("B01", *_R20M) if scene.offset else _R20M
    return [(band, size) for size, bands in ((10, _R10M), (20, twenty), (60, _R60M)) for band in bands]


def find_blocks(scene: Scene, area: BaseGeometry) -> Blocks:
    """The blocks of a product that an area touches, of those that show anything; area: EPSG:3035."""
    local = _to_tile(shapely.segmentize(area, 2500), scene.tile)
    local = local.intersection(scene.footprint().buffer(_BLOCK_M))
    rows, cols = np.divmod(np.arange(_BLOCKS**2), _BLOCKS)
    left, top = scene.tile.ulx + cols * _BLOCK_M, scene.tile.uly - rows * _BLOCK_M
    shapely.prepare(local)
    touched = shapely.intersects(local, shapely.box(left, top - _BLOCK_M, left + _BLOCK_M, top))
    return frozenset(zip(rows[touched].tolist(), cols[touched].tolist(), strict=True))


def _to_tile(area: BaseGeometry, tile: Tile) -> BaseGeometry:
    transformer = make_transformer(3035, tile.epsg)
    return shapely.transform(area, lambda xy: np.column_stack(transformer.transform(xy[:, 0], xy[:, 1])))


def is_made(scene: Scene, blocks: Blocks, root: Path) -> bool:
    """Whether a product is there with at least these blocks."""
    entry = read_entry(root, scene.name)
    return entry is not None and blocks <= entry.blocks


def make_product(scene: Scene, blocks: Blocks, root: Path) -> None:
    """Write a product, whole, with these blocks and those it already has.

    A product that is offline gets its entry in the catalogue, but no files.
    """
    entry = read_entry(root, scene.name)
    blocks |= entry.blocks if entry is not None else frozenset()
    cloud_cover = scene.cloud_cover()
    files: dict[str, bytes] = {}
    manifest = b""
    if scene.online:
        files = _make_files(scene, blocks, cloud_cover, root / "cache")
        manifest = write_manifest(scene, files)
        _place(root / "eodata" / scene.folder, files | {"manifest.safe": manifest})
    size = sum(map(len, files.values())) + len(manifest)
    write_entry(root, Entry(describe_product(scene, cloud_cover, size, manifest), blocks))


def _make_files(scene: Scene, blocks: Blocks, cloud_cover: float, cache: Path) -> dict[str, bytes]:
    """Every file of a product but its manifest, by key below its folder."""
    pieces = _render(scene, blocks)
    corner = (scene.tile.ulx, scene.tile.uly)
    images: dict[str, bytes] = {}
    for band, size in sorted(pieces):
        key = (
            f"GRANULE/{scene.granule}/IMG_DATA/R{size}m/"
            f"T{scene.tile.id}_{scene.sensed:%Y%m%dT%H%M%S}_{band}_{size}m.jp2"
        )
        images[key] = write_jp2(
            GRIDS[size],
            pieces[band, size],
            scene.tile.epsg,
            corner,
            cache,
            bits=8 if band == "SCL" else 15,
            with_tlm=scene.baseline >= "0512",
        )
    return images | {
        "MTD_MSIL2A.xml": write_product_metadata(scene, list(images), cloud_cover),
        f"GRANULE/{scene.granule}/MTD_TL.xml": write_granule_metadata(scene, cloud_cover),
    }


def _render(scene: Scene, blocks: Blocks) -> dict[tuple[str, int], dict[JP2Tile, NDArray[Any]]]:
    """Pixels of each JP2 tile that holds any, by band and pixel size."""
    files = list_files(scene)
    tiles = {size: _list_jp2_tiles(grid, blocks) for size, grid in GRIDS.items()}
    pieces: dict[tuple[str, int], dict[JP2Tile, NDArray[Any]]] = {
        (band, size): {where: _blank(GRIDS[size], where, band) for where in tiles[size]}
        for band, size in [*files, *((band, 10) for band in _FLAT)]
    }
    for chunk in _list_chunks(blocks):
        for band, size, pixels in render_chunk(scene, chunk, files):
            for where, piece in pieces[band, size].items():
                _paste(piece, where, pixels, chunk, GRIDS[size])
    return pieces


def _list_jp2_tiles(grid: BandGrid, blocks: Blocks) -> list[JP2Tile]:
    """The JP2 tiles that blocks touch."""
    side = _BLOCK_M // grid.pixel_m
    spans = [
        range(index * side // grid.tile, min((index + 1) * side - 1, grid.size - 1) // grid.tile + 1)
        for index in range(_BLOCKS)
    ]
    return sorted({(down, across) for row, col in blocks for down in spans[row] for across in spans[col]})


def _blank(grid: BandGrid, where: JP2Tile, band: str) -> NDArray[Any]:
    rows, cols = grid.span(where[0]), grid.span(where[1])
    shape = (rows.stop - rows.start, cols.stop - cols.start)
    return np.full(shape, _FLAT.get(band, 0), dtype="uint8" if band == "SCL" else "uint16")


def _list_chunks(blocks: Blocks) -> Iterator[Chunk]:
    """The blocks as chunks of the 10 m grid: neighbours in a row together, up to so many."""
    side, size = _BLOCK_M // 10, GRIDS[10].size
    for row in sorted({row for row, _ in blocks}):
        cols = sorted(col for line, col in blocks if line == row)
        while cols:
            run = [col for count, col in enumerate(cols[:_RUN]) if col == cols[0] + count]
            cols = cols[len(run) :]
            top, left = row * side, run[0] * side
            width = min(len(run) * side, size - left)
            yield Chunk(top, left, min(side, size - top), width)


def _paste(piece: NDArray[Any], where: JP2Tile, pixels: NDArray[Any], chunk: Chunk, grid: BandGrid) -> None:
    """Copy what a chunk and a JP2 tile share; nothing where they share nothing."""
    factor = grid.pixel_m // 10
    rows, cols = grid.span(where[0]), grid.span(where[1])
    chunk_top, chunk_left = chunk.row // factor, chunk.col // factor
    top, bottom = max(rows.start, chunk_top), min(rows.stop, chunk_top + pixels.shape[0])
    left, right = max(cols.start, chunk_left), min(cols.stop, chunk_left + pixels.shape[1])
    if top < bottom and left < right:
        shared = pixels[top - chunk_top : bottom - chunk_top, left - chunk_left : right - chunk_left]
        piece[top - rows.start : bottom - rows.start, left - cols.start : right - cols.start] = shared


def _place(folder: Path, files: dict[str, bytes]) -> None:
    """Write a product's folder, whole, in the place of an earlier one."""
    part = folder.with_name(f".{folder.name}.{os.getpid()}")
    for key, data in files.items():
        path = part / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    earlier = folder.with_name(f".{folder.name}.earlier")
    shutil.rmtree(earlier, ignore_errors=True)
    if folder.exists():
        folder.rename(earlier)
    part.rename(folder)
    shutil.rmtree(earlier, ignore_errors=True)
