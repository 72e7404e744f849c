"""What a region will take, before anything runs: patches, products, bytes, requests, time. Pure.

The first round is the planner's own. Which patches clouds leave incomplete nobody knows before the pixels
are there, so the later rounds are played through with a chance that depends on the cloud cover, the same
each time.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, fields, replace
from zlib import crc32

from landpatch.blocks import lay_rectangles
from landpatch.coverage import Coverage, Scene, plan_first_round, plan_next_round
from landpatch.patch import PATCH_SIZE_M, PATCH_SIZE_PX, Patch, parse_patch
from landpatch.processing_units import MAX_SIDE, count_units
from landpatch.quota import PROCESSING, Quota
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
FIRST_WITH_TLM = (5, 12)
"""The baseline from which on the files say where their JP2 tiles lie."""
TILE_CPU_S = 0.83
"""To decode what lies in one tile of the 10 m bands, in all bands; benchmark `dense`."""
PATCH_CPU_S = 0.055
"""To warp, encode and store a patch; benchmark `dense`."""
RENDERED_BYTES = 1_000_000
"""Of a patch that is rendered, 13 bands of 16 bits, packed."""
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
    processing_units: float = 0.0
    """Of Sentinel Hub, where it is the image source."""
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
        """Days in which the account may move so many bytes, or have so much processed."""
        volume = self.processing_units * quota.measure.scale if quota.measure == PROCESSING else self.bytes
        return volume / (quota.volume_per_30_days / 30)

    def duration_s(self, quota: Quota, cores: int) -> float:
        """Seconds it takes at least: the longest of cutting, downloading and asking, and each round's
        beginning."""
        download_s = self.bytes / (quota.connections * quota.connection_bytes_per_s)
        asked = self.processing_units if quota.measure == PROCESSING else self.requests
        asking_s = asked / (quota.requests_per_minute / 60)
        return max(self.cpu_s / cores, download_s, asking_s) + TASK_S * self.rounds


Price = Callable[[Scene, Sequence[Patch]], Forecast]
"""What it takes to have patches of a scene."""


def price_parts(scene: Scene, patches: Sequence[Patch]) -> Forecast:
    """Of those parts of a product that are needed, where it says where they lie; else of its bands, whole:
    to walk to them is worth its requests only in the north-west of a product."""
    tiles = min(PRODUCT_TILES, count_tiles(patches))
    comes_whole = scene.baseline < FIRST_WITH_TLM
    share = 1 if comes_whole else tiles / PRODUCT_TILES
    size = (scene.size or PRODUCT_BYTES) * BAND_SHARE * share
    requests = HEAD_REQUESTS + comes_whole + max(13, round(size / CHUNK_BYTES))
    return Forecast(tasks=1, bytes=round(size), requests=requests, cpu_s=_cut_s(tiles, len(patches)))


def price_whole(scene: Scene, patches: Sequence[Patch]) -> Forecast:
    """Of a whole product, however little of it is needed."""
    tiles = min(PRODUCT_TILES, count_tiles(patches))
    size = round(scene.size or PRODUCT_BYTES)
    return Forecast(tasks=1, bytes=size, requests=1, cpu_s=_cut_s(tiles, len(patches)))


def _cut_s(tiles: int, patches: int) -> float:
    return TILE_CPU_S * tiles + PATCH_CPU_S * patches


def price_rendered(_: Scene, patches: Sequence[Patch]) -> Forecast:
    """Of patches that Sentinel Hub renders."""
    rectangles = lay_rectangles(patches, MAX_SIDE // PATCH_SIZE_PX)
    return Forecast(
        tasks=1,
        bytes=RENDERED_BYTES * len(patches),
        requests=len(rectangles),
        processing_units=count_units(PATCH_SIZE_PX, PATCH_SIZE_PX) * len(patches),
        cpu_s=PATCH_CPU_S * len(patches),
    )


def forecast_images(
    coverage: Coverage, wanted: Collection[str], max_products: int, price: Price = price_parts
) -> Forecast:
    """What the images will take.

    coverage: of all patches of the region. wanted: names of the patches to be made. price: of the image
    source.
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
            total += price(scenes[scene_id], patches)
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
