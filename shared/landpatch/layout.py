"""Every key and file name, built from validated parts only."""

import re
from dataclasses import dataclass

from landpatch.errors import RequestError
from landpatch.grid import parse_patch

NUTS3_PATTERN = re.compile(r"[A-Z]{2}[A-Z0-9]{3}")
_SCENE_ID = re.compile(r"[0-9a-fA-F-]{8,64}")


def parse_nuts(text: str) -> str:
    """The NUTS3 code that a user means; raises RequestError for what cannot be one."""
    nuts = text.strip().upper()
    if not NUTS3_PATTERN.fullmatch(nuts):
        raise RequestError(f"{nuts!r} is not a NUTS3 code: five characters, such as FR101 or LU000")
    return nuts


def probe_key(prefix: str) -> str:
    """Key of an object that is stored and removed at once, to see whether that can be done."""
    return f"{prefix}/write-probe"


@dataclass(frozen=True, slots=True)
class RegionLayout:
    """The keys of one region and year below a prefix of the store."""

    prefix: str
    nuts: str
    year: int

    def __post_init__(self) -> None:
        """Refuse what could lead out of the prefix; raises ValueError."""
        if not NUTS3_PATTERN.fullmatch(self.nuts) or not 2000 <= self.year <= 2999:
            raise ValueError(f"not a region and year: {self.nuts!r}, {self.year!r}")
        if not re.fullmatch(r"[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*", self.prefix) or ".." in self.prefix:
            raise ValueError(f"not a key prefix: {self.prefix!r}")

    @property
    def images(self) -> str:
        """Folder of the images and the indexes."""
        return f"{self.prefix}/images/{self.nuts}/{self.year}/"

    @property
    def labels(self) -> str:
        """Folder of the labels."""
        return f"{self.prefix}/labels/{self.nuts}/{self.year}/"

    @property
    def observations(self) -> str:
        """Folder of the observations kept while a patch waits for its next product."""
        return f"{self.prefix}/observations/{self.nuts}/{self.year}/"

    def image(self, patch: str) -> str:
        """Key of a patch's image."""
        return f"{self.images}{parse_patch(patch).name}.tif"

    def label(self, patch: str) -> str:
        """Key of a patch's label."""
        return f"{self.labels}{parse_patch(patch).name}.npy"

    def observation(self, patch: str, scene_id: str) -> str:
        """Key of what one scene shows of a patch."""
        if not _SCENE_ID.fullmatch(scene_id):
            raise ValueError(f"not a product id: {scene_id!r}")
        return f"{self.observations}{parse_patch(patch).name}/{scene_id}.npz"

    @property
    def filename2bbox(self) -> str:
        """Key of the index that readers of the public training set know."""
        return f"{self.images}filename2bbox.parquet"

    @property
    def patches(self) -> str:
        """Key of the GeoParquet with a row for every cell."""
        return f"{self.images}patches.parquet"

    @property
    def normalization(self) -> str:
        """Key of the band statistics."""
        return f"{self.images}metrics-normalization.yaml"


def patch_of_key(key: str) -> str | None:
    """The patch name that an object's key tells of; None for a foreign object."""
    stem = key.rsplit("/", 1)[-1].rsplit(".", 1)[0]
    try:
        return parse_patch(stem).name
    except ValueError:
        return None
