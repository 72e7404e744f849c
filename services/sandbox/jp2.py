"""JPEG 2000 files with the full geometry of a Sentinel-2 band, of which only some JP2 tiles hold pixels.

The JP2 tiles of a codestream are independent of each other. Those that hold pixels are encoded, every
other one is taken from an all-zero codestream of the same geometry that is made once and kept.

Source: ITU-T T.800 (markers, tile-parts, boxes); OGC 05-047 (GML in JPEG 2000); the parameters were
decoded from genuine products.
"""

import os
import struct
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning
from rasterio.io import MemoryFile

from services.sandbox.gml import describe_grid

_SOC, _SOT, _TLM, _EOC = 0xFF4F, 0xFF90, 0xFF55, 0xFFD9
_RESOLUTIONS = 5

JP2Tile = tuple[int, int]
"""Row and column of a JP2 tile in its image, from the upper-left."""


@dataclass(frozen=True, slots=True)
class BandGrid:
    """How the bands of one pixel size are laid out and coded."""

    pixel_m: int
    """Pixel size, metres."""
    size: int
    """Rows and columns of the image."""
    tile: int
    """Rows and columns of a JP2 tile."""
    code_block: int
    precinct: int

    @property
    def tiles(self) -> int:
        """JP2 tiles in a row, and in a column."""
        return -(-self.size // self.tile)

    def span(self, index: int) -> slice:
        """The rows (or columns) of the image that a row (or column) of JP2 tiles covers."""
        return slice(index * self.tile, min((index + 1) * self.tile, self.size))


GRIDS = {
    10: BandGrid(10, 10980, 1024, 64, 256),
    20: BandGrid(20, 5490, 640, 8, 128),
    60: BandGrid(60, 1830, 192, 4, 64),
}
"""By pixel size in metres."""


def write_jp2(
    grid: BandGrid,
    pieces: dict[JP2Tile, NDArray[np.uint16]] | dict[JP2Tile, NDArray[np.uint8]],
    epsg: int,
    upper_left: tuple[int, int],
    cache: Path,
    *,
    bits: int = 15,
    with_tlm: bool = False,
) -> bytes:
    """Write a band, whole.

    pieces: the JP2 tiles that hold pixels, each (y, x) uint16 (uint8 where bits is 8), DN; all others
    are 0. upper_left: x and y of the image's corner, metres, EPSG `epsg`. cache: a folder where the
    all-zero codestream is kept. with_tlm: write the TLM marker, as products do from baseline 05.12 on.
    """
    header, parts = _split(_load_empty(grid, bits, cache))
    header = header[:6] + b"\x00\x00" + header[8:]  # Rsiz: no profile is claimed, as in genuine files
    parts.update(_encode_pieces(grid, pieces, bits))
    ordered = [parts[number] for number in range(grid.tiles**2)]
    tlm = _make_tlm([len(part) for part in ordered]) if with_tlm else b""
    codestream = header + tlm + b"".join(ordered) + struct.pack(">H", _EOC)
    return _wrap(codestream, grid, bits, epsg, upper_left)


def _encode_pieces(
    grid: BandGrid, pieces: dict[JP2Tile, NDArray[np.uint16]] | dict[JP2Tile, NDArray[np.uint8]], bits: int
) -> dict[int, bytes]:
    """The tile-part of each piece, by the number of its JP2 tile in the whole image."""
    if not pieces:
        return {}
    row0 = _aligned(grid, min(row for row, _ in pieces))
    col0 = _aligned(grid, min(col for _, col in pieces))
    bottom = grid.span(max(row for row, _ in pieces)).stop - row0 * grid.tile
    right = grid.span(max(col for _, col in pieces)).stop - col0 * grid.tile
    image = np.zeros((bottom, right), dtype="uint8" if bits == 8 else "uint16")
    for (row, col), pixels in pieces.items():
        top, left = (row - row0) * grid.tile, (col - col0) * grid.tile
        image[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
    _, parts = _split(_encode(image, grid, bits))
    columns = -(-right // grid.tile)
    return {
        row * grid.tiles + col: _renumber(parts[(row - row0) * columns + col - col0], row * grid.tiles + col)
        for row, col in pieces
    }


def _aligned(grid: BandGrid, index: int) -> int:
    """The last JP2 tile up to `index` from where the precincts are laid as they are from the origin.

    Precincts are counted from the image's origin at every resolution, so a JP2 tile may be coded as if it
    were elsewhere only when that leaves the precincts' borders in it where they are.
    """
    if grid.precinct % (grid.tile >> (_RESOLUTIONS - 1)) == 0:
        return index  # at each resolution a JP2 tile is a part of a precinct, or made of whole ones
    return 0


def _encode(image: NDArray[np.generic], grid: BandGrid, bits: int) -> bytes:
    """A bare codestream of an image (y, x)."""
    options = {
        "QUALITY": "100",
        "REVERSIBLE": "YES",
        "RESOLUTIONS": str(_RESOLUTIONS),
        "tiled": "YES",  # rasterio drops BLOCKXSIZE without it
        "blockxsize": str(grid.tile),
        "blockysize": str(grid.tile),
        "CODEBLOCK_WIDTH": str(grid.code_block),
        "CODEBLOCK_HEIGHT": str(grid.code_block),
        "PRECINCTS": ",".join([f"{{{grid.precinct},{grid.precinct}}}"] * _RESOLUTIONS),
        "PROGRESSION": "LRCP",
        "PLT": "YES",
        "NBITS": str(bits),
        "CODEC": "J2K",
    }
    height, width = image.shape
    with warnings.catch_warnings(), MemoryFile(filename="band.j2k") as memory:
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with memory.open(
            driver="JP2OpenJPEG", width=width, height=height, count=1, dtype=image.dtype, **options
        ) as dataset:
            dataset.write(image, 1)
        return bytes(memory.getbuffer())


def _load_empty(grid: BandGrid, bits: int, cache: Path) -> bytes:
    path = cache / f"empty_{grid.pixel_m}m_{bits}bit.j2k"
    if path.exists():
        return path.read_bytes()
    data = _encode(np.zeros((grid.size, grid.size), "uint8" if bits == 8 else "uint16"), grid, bits)
    cache.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}")
    part.write_bytes(data)
    part.replace(path)
    return data


def _split(codestream: bytes) -> tuple[bytes, dict[int, bytes]]:
    """A codestream's main header, and its tile-parts by tile number."""
    parts: dict[int, bytes] = {}
    first = None
    for offset, number, length in _walk_tile_parts(codestream):
        first = offset if first is None else first
        if number in parts:
            raise ValueError(f"tile {number} has more than one part")
        parts[number] = codestream[offset : offset + length]
    if first is None:
        raise ValueError("a codestream without tiles")
    return codestream[:first], parts


def _walk_tile_parts(codestream: bytes) -> Iterator[tuple[int, int, int]]:
    """Offset, tile number and length of each tile-part."""
    if codestream[:2] != struct.pack(">H", _SOC):
        raise ValueError("not a JPEG 2000 codestream")
    offset = 2
    while (marker := struct.unpack_from(">H", codestream, offset)[0]) != _EOC:
        if marker == _SOT:
            _, number, length = struct.unpack_from(">HHI", codestream, offset + 2)
            yield offset, number, length
            offset += length
        else:
            offset += 2 + struct.unpack_from(">H", codestream, offset + 2)[0]


def _renumber(part: bytes, number: int) -> bytes:
    return part[:4] + struct.pack(">H", number) + part[6:]


def _make_tlm(lengths: list[int]) -> bytes:
    """Tile-part lengths, one marker segment: 16-bit tile numbers, 32-bit lengths."""
    body = b"".join(struct.pack(">HI", number, length) for number, length in enumerate(lengths))
    return struct.pack(">HHBB", _TLM, 4 + len(body), 0, 0x60) + body


def _wrap(codestream: bytes, grid: BandGrid, bits: int, epsg: int, upper_left: tuple[int, int]) -> bytes:
    """Put a codestream in JP2 boxes, with its georeference in the GML box alone."""
    image_header = struct.pack(">IIHBBBB", grid.size, grid.size, 1, bits - 1, 7, 1, 0)
    grey = struct.pack(">BBBI", 1, 0, 0, 17)
    gml = describe_grid(grid.size, grid.pixel_m, epsg, upper_left).encode()
    instance = _box(b"asoc", _box(b"lbl ", b"gml.root-instance") + _box(b"xml ", gml))
    return b"".join(
        [
            _box(b"jP  ", b"\r\n\x87\n"),
            _box(b"ftyp", b"jp2 \x00\x00\x00\x00jp2 "),
            _box(b"jp2h", _box(b"ihdr", image_header) + _box(b"colr", grey)),
            _box(b"asoc", _box(b"lbl ", b"gml.data") + instance),
            _box(b"jp2c", codestream),
        ]
    )


def _box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(body), kind) + body
