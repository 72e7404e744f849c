"""Label notes: which edition and source stored labels are from, for as long as no index says it.

The bytes of a label do not tell, and not every store keeps the metadata of an object. So a worker stores a
note of the labels that it is about to store, with their checksums: whoever has read the notes knows each
label that is there. The indexer removes them.
"""

from collections import defaultdict
from collections.abc import Mapping, Set
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Literal

import structlog
from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from landpatch.codec import sha256
from landpatch.errors import PermanentError
from landpatch.layout import RegionLayout
from landpatch.messages import Edition, PatchName
from landpatch.storage import Store

Origin = tuple[int, str]
"""Edition and source, as of `LabelFacts`."""
Noted = Mapping[tuple[str, str], Set[Origin]]
"""Origins by patch and checksum; two editions may have the same bytes."""
log = structlog.get_logger()


class LabelNote(BaseModel):
    """What a note says."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    edition: Edition
    source: Annotated[str, StringConstraints(min_length=1)]
    """The recipe of the `LabelSource`."""
    checksums: dict[PatchName, Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]]
    """SHA-256 of the label of each patch."""


def parse_note(data: bytes) -> LabelNote:
    """Read a note; raises PermanentError when it is none."""
    try:
        return LabelNote.model_validate_json(data)
    except ValidationError as error:
        raise PermanentError(f"not a label note: {error.errors()[0]['msg']}") from error


def store_note(store: Store, layout: RegionLayout, origin: Origin, labels: Mapping[str, bytes]) -> None:
    """Note the origin of labels that are stored next, by patch name."""
    edition, source = origin
    checksums = {name: sha256(data) for name, data in labels.items()}
    content = LabelNote(edition=edition, source=source, checksums=checksums).model_dump_json().encode()
    store.put(layout.label_note(content), content, "application/json")


def read_notes(store: Store, layout: RegionLayout, pool: ThreadPoolExecutor) -> Noted:
    """What all notes of a region say; one that cannot be read is left out, with a warning."""
    keys = [entry.key for entry in store.find(layout.label_notes)]
    noted: dict[tuple[str, str], set[Origin]] = defaultdict(set)
    for key, data in zip(keys, pool.map(store.get, keys), strict=True):
        try:
            note = parse_note(data or b"")
        except PermanentError as error:
            log.warning("a label note cannot be read", key=key, reason=str(error))
            continue
        for name, checksum in note.checksums.items():
            noted[name, checksum].add((note.edition, note.source))
    return noted
