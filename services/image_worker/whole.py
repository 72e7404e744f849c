"""Files that come whole, checked against their product's manifest before anything is made of them."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import structlog

from landpatch.errors import PermanentError, TransientError
from landpatch.metadata import Checksum, Hash
from services.image_worker.loader import Chunk, Loader, Read

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class WholeFile:
    """A file all bytes of which come."""

    what: str
    """Product and file, for messages."""
    key: str
    head: bytes
    """Its first bytes, which are there, and have been believed."""
    chunks: Sequence[Chunk] = ()
    """All that follow, by offset."""


def check_files(
    files: Collection[WholeFile], manifest: Callable[[], Mapping[str, Checksum]], loader: Loader, read: Read
) -> None:
    """Wait for files, each hashed while it comes; one with another checksum is fetched once more.

    manifest: reads it anew; checksums by key. Files that it does not name are not checked, and a line of the
    log says so. read: the source itself.

    Raises PermanentError for a file that is always the same and not what its manifest says, TransientError
    for one that comes differently each time: it is not the file that is wrong.
    """
    said = manifest()
    tell_unchecked([file for file in files if file.key not in said], "no checksum in the product's manifest")
    named = [file for file in files if file.key in said]
    found = _hash(named, said, loader)
    wrong = [file for file in named if found[file.key] != said[file.key].digest]
    if not wrong:
        return
    log.warning("other bytes than the manifest says", files=[file.what for file in wrong])
    if manifest() != said:
        raise TransientError(f"{wrong[0].what}: the product's manifest came differently the second time")
    for file in wrong:
        if read(file.key, 0, len(file.head)) != file.head:
            raise TransientError(f"{file.what} began differently the second time")
        for chunk in file.chunks:
            loader.fetch_again(chunk, read)
    again = _hash(wrong, said, loader)
    for file in wrong:
        if again[file.key] == said[file.key].digest:
            continue
        if again[file.key] == found[file.key]:
            raise PermanentError(f"{file.what} is not what its manifest says: another {said[file.key].name}")
        raise TransientError(f"{file.what} came differently each time, and never as its manifest says")


def tell_unchecked(files: Collection[WholeFile], reason: str) -> None:
    """A line of the log for files that come whole and are not checked."""
    if files:
        log.warning("not checked", files=[file.what for file in files], reason=reason)


def _hash(files: Collection[WholeFile], said: Mapping[str, Checksum], loader: Loader) -> dict[str, str]:
    """Digests of files, by key; each chunk is hashed when it has come, in the order in which they come."""
    hashes: dict[str, Hash] = {}
    for file in files:
        hashes[file.key] = said[file.key].begin()
        hashes[file.key].update(file.head)
    for chunk in sorted((chunk for file in files for chunk in file.chunks), key=lambda chunk: chunk.rank):
        hashes[chunk.key].update(loader.get(chunk))
    return {key: digest.hexdigest() for key, digest in hashes.items()}
