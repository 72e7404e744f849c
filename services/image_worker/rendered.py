"""Observations out of what Sentinel Hub renders, on our grid already."""

import math
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import TypeVar

import numpy as np

from landpatch.blocks import bound_block, lay_rectangles
from landpatch.composite import Observation
from landpatch.messages import SceneRef
from landpatch.patch import PATCH_SIZE_PX, PIXEL_SIZE_M, Patch
from landpatch.processing_units import MAX_SIDE, count_units
from landpatch.radiometry import (
    CLEAR,
    NO_OBSERVATION,
    OBSCURED,
    REFLECTANCE_BANDS,
    SATURATED,
    UNSEEN,
    is_clear_class,
)
from landpatch.sources.account import Traffic
from landpatch.sources.sentinelhub import Rendering, SentinelHub
from landpatch.stages import carry_context, making
from services.image_worker.cut import most_in_work, take_in_turn
from services.image_worker.memory import making_bytes
from services.image_worker.turn import Turn

T = TypeVar("T")
PATCH_BYTES = 10_000_000
"""Of memory for each patch that is rendered: the answer, its pixels, and what GDAL keeps of them."""
QUANTIFICATION = 10_000
OFFSET, FIRST_WITH_OFFSET = -1000, (4, 0)
"""Digital numbers per unit of reflectance; BOA_ADD_OFFSET, and the baseline that began with it. The product's
own metadata, which would tell them, are not to be had; they have been these for every product so far."""


class RenderedImagery:
    """Rendered by Sentinel Hub, in rectangles of patches without a gap."""

    tags: Mapping[str, str] = {
        "PIXELS": "sentinelhub",
        "RESAMPLING": "bilinear by Sentinel Hub, rounded to digital numbers; scene classification nearest",
        "OFFSET": f"{OFFSET} from baseline 04.00 on, by the product's name; quantification {QUANTIFICATION}",
        "COST": f"{count_units(PATCH_SIZE_PX, PATCH_SIZE_PX):.2f} processing units for each product",
    }

    def __init__(self, hub: SentinelHub, threads: int, most_bytes: int) -> None:
        """threads: on which patches are made, at most. most_bytes: of memory for all that is held."""
        self._hub = hub
        # Threads have half of it at most: the larger a rectangle, the fewer requests.
        self._threads = max(1, min(threads, most_bytes // 2 // making_bytes(1)))
        left = most_bytes - making_bytes(self._threads)
        self._side = max(1, min(MAX_SIDE // PATCH_SIZE_PX, math.isqrt(max(left, 0) // PATCH_BYTES)))
        """Patches along a side of what is rendered at once, at most."""

    def counting(self) -> AbstractContextManager[Traffic]:
        """Bytes and requests while the context lasts; complete when it ends."""
        return self._hub.counting()

    def observe(
        self,
        scene: SceneRef,
        patches: Sequence[Patch],
        then: Callable[[Patch, Observation | None], T],
        turn: Turn,
    ) -> Generator[T, None, None]:
        """As of `Imagery`; asks for a rectangle while another process has the turn."""
        with ThreadPoolExecutor(self._threads, initializer=carry_context()) as pool:
            for block in lay_rectangles(patches, self._side):
                bounds = bound_block(block)
                rendering = self._hub.render(scene, bounds)

                def make(
                    patch: Patch,
                    rendering: Rendering = rendering,
                    bounds: tuple[int, int, int, int] = bounds,
                ) -> T:
                    with making(patch.name):
                        return then(patch, cut_observation(rendering, bounds, patch, scene))

                def begin(patch: Patch, make: Callable[[Patch], T] = make) -> Future[T]:
                    return pool.submit(make, patch)

                with turn:
                    yield from take_in_turn(begin, block, most_in_work(self._threads))


def cut_observation(
    rendering: Rendering, bounds: tuple[int, int, int, int], patch: Patch, scene: SceneRef
) -> Observation | None:
    """What is seen of a patch; None where that is nothing.

    bounds: of the rendering, xmin ymin xmax ymax, metres, EPSG:3035. A pixel is seen where all bands have a
    number.
    """
    row, col = (bounds[3] - patch.bounds[3]) // PIXEL_SIZE_M, (patch.xmin - bounds[0]) // PIXEL_SIZE_M
    place = (slice(row, row + PATCH_SIZE_PX), slice(col, col + PATCH_SIZE_PX))
    numbers, classes = rendering.numbers[:, *place], rendering.classes[place]
    seen = (numbers != NO_OBSERVATION).all(axis=0)
    if not seen.any():
        return None
    offset = OFFSET if scene.baseline >= FIRST_WITH_OFFSET else 0
    reflectance = (numbers.astype("float64") + offset) / QUANTIFICATION
    reflectance[:, ~seen] = 0
    clear = is_clear_class(classes) & ~(numbers == SATURATED).any(axis=0)
    clarity = np.where(seen, np.where(clear, CLEAR, OBSCURED), UNSEEN).astype("uint8")
    assert reflectance.shape == (len(REFLECTANCE_BANDS), PATCH_SIZE_PX, PATCH_SIZE_PX)  # noqa: S101
    return Observation(scene.id, reflectance, clarity)
