"""Bands of full geometry of which only some JP2 tiles hold pixels."""

import struct
from pathlib import Path

import numpy as np
import pytest
from rasterio.io import MemoryFile

from services.sandbox.jp2 import GRIDS, write_jp2

UPPER_LEFT = (399960, 5500020)


def _noise(grid_m: int, tiles: list[tuple[int, int]], bits: int) -> dict[tuple[int, int], np.ndarray]:
    grid, rng = GRIDS[grid_m], np.random.default_rng(1)
    pieces = {}
    for row, col in tiles:
        rows, cols = grid.span(row), grid.span(col)
        shape = rows.stop - rows.start, cols.stop - cols.start
        pieces[row, col] = rng.integers(0, 1 << bits, shape).astype("uint8" if bits == 8 else "uint16")
    return pieces


@pytest.mark.parametrize(
    ("pixel_m", "tiles", "bits"),
    [
        (10, [(3, 6), (4, 7)], 15),
        (20, [(3, 5), (4, 5), (8, 8)], 15),
        (20, [(7, 2)], 8),
        (60, [(3, 4), (9, 9)], 15),
        (60, [], 15),
    ],
)
def test_pixels_come_back_where_they_were_put_and_zero_elsewhere(tmp_path: Path, pixel_m, tiles, bits):
    grid, pieces = GRIDS[pixel_m], _noise(pixel_m, tiles, bits)
    data = write_jp2(grid, pieces, 32631, UPPER_LEFT, tmp_path, bits=bits)
    with MemoryFile(data, filename="band.jp2") as memory, memory.open() as band:
        assert band.shape == (grid.size, grid.size)
        assert band.crs.to_epsg() == 32631
        assert band.transform[:6] == (pixel_m, 0, UPPER_LEFT[0], 0, -pixel_m, UPPER_LEFT[1])
        assert band.dtypes == (("uint8" if bits == 8 else "uint16"),)
        assert band.block_shapes == [(grid.tile, grid.tile)]
        if bits == 15:
            assert band.tags(1, ns="IMAGE_STRUCTURE")["NBITS"] == "15"
        rest = 0
        for row, col in tiles:
            rows, cols = grid.span(row), grid.span(col)
            found = band.read(1, window=((rows.start, rows.stop), (cols.start, cols.stop)))
            np.testing.assert_array_equal(found, pieces[row, col])
            rest += np.count_nonzero(found)
        if pixel_m > 10:
            assert np.count_nonzero(band.read(1)) == rest


def _markers(data: bytes) -> list[int]:
    offset, found = data.index(b"jp2c") + 6, []
    while True:
        marker, length = struct.unpack_from(">HH", data, offset)
        found.append(marker)
        if marker == 0xFF90:
            return found
        offset += 2 + length


def test_every_file_looks_like_one_of_its_baseline(tmp_path: Path):
    grid, pieces = GRIDS[60], _noise(60, [(1, 1)], 15)
    old = write_jp2(grid, pieces, 32631, UPPER_LEFT, tmp_path)
    new = write_jp2(grid, pieces, 32631, UPPER_LEFT, tmp_path, with_tlm=True)
    assert 0xFF55 not in _markers(old)
    assert 0xFF55 in _markers(new)
    assert old.count(b"\xff\x90\x00\x0a") == grid.tiles**2
    with (
        MemoryFile(old, filename="a.jp2") as a,
        MemoryFile(new, filename="b.jp2") as b,
        a.open() as one,
        b.open() as two,
    ):
        np.testing.assert_array_equal(one.read(1), two.read(1))
