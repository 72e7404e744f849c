"""Spatial splits: whole blocks of land go to one part, so that no part has seen another's ground. Pure."""

import math
from collections.abc import Mapping
from hashlib import blake2b

import numpy as np
import shapely
from numpy.typing import NDArray

from landpatch.dataset.selection import boxes_of
from landpatch.errors import RequestError
from landpatch.patch import PATCH_SIZE_M

DEFAULT_FRACTIONS = {"train": 0.7, "val": 0.15, "test": 0.15}
_TOUCHING_M = 0.01
"""Patches that share less than this are neighbours that touch."""
Block = tuple[int, int]
"""Column and row of a square of the grid that blocks are cut from, EPSG:3035."""


def split_patches(
    bounds: NDArray[np.float64],
    fractions: Mapping[str, float],
    block_m: float,
    seed: int,
    gap_m: float,
) -> dict[str, list[int]]:
    """Which patches belong to each part.

    bounds: (patch, 4) xmin ymin xmax ymax, metres, EPSG:3035. fractions: of the patches, by name of the
    part; they sum to 1. Land is cut into squares of `block_m` whose corners are multiples of it; a patch
    belongs to the block that holds its centre, a block as a whole to one part. Blocks are dealt in an order
    that depends on the seed and on where they lie alone, each to the part that lacks most.

    Where patches of two parts share ground (as patches of neighbouring regions of the public training set
    do), or lie nearer than `gap_m` to each other, those of the larger part are left out.

    Returns the numbers of the patches by part, rising. Raises RequestError for fractions, a block or a gap
    that make no split.
    """
    _check_request(fractions, block_m, gap_m)
    members: dict[Block, list[int]] = {}
    for number, block in enumerate(_blocks(bounds, block_m)):
        members.setdefault(block, []).append(number)
    used = {part: fraction for part, fraction in fractions.items() if fraction > 0}
    if len(members) < len(used):
        raise RequestError(
            f"{len(bounds)} patches lie in {len(members)} blocks of {block_m:g} m, too few for {len(used)}"
            " parts: choose a smaller block_m"
        )
    parts = _deal_blocks(members, used, len(bounds), seed)
    kept = _leave_gaps(bounds, parts, gap_m)
    return {part: sorted(kept.get(part, ())) for part in fractions}


def _check_request(fractions: Mapping[str, float], block_m: float, gap_m: float) -> None:
    if not fractions or min(fractions.values()) < 0 or not math.isclose(sum(fractions.values()), 1):
        raise RequestError(f"fractions have to be 0 or more and sum to 1, not {dict(fractions)}")
    if not math.isfinite(block_m) or block_m < PATCH_SIZE_M:
        raise RequestError(f"a block has to be {PATCH_SIZE_M} m or more, not {block_m}")
    if not math.isfinite(gap_m) or gap_m < 0:
        raise RequestError(f"a gap has to be 0 m or more, not {gap_m}")


def _blocks(bounds: NDArray[np.float64], block_m: float) -> list[Block]:
    """The block that holds the centre of each patch."""
    centres = (bounds[:, :2] + bounds[:, 2:]) / 2
    return [(col, row) for col, row in np.floor(centres / block_m).astype("int64").tolist()]


def _deal_blocks(
    members: Mapping[Block, list[int]], fractions: Mapping[str, float], total: int, seed: int
) -> dict[str, list[int]]:
    """Each block to the part that lacks most; the last blocks to the parts that have none yet."""
    parts: dict[str, list[int]] = {part: [] for part in fractions}
    order = sorted(members, key=lambda block: _draw(block, seed))
    for dealt, block in enumerate(order):
        empty = [part for part in parts if not parts[part]]
        open_to = empty if len(order) - dealt <= len(empty) else list(parts)
        lacks_most = max(open_to, key=lambda part: fractions[part] * total - len(parts[part]))
        parts[lacks_most] += members[block]
    return parts


def _draw(block: Block, seed: int) -> bytes:
    """A number that block and seed alone decide, the same on every machine."""
    return blake2b(f"{seed}/{block[0]}/{block[1]}".encode(), digest_size=8).digest()


def _leave_gaps(
    bounds: NDArray[np.float64], parts: Mapping[str, list[int]], gap_m: float
) -> dict[str, list[int]]:
    """The parts without the patches that come too near to those of a smaller part."""
    kept: dict[str, list[int]] = {}
    for part, numbers in sorted(parts.items(), key=lambda item: (len(item[1]), item[0])):
        taken = [number for others in kept.values() for number in others]
        near = _find_near(bounds[numbers], bounds[taken], gap_m)
        kept[part] = [number for number, is_near in zip(numbers, near, strict=True) if not is_near]
        if not kept[part]:
            raise RequestError(f"a gap of {gap_m:g} m leaves nothing of {part!r}: choose a smaller gap_m")
    return kept


def _find_near(bounds: NDArray[np.float64], others: NDArray[np.float64], gap_m: float) -> NDArray[np.bool_]:
    """Which patches share area with others, or lie nearer to them than a gap; (patch,)."""
    near = np.zeros(len(bounds), dtype="bool")
    # Two patches come nearer than the gap where one, grown by it on each side, shares area with the other.
    grown = bounds + np.array([-gap_m, -gap_m, gap_m, gap_m])
    number, other = shapely.STRtree(boxes_of(others).tolist()).query(boxes_of(grown))
    low = np.maximum(grown[number, :2], others[other, :2])
    high = np.minimum(grown[number, 2:], others[other, 2:])
    near[number[(high - low > _TOUCHING_M).all(axis=1)]] = True
    return near
