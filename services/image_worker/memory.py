"""How much of a product has to be in memory at once: pure, from its heads and the order of its patches.

Fetching ahead waits for room; what a patch needs now does not, and has to fit. A process holds

    FIXED_BYTES + the tiles and files of patches in work + what its threads make + results that wait

and all but the first grows with the number of threads, none with the number of patches.
"""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate

from landpatch.errors import PermanentError
from landpatch.transfer import CHUNK_BYTES
from services.image_worker.bands import BandHead
from services.image_worker.cut import Site, TileKey, most_in_work
from services.image_worker.product import Product

FIXED_BYTES = 320 * 2**20
"""What a worker process needs besides: its code and clients (185 MB were measured), its uploads (nine times
`RESULT_BYTES`), a chunk more for each of four connections while it is put together, and some to spare."""
THREAD_BYTES = 60_000_000
"""What a thread takes that makes a patch: warp, observation, an earlier one at a time, composite, GeoTIFF.
Measured on 1, 4 and 16 threads with MALLOC_ARENA_MAX=2: 29 to 36 MB each, with five earlier observations 47
to 59 MB; with an arena a thread it is twice as much."""
RESULT_BYTES = 7_000_000
"""Of a patch that is made and waits to be stored: its image, 14 bands of float64, as if it could not be
deflated. An observation that is kept has 6 MB."""
_DECODER_BYTES = 4
"""That OpenJPEG takes for a pixel of the tile that it decodes."""


def fit_threads(product: Product, sites: Sequence[Site], most: int, limit: int, held: int = 0) -> int:
    """On how many threads, `most` or fewer, a product can be cut within so many bytes.

    held: bytes of its files when all of them are in memory already. Raises PermanentError when it cannot be
    on a single one.
    """

    def needed(threads: int) -> int:
        return held + needed_bytes(product, sites, threads, with_files=not held)

    threads = bisect_right(range(1, most + 1), limit, key=needed)
    if not threads:
        raise PermanentError(
            f"{product.name} needs {needed(1) // 10**6} MB of memory at once, "
            f"{limit // 10**6} MB are left of LANDPATCH_MEMORY_BYTES"
        )
    return threads


def needed_bytes(product: Product, sites: Sequence[Site], threads: int, *, with_files: bool = True) -> int:
    """Most bytes that are held at a time when nothing is fetched ahead: compressed, decoded, in the making
    and waiting to be stored.

    sites: in the order in which they are cut. with_files: count what is held of the files. Where a file does
    not say how long its tile-parts are, they are taken to be equal.
    """
    in_work = most_in_work(threads)
    steps = len(sites) + in_work
    begun: dict[TileKey, int] = {}
    ended: dict[TileKey, int] = {}
    for step, site in enumerate(sites):
        for key in site.tiles:
            begun.setdefault(key, step)
            ended[key] = step + in_work
    changes = [0] * (steps + 1)
    for (name, tile), step in begun.items():
        size = _decoded_bytes(product.bands[name], tile)
        changes[step] += size
        changes[ended[name, tile]] -= size
    heads = product.bands.values() if with_files else ()
    files = [_held_of_file(head, begun, in_work, steps) for head in heads]
    held = (decoded + sum(parts) for decoded, *parts in zip(accumulate(changes[:-1]), *files, strict=True))
    return max(held, default=0) + working_bytes(product, sites, threads)


def working_bytes(product: Product, sites: Sequence[Site], threads: int) -> int:
    """What so many threads take beside the product's bytes, each decoding a tile or making a patch, and the
    results that wait."""
    keys = {key for site in sites for key in site.tiles}
    decoding = sorted(_decoder_bytes(product.bands[name], tile) for name, tile in keys)[-threads:]
    return making_bytes(threads) + sum(max(0, size - THREAD_BYTES) for size in decoding)


def making_bytes(threads: int) -> int:
    """What so many threads take that make patches, and the results that wait."""
    return threads * THREAD_BYTES + most_in_work(threads) * RESULT_BYTES


def _held_of_file(head: BandHead, begun: dict[TileKey, int], in_work: int, steps: int) -> list[int]:
    """Bytes of a band's file that are held at each step, in whole chunks: from the first tile that may still
    have to be decoded to the last that has been asked for."""
    tiles = sorted((_begin(head, tile), tile) for name, tile in begun if name == head.name)
    sizes = [_length(head, tile) for _, tile in tiles]
    before = [0, *accumulate(sizes)]
    last, first = [-1] * steps, [len(tiles)] * steps
    for number, (_, tile) in enumerate(tiles):
        step = begun[head.name, tile]
        last[step] = max(last[step], number)
        waits_until = min(step + in_work, steps) - 1
        first[waits_until] = min(first[waits_until], number)
    asked_for = accumulate(last, max)
    waiting = list(accumulate(reversed(first), min))[::-1]
    return [
        min(before[end + 1] - before[begin] + CHUNK_BYTES, before[-1]) if begin <= end else 0
        for begin, end in zip(waiting, asked_for, strict=True)
    ]


def _begin(head: BandHead, tile: int) -> int:
    spans = head.head.spans
    return spans[tile][0][0] if spans else tile


def _length(head: BandHead, tile: int) -> int:
    spans = head.head.spans
    if spans:
        return sum(length for _, length in spans[tile])
    return (head.head.end - head.head.begin) // head.head.tiling.count


def _pixels(head: BandHead, tile: int) -> int:
    _, _, width, height = head.head.tiling.box(tile)
    return width * height


def _decoded_bytes(head: BandHead, tile: int) -> int:
    return _pixels(head, tile) * (1 if head.head.bits <= 8 else 2)


def _decoder_bytes(head: BandHead, tile: int) -> int:
    """What decoding a tile takes besides its pixels: the decoder's own, and the tile-parts twice."""
    return _pixels(head, tile) * _DECODER_BYTES + _decoded_bytes(head, tile) + 2 * _length(head, tile)
