"""Patches -> blocks of labels: windows as large as the label service allows, around patches that are near."""

from collections.abc import Sequence

from landpatch.patch import PATCH_SIZE_M, PATCH_SIZE_PX, Patch

GAP_CELLS = 8
"""So many columns without a patch begin a new block: further away, what nobody needs costs more than a
request."""


def lay_blocks(patches: Sequence[Patch], max_width_px: int, max_height_px: int) -> list[tuple[Patch, ...]]:
    """Group patches into blocks whose window is at most so large.

    Strips as high as allowed, from south to north, each cut from west to east where it gets too wide or
    where nothing is for a while. Every patch is in one block; the order of `patches` does not matter.
    Raises ValueError when not even one patch is allowed.
    """
    most_cols, most_rows = max_width_px // PATCH_SIZE_PX, max_height_px // PATCH_SIZE_PX
    if most_cols < 1 or most_rows < 1:
        raise ValueError(f"{max_width_px} x {max_height_px} pixels are less than a patch")
    south = min((patch.ymin for patch in patches), default=0)
    blocks: list[list[Patch]] = []
    strip, west = -1, 0
    for patch in sorted(
        patches, key=lambda p: ((p.ymin - south) // PATCH_SIZE_M // most_rows, p.xmin, p.ymin)
    ):
        row = (patch.ymin - south) // PATCH_SIZE_M // most_rows
        col = patch.xmin // PATCH_SIZE_M
        last = blocks[-1][-1].xmin // PATCH_SIZE_M if blocks else 0
        if row != strip or col - west >= most_cols or col - last > GAP_CELLS:
            blocks.append([])
            strip, west = row, col
        blocks[-1].append(patch)
    return [tuple(block) for block in blocks]


def bound_block(patches: Sequence[Patch]) -> tuple[int, int, int, int]:
    """The window around patches: xmin ymin xmax ymax, metres, EPSG:3035."""
    bounds = [patch.bounds for patch in patches]
    west, south = min(b[0] for b in bounds), min(b[1] for b in bounds)
    return west, south, max(b[2] for b in bounds), max(b[3] for b in bounds)


def lay_rectangles(patches: Sequence[Patch], most_cells: int) -> list[tuple[Patch, ...]]:
    """Group patches into rectangles without a gap, at most so many cells a side.

    From south to north and west to east, each as wide as it gets and then as high. Every patch is in one; the
    order of `patches` does not matter.
    """
    left = {(patch.ymin // PATCH_SIZE_M, patch.xmin // PATCH_SIZE_M): patch for patch in patches}
    rectangles = []
    for row, col in sorted(left):
        if (row, col) not in left:
            continue
        width = height = 1
        while width < most_cells and (row, col + width) in left:
            width += 1
        while height < most_cells and all((row + height, col + right) in left for right in range(width)):
            height += 1
        cells = [(row + up, col + right) for up in range(height) for right in range(width)]
        rectangles.append(tuple(left.pop(cell) for cell in cells))
    return rectangles


def halve_block(patches: Sequence[Patch]) -> tuple[tuple[Patch, ...], tuple[Patch, ...]]:
    """Cut a block of two or more different patches in two across the longer side of its window."""
    west, south, east, north = bound_block(patches)
    if east - west >= north - south:
        first = tuple(patch for patch in patches if 2 * patch.xmin < west + east - PATCH_SIZE_M + 1)
    else:
        first = tuple(patch for patch in patches if 2 * patch.ymin < south + north - PATCH_SIZE_M + 1)
    chosen = set(first)
    return first, tuple(patch for patch in patches if patch not in chosen)
