"""Cuts one patch many times over, as a worker does: `python -m tests.unit.services.cut_many FOLDER THREADS`.

Prints how many bytes that took at its height, and how many were foreseen.
"""

import json
import sys
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from landpatch.codec import check_image, decode_observation, encode_image, encode_observation
from landpatch.composite import Observation, compose_best
from landpatch.patch import Patch
from services.image_worker.cut import cut_patches, locate_patches, needed_tiles
from services.image_worker.loader import Room
from services.image_worker.memory import making_bytes, needed_bytes
from services.image_worker.product import MemoryProduct
from tests.memory import measured
from tests.scenes import IN_THREE_TILES, NO_OFFSET

TIMES, EARLIER = 80, 5


def make(patch: Patch, seen: Observation | None) -> bytes:
    """An image of what is seen, behind earlier observations."""
    assert seen is not None
    kept = encode_observation(seen)

    def earlier() -> Iterator[Observation]:
        for _ in range(EARLIER):
            yield decode_observation(kept, seen.scene_id)

    data = encode_image(compose_best(chain(earlier(), [seen])).bands, patch, {})
    check_image(data, patch)
    return data


def main(folder: str, threads: int) -> None:
    """folder: with the JP2 files of the bands."""
    files = {path.stem: path.read_bytes() for path in Path(folder).glob("*.jp2")}
    opened = MemoryProduct("S2A_MSIL2A_TEST.SAFE", NO_OFFSET, files)
    sites = locate_patches(opened.product, [Patch(0, *IN_THREE_TILES, 0)] * TIMES)
    bands = opened.open(needed_tiles(opened.product, sites))
    with measured() as peak:
        made = cut_patches(opened.product, bands, sites, "scene", make, threads, Room(2**31))
        assert sum(1 for _ in made) == TIMES
    foreseen = needed_bytes(opened.product, sites, threads, with_files=False)
    print(json.dumps({"taken": peak.taken, "foreseen": foreseen, "making": making_bytes(threads)}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
