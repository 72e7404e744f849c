"""What a region will take, before anything runs: patches, products, bytes, requests, time. Pure.

The first round is the planner's own. Which patches clouds leave incomplete nobody knows before the pixels
are there, so the later rounds are played through with a chance that depends on the cloud cover, the same
each time.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields, replace
from zlib import crc32

from landpatch.coverage import Coverage, Scene, plan_first_round, plan_next_round
from landpatch.grid import PATCH_SIZE_M, Patch, parse_patch
from landpatch.quota import Quota
from landpatch.transfer import CHUNK_BYTES, HEAD_REQUESTS

PRODUCT_BYTES = 700e6
"""A product of which the catalogue tells no size."""
BAND_SHARE = 0.75
"""Share of a product's bytes that is in the files that are needed: 12 bands and the scene classification
at their native size, of 700 MB some 520."""
TILE_M = 10_240
"""Side of a JP2 tile of a 10 m band."""
PRODUCT_TILES = 121
"""JP2 tiles of a 10 m band: 11 x 11, of which the last in each row and column are smaller."""
TILE_CPU_S = 0.83
"""To decode what lies in one tile of the 10 m bands, in all bands; benchmark `dense`."""
PATCH_CPU_S = 0.055
"""To warp, encode and store a patch; benchmark `dense`."""
TASK_S = 1.5
"""To take up a product and read its heads."""
CLOUD_POWER = 4
"""A patch is complete in a product with the chance (1 - cloud cover)^4: with 4 % of cloud, 16 % of LU000's
patches in the sandbox were not."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """What will be done; sums over regions add up."""

    patches: int = 0
    """Of the region."""
    images: int = 0
    """To be made."""
    labels: int = 0
    """To be fetched."""
    products: int = 0
    """Different products to be cut."""
    tasks: int = 0
    """Products to be cut, each counted in every round."""
    rounds: int = 0
    bytes: int = 0
    """From the image source."""
    requests: int = 0
    """To the image source."""
    label_requests: int = 0
    """Windows of labels, each a request to the label service."""
    cpu_s: float = 0.0
    uncovered: int = 0
    """Patches that no product covers."""

    def __add__(self, other: "Forecast") -> "Forecast":
        added = {field.name: getattr(self, field.name) + getattr(other, field.name) for field in fields(self)}
        # Regions are built side by side.
        return Forecast(**added | {"rounds": max(self.rounds, other.rounds)})

    def quota_days(self, quota: Quota) -> float:
        """Days in which the account may move so many bytes."""
        return self.bytes / (quota.bytes_per_30_days / 30)

    def duration_s(self, quota: Quota, cores: int) -> float:
        """Seconds it takes at least: the longest of cutting, downloading and asking, and each round's
        beginning."""
        download_s = self.bytes / (quota.connections * quota.connection_bytes_per_s)
        asking_s = self.requests / (quota.requests_per_minute / 60)
        return max(self.cpu_s / cores, download_s, asking_s) + TASK_S * self.rounds


def forecast_images(
    coverage: Coverage, wanted: Collection[str], max_products: int, *, whole: bool = False
) -> Forecast:
    """What the images will take.

    coverage: of all patches of the region. wanted: names of the patches to be made. whole: products come
    whole, however little of them is needed.
    """
    first = plan_first_round(coverage)
    plan = {name: scene_id for name, scene_id in first.items() if name in wanted}
    scenes = {scene.id: scene for scene in coverage.scenes}
    numbers = {patch.name: number for number, patch in enumerate(coverage.patches)}
    places = {scene.id: number for number, scene in enumerate(coverage.scenes)}
    tried: dict[str, list[str]] = defaultdict(list)
    total = Forecast(uncovered=sum(name not in first for name in wanted))
    used: set[str] = set()
    while plan:
        by_scene: dict[str, list[Patch]] = defaultdict(list)
        for name, scene_id in plan.items():
            by_scene[scene_id].append(parse_patch(name))
            tried[name].append(scene_id)
        used |= by_scene.keys()
        for scene_id, patches in by_scene.items():
            total += _forecast_task(scenes[scene_id], patches, whole)
        total = replace(total, rounds=total.rounds + 1)
        open_ = {
            name: tried[name]
            for name, scene_id in plan.items()
            if not _is_complete(
                name, scenes[scene_id], coverage.shares_of(numbers[name])[places[scene_id]], len(tried[name])
            )
        }
        plan = plan_next_round(coverage, open_, open_, max_products)
    return total + Forecast(images=len(wanted) - total.uncovered, products=len(used))


def _forecast_task(scene: Scene, patches: Sequence[Patch], whole: bool) -> Forecast:
    tiles = min(PRODUCT_TILES, count_tiles(patches))
    size = scene.size or PRODUCT_BYTES
    if not whole:
        size *= BAND_SHARE * tiles / PRODUCT_TILES
    return Forecast(
        tasks=1,
        bytes=round(size),
        requests=1 if whole else HEAD_REQUESTS + max(13, round(size / CHUNK_BYTES)),
        cpu_s=TILE_CPU_S * tiles + PATCH_CPU_S * len(patches),
    )


def count_tiles(patches: Sequence[Patch]) -> int:
    """About how many JP2 tiles of a 10 m band patches touch: cells of the same size, laid on EPSG:3035."""
    far = PATCH_SIZE_M - 1
    return len(
        {
            ((patch.xmin + right) // TILE_M, (patch.ymin + up) // TILE_M)
            for patch in patches
            for right in (0, far)
            for up in (0, far)
        }
    )


def _is_complete(name: str, scene: Scene, share: float, attempt: int) -> bool:
    """Whether a patch is taken to be complete: covered whole, and by chance not clouded."""
    chance = (1 - scene.cloud_cover / 100) ** CLOUD_POWER
    luck = crc32(f"{name} {scene.datatake} {attempt}".encode()) / 2**32
    return share == 1 and luck < chance
