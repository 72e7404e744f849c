"""Every key and file name, built from validated parts only."""

import re
import uuid
from dataclasses import dataclass, field
from hashlib import sha256

from landpatch.errors import RequestError
from landpatch.patch import parse_patch

NUTS3_PATTERN = re.compile(r"[A-Z]{2}[A-Z0-9]{3}")
PUBLISHED_REGION_PATTERN = re.compile(r"[A-Z0-9]{2,16}")
"""The public training set has a region that is no NUTS3 region: UKRAINE."""
_SCENE_ID = re.compile(r"[0-9a-fA-F-]{8,64}")
_PATCH_NAME = re.compile(r"-?\d{1,8}_-?\d{1,8}_\d{1,6}_\d{1,9}")
_INDEX_FOLDER = re.compile(
    rf"(?P<above>(?:.*/)?)images/(?P<nuts>{PUBLISHED_REGION_PATTERN.pattern})/(?P<year>2\d{{3}})"
    r"(?:/(?:filename2bbox\.parquet)?)?"
)


def parse_nuts(text: str) -> str:
    """The NUTS3 code that a user means; raises RequestError for what cannot be one."""
    nuts = text.strip().upper()
    if not NUTS3_PATTERN.fullmatch(nuts):
        raise RequestError(f"{nuts!r} is not a NUTS3 code: five characters, such as FR101 or LU000")
    return nuts


def probe_key(prefix: str) -> str:
    """Key of an object that is stored and removed at once, to see whether that can be done.

    Another one each time: a store over a folder cannot have one object stored and removed by many at once.
    """
    return f"{prefix}/write-probe-{uuid.uuid4().hex}"


@dataclass(frozen=True, slots=True)
class RegionLayout:
    """The keys of one region and year below a prefix of the store."""

    prefix: str
    nuts: str
    year: int

    def __post_init__(self) -> None:
        """Refuse what could lead out of the prefix; raises ValueError."""
        self._check()

    def _check(self) -> None:
        if not NUTS3_PATTERN.fullmatch(self.nuts) or not 2000 <= self.year <= 2999:
            raise ValueError(f"not a region and year: {self.nuts!r}, {self.year!r}")
        if not re.fullmatch(r"[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*", self.prefix) or ".." in self.prefix:
            raise ValueError(f"not a key prefix: {self.prefix!r}")

    def _stem(self, patch: str) -> str:
        """The stem of a patch's files; raises ValueError for what is no name of a patch."""
        return parse_patch(patch).name

    @property
    def _root(self) -> str:
        return f"{self.prefix}/" if self.prefix else ""

    @property
    def images(self) -> str:
        """Folder of the images and the indexes."""
        return f"{self._root}images/{self.nuts}/{self.year}/"

    @property
    def labels(self) -> str:
        """Folder of the labels."""
        return f"{self._root}labels/{self.nuts}/{self.year}/"

    @property
    def observations(self) -> str:
        """Folder of what is kept until the index is written: observations of patches that wait for their next
        product, and label notes."""
        return f"{self._root}observations/{self.nuts}/{self.year}/"

    @property
    def label_notes(self) -> str:
        """Folder of the label notes."""
        return f"{self.observations}labels/"

    def label_note(self, content: bytes) -> str:
        """Key of a label note: another content, another key."""
        return f"{self.label_notes}{sha256(content).hexdigest()[:32]}.json"

    def image(self, patch: str) -> str:
        """Key of a patch's image."""
        return f"{self.images}{self._stem(patch)}.tif"

    def label(self, patch: str) -> str:
        """Key of a patch's label."""
        return f"{self.labels}{self._stem(patch)}.npy"

    def observations_of(self, scene_id: str, recipe: str) -> str:
        """Folder of what one scene shows of patches whose images are made by a recipe."""
        if not _SCENE_ID.fullmatch(scene_id):
            raise ValueError(f"not a product id: {scene_id!r}")
        return f"{self.observations}{sha256(recipe.encode()).hexdigest()[:16]}/{scene_id}/"

    def observation(self, patch: str, scene_id: str, recipe: str) -> str:
        """Key of what one scene shows of a patch."""
        return f"{self.observations_of(scene_id, recipe)}{self._stem(patch)}.npz"

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


@dataclass(frozen=True, slots=True)
class PublishedLayout(RegionLayout):
    """The keys of one region and year below the place where a training set lies: to read, not to write.

    The set may be another's, such as the public training set, whose grid is anchored in each region: the
    names of its patches have the form of ours, but their corners need not be multiples of 2500.
    """

    prefix: str = field(default="", init=False)

    def _check(self) -> None:
        if not PUBLISHED_REGION_PATTERN.fullmatch(self.nuts) or not 2000 <= self.year <= 2999:
            raise ValueError(f"not a region and year: {self.nuts!r}, {self.year!r}")

    def _stem(self, patch: str) -> str:
        if not _PATCH_NAME.fullmatch(patch):
            raise ValueError(f"not the name of a patch: {patch!r}")
        return patch


def split_index_folder(key: str) -> tuple[str, str, int] | None:
    """What lies above the images of a region, its code and its year, of the folder of its indexes or of
    its `filename2bbox.parquet`; None for any other key or address.

    `…/data/images/FR101/2021/` -> `…/data/`, `FR101`, 2021.
    """
    found = _INDEX_FOLDER.fullmatch(key)
    return (found["above"], found["nuts"], int(found["year"])) if found else None


def patch_of_key(key: str) -> str | None:
    """The patch name that an object's key tells of; None for a foreign object."""
    stem = key.rsplit("/", 1)[-1].rsplit(".", 1)[0]
    try:
        return parse_patch(stem).name
    except ValueError:
        return None


def patch_of_filename(filename: str) -> str | None:
    """The patch name, on whatever grid, that an entry of `filename2bbox.parquet` tells of; None for a
    foreign one."""
    name = filename.removesuffix(".tif")
    return name if name != filename and _PATCH_NAME.fullmatch(name) else None
