"""A product: what its small files say, and its bands on their way into memory."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

from landpatch.errors import PermanentError, TransientError
from landpatch.jp2 import HEAD_BYTES, TileParts, coding_of
from landpatch.messages import SceneRef
from landpatch.metadata import Checksum, parse_checksums, parse_radiometry
from landpatch.radiometry import Radiometry
from landpatch.sources.product_files import METADATA, ProductSource, RemoteFiles
from landpatch.stages import carry_context
from landpatch.transfer import Fetch, Rates, plan_fetch, split_rest
from landpatch.warp import NativeGrid
from services.image_worker.bands import Band, BandHead, open_head
from services.image_worker.loader import Chunk, ChunkedFile, Loader, MemoryBytes, Room
from services.image_worker.whole import WholeFile, check_files, tell_unchecked

Needed = Mapping[str, list[int]]
"""Numbers of the JP2 tiles that are needed of each band."""


@dataclass(frozen=True, slots=True)
class Product:
    """A product whose radiometry and band heads are known."""

    name: str
    radiometry: Radiometry
    bands: Mapping[str, BandHead]
    """`B1` … `B12`, `SCL`; all of one zone and corner."""

    @property
    def grids(self) -> Mapping[float, NativeGrid]:
        """The grids of the bands, by pixel size in metres."""
        return {band.grid.pixel_size_m: band.grid for band in self.bands.values()}


@dataclass(frozen=True, slots=True)
class Plan:
    """How to fetch what is needed of a product."""

    needed: Needed
    bands: tuple[tuple[BandHead, Fetch], ...]
    """With where their tiles lie, as far as that is known."""
    held_bytes: int
    """Of its files, in memory at once, when those that come whole are to be checked; 0 when none does."""


def describe_product(name: str, radiometry: Radiometry, heads: Mapping[str, BandHead]) -> Product:
    """Check that bands belong together; raises PermanentError."""
    corners = {(band.grid.crs, band.grid.left, band.grid.top) for band in heads.values()}
    if len(corners) != 1:
        raise PermanentError(f"{name}: its bands do not share one zone and corner")
    first: dict[tuple[float, int], BandHead] = {}
    for band in heads.values():
        other = first.setdefault((band.grid.pixel_size_m, band.head.bits), band)
        # A flipped byte there would be decoded without an error, to other pixels.
        if coding_of(band.head) != coding_of(other.head):
            raise PermanentError(f"{band.what} is coded otherwise than {other.name}")
    return Product(name, radiometry, heads)


class RemoteProduct:
    """A product of which parts are fetched as they are needed."""

    held_bytes = 0
    """Of its files, in memory."""

    def __init__(self, remote: RemoteFiles, connections: int, name: str) -> None:
        """Read its metadata and the first bytes of each band; connections: how many at a time.

        Raises PermanentError or TransientError.
        """
        self._files, self._ask = remote.files, remote.read
        self._connections = connections
        metadata = self._files.metadata
        self._first = {metadata: self._ask(metadata, 0, self._files.sizes[metadata])}
        """First bytes of each file, by key; of the metadata all."""
        radiometry = parse_radiometry(self._first[metadata], name)
        with ThreadPoolExecutor(connections, initializer=carry_context()) as pool:
            heads = dict(pool.map(lambda band: (band, self._read_head(name, band)), self._files.bands))
        self.product = describe_product(name, radiometry, heads)

    def _read_head(self, name: str, band: str) -> BandHead:
        key = self._files.bands[band]
        size = self._files.sizes[key]
        self._first[key] = self._ask(key, 0, min(HEAD_BYTES, size))
        return open_head(self._first[key], size, band, name)

    def _read(self, key: str, offset: int, length: int) -> bytes:
        """Exactly so many bytes of a file; its first are there already, and are not asked for again."""
        held = self._first.get(key, b"")[offset : offset + length]
        if len(held) == length:
            return held
        return held + self._ask(key, offset + len(held), length - len(held))

    def plan(self, needed: Needed, rates: Rates) -> Plan:
        """How to fetch what is needed. Raises PermanentError or TransientError."""
        with ThreadPoolExecutor(self._connections, initializer=carry_context()) as pool:
            bands = tuple(
                pool.map(lambda band: self._plan(band, needed[band.name], rates), self.product.bands.values())
            )
        some_whole = any(fetch.to_the_end for _, fetch in bands)
        every = sum(self._files.sizes[key] for key in self._files.bands.values())
        return Plan(needed, bands, every if some_whole else 0)

    @contextmanager
    def fetch(self, plan: Plan, room: Room, hold: bool) -> Iterator[dict[str, Band]]:
        """Begin to fetch what is needed; the bands wait, tile by tile, for what has not come yet.

        hold: files that come whole are waited for, and checked, before there is a band. Raises PermanentError
        or TransientError for one that is wrong.
        """
        chunks = {band.name: self._split(band, fetch) for band, fetch in plan.bands}
        every = [chunk for own in chunks.values() for chunk in own]
        whole = [self._whole(band, chunks[band.name]) for band, fetch in plan.bands if fetch.to_the_end]
        with Loader(self._read, every, self._connections, room) as loader:
            if whole and hold:
                metadata = self._files.metadata
                whole.append(WholeFile(f"{self.product.name}: {METADATA}", metadata, self._first[metadata]))
                check_files(whole, self._read_checksums, loader, self._ask)
            else:
                tell_unchecked(whole, "no room for whole files: LANDPATCH_MEMORY_BYTES")
            yield {
                band.name: Band(band, ChunkedFile(loader, chunks[band.name]), plan.needed[band.name])
                for band, _ in plan.bands
            }

    def _plan(self, band: BandHead, needed: Sequence[int], rates: Rates) -> tuple[BandHead, Fetch]:
        fetch = plan_fetch(band.head, needed, rates)
        if fetch.how != "walk":
            return band, fetch
        key = self._files.bands[band.name]
        parts = TileParts(band.head, partial(self._read, key), band.what)
        for tile in needed:
            parts.locate(tile)
        known = replace(band, head=replace(band.head, spans=parts.found_so_far()))
        return known, plan_fetch(known.head, needed, rates)

    def _split(self, band: BandHead, fetch: Fetch) -> list[Chunk]:
        """What is fetched with one request each; chunks of all bands are fetched from north to south."""
        head, key = band.head, self._files.bands[band.name]
        # Behind the last tile a file goes on, mostly for two bytes.
        spans = split_rest(head.begin, self._files.sizes[key]) if fetch.to_the_end else fetch.spans
        return [Chunk(key, span, (span[0] - head.begin) / (head.end - head.begin)) for span in spans]

    def _whole(self, band: BandHead, chunks: Sequence[Chunk]) -> WholeFile:
        key = self._files.bands[band.name]
        return WholeFile(band.what, key, self._first[key][: band.head.begin], chunks)

    def _read_checksums(self) -> Mapping[str, Checksum]:
        """What the manifest says, by key; nothing where there is none to read."""
        manifest, name = self._files.manifest, self.product.name
        if manifest is None:
            return {}
        try:
            xml = self._ask(manifest, 0, self._files.sizes[manifest])
        except PermanentError:
            return {}  # it is listed, and is not there
        try:
            said = parse_checksums(xml, name)
        except PermanentError as error:
            if self._ask(manifest, 0, len(xml)) != xml:
                raise TransientError(f"{name}: its manifest came differently the second time") from error
            raise
        return {self._files.key_of(path): checksum for path, checksum in said.items()}


class MemoryProduct:
    """A product whose band files are in memory, whole."""

    def __init__(self, name: str, radiometry: Radiometry, files: Mapping[str, bytes]) -> None:
        """files: JP2 bytes of `B1` … `B12` and `SCL`. Raises PermanentError."""
        self._files = files
        self.held_bytes = sum(map(len, files.values()))
        """Of its files, in memory."""
        heads = {band: open_head(data[:HEAD_BYTES], len(data), band, name) for band, data in files.items()}
        self.product = describe_product(name, radiometry, heads)

    def plan(self, needed: Needed, rates: Rates) -> Plan:
        """Nothing is left to fetch, whatever the rates."""
        return Plan(needed, (), self.held_bytes)

    @contextmanager
    def fetch(self, plan: Plan, room: Room, hold: bool) -> Iterator[dict[str, Band]]:
        """The bands; nothing is left to fetch or to check."""
        yield self.open(plan.needed)

    def open(self, needed: Needed) -> dict[str, Band]:
        """The bands, for tiles that are decoded once each."""
        return {
            name: Band(head, MemoryBytes(self._files[name]), needed[name])
            for name, head in self.product.bands.items()
        }


def open_product(source: ProductSource, scene: SceneRef, most_bytes: int) -> RemoteProduct | MemoryProduct:
    """Find a product and read what its small files and the first bytes of its bands say.

    most_bytes: of memory that its files may take, where they come whole. Raises PermanentError or
    TransientError.
    """
    files = source.open_product(scene, most_bytes)
    if isinstance(files, RemoteFiles):
        return RemoteProduct(files, source.connections, scene.name)
    return MemoryProduct(scene.name, parse_radiometry(files.metadata, scene.name), files.bands)
