"""A patch: one cell of the European grid, its name and its size."""

from dataclasses import dataclass
from typing import Literal

CRS = "EPSG:3035"
PATCH_SIZE_M = 2500
PATCH_SIZE_PX = 250
PIXEL_SIZE_M = 10

Cover = Literal["intersects", "within"]


@dataclass(frozen=True, order=True, slots=True)
class Patch:
    """One 2500 m cell of the European grid that belongs to a region.

    The four numbers are functions of the region's boundary alone.
    """

    cell_id: int
    """Row-major number of the cell in the region's full rectangle, from its lower-left cell."""
    xmin: int
    """Lower-left corner, metres, EPSG:3035; a multiple of 2500."""
    ymin: int
    """Lower-left corner, metres, EPSG:3035; a multiple of 2500."""
    part: int
    """Which part of the region's polygon the cell belongs to; parts ordered by falling area."""

    @property
    def name(self) -> str:
        """`{xmin}_{ymin}_{part}_{cell_id}`, the stem of the file names."""
        return f"{self.xmin}_{self.ymin}_{self.part}_{self.cell_id}"

    @property
    def bounds(self) -> tuple[int, int, int, int]:
        """(xmin, ymin, xmax, ymax), metres, EPSG:3035."""
        return self.xmin, self.ymin, self.xmin + PATCH_SIZE_M, self.ymin + PATCH_SIZE_M


def parse_patch(name: str) -> Patch:
    """The patch that a name `{xmin}_{ymin}_{part}_{cell_id}` tells of.

    Raises ValueError for anything that is not such a name on the 2500 m grid.
    """
    xmin, ymin, part, cell_id = (int(field) for field in name.split("_"))
    patch = Patch(cell_id=cell_id, xmin=xmin, ymin=ymin, part=part)
    if patch.name != name or xmin % PATCH_SIZE_M or ymin % PATCH_SIZE_M or part < 0 or cell_id < 0:
        raise ValueError(f"not the name of a patch on the {PATCH_SIZE_M} m grid: {name!r}")
    return patch
