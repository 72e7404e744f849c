"""JPEG 2000 files -> where each of their tiles lies, and a tile as a small image of its own.

A Sentinel-2 band is one image of some hundred JP2 tiles that do not depend on each other. Knowing where
they lie, only those that are needed have to be fetched, and each can be decoded by itself, once.

Source: ITU-T T.800, Annex A (codestream: SIZ, TLM, SOT) and Annex I (boxes).
"""

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Lock

from landpatch.errors import PermanentError

HEAD_BYTES = 16_384
"""What is read of a file to know where its tiles lie: genuine files need some 3 kB."""
SIGNATURE = b"\x00\x00\x00\x0cjP  \r\n\x87\n"
MAX_TILES = 4096
MAX_TILE_PIXELS = 2**25
"""A decoder holds a tile whole; genuine ones have a million, and a 20 m band in one tile would pass."""
MAX_PARTS = 4 * MAX_TILES
"""Of a file; genuine ones have one a tile, and each may be looked for with a request of its own."""
_SIZ_BYTES = 41
"""Length of the SIZ segment of one band."""
_SOC, _SIZ, _TLM, _COM, _SOT, _SOD, _EOC = 0xFF4F, 0xFF51, 0xFF55, 0xFF64, 0xFF90, 0xFF93, 0xFFD9
SOT_BYTES = 12
_SMALLEST_PART = SOT_BYTES + 2

Span = tuple[int, int]
"""Offset in the file and length of a tile-part, bytes."""
Read = Callable[[int, int], bytes]
"""Offset, length -> exactly so many bytes of the file."""


@dataclass(frozen=True, slots=True)
class Tiling:
    """The image of a codestream and how it is cut into JP2 tiles, from its upper-left corner."""

    width: int
    height: int
    tile_width: int
    tile_height: int

    @property
    def columns(self) -> int:
        """JP2 tiles in a row."""
        return -(-self.width // self.tile_width)

    @property
    def count(self) -> int:
        """JP2 tiles, row after row."""
        return self.columns * -(-self.height // self.tile_height)

    def box(self, tile: int) -> tuple[int, int, int, int]:
        """First column, first row, width and height of a tile, pixels."""
        row, column = divmod(tile, self.columns)
        left, top = column * self.tile_width, row * self.tile_height
        return left, top, min(self.tile_width, self.width - left), min(self.tile_height, self.height - top)

    def tiles_of(self, col: int, row: int, width: int, height: int) -> list[int]:
        """Numbers of the tiles that a window inside the image touches, ascending."""
        columns = range(col // self.tile_width, (col + width - 1) // self.tile_width + 1)
        rows = range(row // self.tile_height, (row + height - 1) // self.tile_height + 1)
        return [r * self.columns + c for r in rows for c in columns]


@dataclass(frozen=True, slots=True)
class Head:
    """What the first bytes of a file say."""

    boxes: bytes
    """Everything before the codestream but its box header: signature, image header, georeference."""
    main_header: bytes
    """The codestream's main header, SOC to the first tile-part."""
    tiling: Tiling
    bits: int
    """Bits a pixel, unsigned."""
    begin: int
    """Offset of the first tile-part in the file."""
    end: int
    """Offset behind the last tile-part in the file."""
    spans: dict[int, tuple[Span, ...]] | None
    """Where each tile's parts lie; None where the file does not say so (no TLM)."""


def parse_head(data: bytes, size: int, what: str) -> Head:
    """Parse the first bytes of a JP2 file of `size` bytes.

    Raises PermanentError with `what` for anything but a JP2 file of one unsigned band whose tiles begin
    at its origin.
    """
    if not data.startswith(SIGNATURE):
        raise PermanentError(f"{what} is not a JP2 file")
    try:
        begin, end = _find_codestream(data, size)
        return _parse_main_header(data, begin, end)
    except (struct.error, IndexError):
        raise PermanentError(f"{what} has no whole JP2 header in its first {len(data)} bytes") from None
    except ValueError as error:
        raise PermanentError(f"{what} is no JP2 file of one band: {error}") from None


def _find_codestream(data: bytes, size: int) -> Span:
    """Begin and end of the codestream in the file."""
    offset = 0
    while True:
        length, kind = struct.unpack_from(">I4s", data, offset)
        body = offset + 8
        if length == 1:
            (length,) = struct.unpack_from(">Q", data, body)
            body += 8
        end = size if length == 0 else offset + length
        if end < body or end > size:
            raise ValueError(f"a box {kind!r} that ends at {end} of {size} bytes")
        if kind == b"jp2c":
            return body, end
        offset = end


def _parse_main_header(data: bytes, begin: int, end: int) -> Head:
    if struct.unpack_from(">HH", data, begin) != (_SOC, _SIZ):
        raise ValueError("no codestream in its box")
    tiling, bits = _parse_size(data, begin + 4)
    lengths: list[tuple[int, bytes]] = []
    offset = begin + 2
    while (marker := struct.unpack_from(">H", data, offset)[0]) != _SOT:
        if not 0xFF51 <= marker <= 0xFF6F:
            raise ValueError(f"marker {marker:#x} in its main header")
        (length,) = struct.unpack_from(">H", data, offset + 2)
        if offset + 2 + length > len(data):
            raise IndexError
        if marker == _TLM:
            lengths.append((data[offset + 4], data[offset + 5 : offset + 2 + length]))
        offset += 2 + length
    if offset == begin + 2:
        raise ValueError("no image size")
    tail = end - 2  # EOC
    spans = _parse_lengths(lengths, offset, tail, tiling.count) if lengths else None
    main_header = _without_lengths(data[begin:offset])
    boxes = data[: begin - 8]
    _check_image_header(boxes, tiling, bits)
    return Head(boxes, main_header, tiling, bits, offset, tail, spans)


def _check_image_header(boxes: bytes, tiling: Tiling, bits: int) -> None:
    """Compare what the file says of its image outside the codestream, where it does."""
    at = boxes.find(b"ihdr")
    if at >= 0:
        height, width, bands, depth = struct.unpack_from(">IIHB", boxes, at + 4)
        said = (width, height, bands, depth)
        if said != (tiling.width, tiling.height, 1, bits - 1):
            raise ValueError(f"its header and its codestream differ: {said}")


def _parse_size(data: bytes, offset: int) -> tuple[Tiling, int]:
    """The SIZ segment; offset: of its length."""
    length, _, right, bottom, left, top, tile_width, tile_height, tile_left, tile_top, bands = (
        struct.unpack_from(">HHIIIIIIIIH", data, offset)
    )
    depth, step_x, step_y = struct.unpack_from(">BBB", data, offset + 38)
    if (left, top, tile_left, tile_top) != (0, 0, 0, 0):
        raise ValueError("its image or tiles do not begin at the origin")
    if bands != 1 or length != _SIZ_BYTES or depth & 0x80 or (step_x, step_y) != (1, 1):
        raise ValueError(f"{bands} bands, depth byte {depth:#x}")
    if not (right and bottom and tile_width and tile_height):
        raise ValueError("an image or tile without pixels")
    tiling = Tiling(right, bottom, tile_width, tile_height)
    if tiling.count > MAX_TILES:
        raise ValueError(f"{tiling.count} tiles")
    _, _, width, height = tiling.box(0)
    if width * height > MAX_TILE_PIXELS:
        raise ValueError(f"a tile of {width} x {height} pixels")
    return tiling, depth + 1


def _parse_lengths(
    segments: Sequence[tuple[int, bytes]], begin: int, end: int, tiles: int
) -> dict[int, tuple[Span, ...]]:
    """The TLM segments: numbers and lengths of the tile-parts in the order in which they lie."""
    spans: dict[int, list[Span]] = {}
    offset = begin
    number = -1
    for _, body in sorted(segments):
        form = body[0]
        number_bytes, length_bytes = (form >> 4) & 3, 4 if form & 0x40 else 2
        step = number_bytes + length_bytes
        if number_bytes == 3 or (len(body) - 1) % step:
            raise ValueError("a TLM marker of another form")
        for at in range(1, len(body), step):
            number = int.from_bytes(body[at : at + number_bytes], "big") if number_bytes else number + 1
            length = int.from_bytes(body[at + number_bytes : at + step], "big")
            if length < _SMALLEST_PART or number >= tiles:
                raise ValueError(f"a TLM marker with {length} bytes for tile {number}")
            spans.setdefault(number, []).append((offset, length))
            offset += length
    if offset != end or len(spans) != tiles:
        raise ValueError(f"TLM markers for {len(spans)} of {tiles} tiles, {offset - begin} bytes")
    return {tile: tuple(parts) for tile, parts in spans.items()}


def _without_lengths(header: bytes) -> bytes:
    """A main header without its TLM segments: they would be wrong for a part of the file."""
    return _without(header, _TLM)


def coding_of(head: Head) -> bytes:
    """How an image is laid out and coded: its main header without comments."""
    return _without(head.main_header, _COM)


def _without(header: bytes, unwanted: int) -> bytes:
    kept, offset = [header[:2]], 2
    while offset < len(header):
        marker, length = struct.unpack_from(">HH", header, offset)
        if marker != unwanted:
            kept.append(header[offset : offset + 2 + length])
        offset += 2 + length
    return b"".join(kept)


class TileParts:
    """Where a file's tiles lie: as its head says, or found by walking from one tile-part to the next."""

    def __init__(self, head: Head, read: Read, what: str) -> None:
        """read: the bytes of the file. what: product and band, for messages."""
        self._head = head
        self._read = read
        self._what = what
        self._spans: dict[int, tuple[Span, ...]] = dict(head.spans or {})
        self._whole = set(self._spans)
        self._parts = 0
        self._lock = Lock()
        self.walked_to = head.end if head.spans is not None else head.begin
        """Offset up to which the tile-parts are known."""

    def locate(self, tile: int) -> tuple[Span, ...]:
        """Spans of a tile's parts, in order. Raises PermanentError when the file has none of it."""
        with self._lock:
            while tile not in self._whole and self.walked_to < self._head.end:
                self._step()
        if tile not in self._spans:
            raise PermanentError(f"{self._what} has no tile {tile}")
        return self._spans[tile]

    def found_so_far(self) -> dict[int, tuple[Span, ...]]:
        """Every tile that is known to lie where it does."""
        return {tile: self._spans[tile] for tile in self._whole}

    def found(self, tile: int) -> bool:
        """Whether it is known already where a tile lies."""
        return tile in self._whole

    def read(self, tile: int) -> list[bytes]:
        """The tile-parts of a tile, checked to be its own."""
        parts = [self._read(offset, length) for offset, length in self.locate(tile)]
        for part in parts:
            number, length, _ = self._parse(part, len(part))
            if (number, length) != (tile, len(part)):
                raise PermanentError(f"{self._what}: another tile-part where tile {tile} should be")
        return parts

    def _step(self) -> None:
        """Go on by one tile-part, by the 12 bytes that it begins with."""
        most = self._head.end - self.walked_to
        number, length, announced = self._parse(self._read(self.walked_to, min(SOT_BYTES, most)), most)
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise PermanentError(f"{self._what} has more than {MAX_PARTS} tile-parts")
        self._spans[number] = (*self._spans.get(number, ()), (self.walked_to, length))
        self.walked_to += length
        # Where a part does not say how many there are, more may follow up to the end of the file.
        if len(self._spans[number]) == announced:
            self._whole.add(number)

    def _parse(self, data: bytes, most: int) -> tuple[int, int, int]:
        """Tile number, length, and how many parts the tile has (0: not said), of a tile-part."""
        if len(data) >= SOT_BYTES:
            marker, _, number, length, _, announced = struct.unpack_from(">HHHIBB", data)
            length = length or most
            if marker == _SOT and number < self._head.tiling.count and _SMALLEST_PART <= length <= most:
                return number, length, announced
        raise PermanentError(f"{self._what} has no tile-part where one should begin")


def isolate_tile(head: Head, tile: int, parts: Sequence[bytes]) -> bytes:
    """A codestream that holds one tile alone, as an image of the tile's size.

    parts: the tile-parts of the tile, in order. The wavelet's and the precincts' origin stays that of the
    whole image, so the pixels are the same bit for bit.
    """
    left, top, width, height = head.tiling.box(tile)
    header = bytearray(head.main_header)
    geometry = (left + width, top + height, left, top, head.tiling.tile_width, head.tiling.tile_height)
    struct.pack_into(">8I", header, 8, *geometry, left, top)
    renumbered = (part[:4] + b"\x00\x00" + part[6:] for part in parts)
    return b"".join([bytes(header), *renumbered, struct.pack(">H", _EOC)])


def describe_only(head: Head) -> bytes:
    """A small JP2 file with the head's geometry and georeference, and without pixels."""
    part = struct.pack(">HHHIBBH", _SOT, 10, 0, _SMALLEST_PART, 0, 1, _SOD)
    codestream = head.main_header + part + struct.pack(">H", _EOC)
    return head.boxes + struct.pack(">I4s", 8 + len(codestream), b"jp2c") + codestream
