"""What a scene shows of patches: the seam between the worker and the services that images come from."""

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from functools import partial
from typing import Protocol, TypeVar

from landpatch.composite import Observation
from landpatch.errors import PermanentError
from landpatch.messages import SceneRef
from landpatch.patch import Patch
from landpatch.settings import Settings
from landpatch.sources.account import Traffic
from landpatch.sources.imagery import open_product_source
from landpatch.sources.product_files import ProductSource
from landpatch.sources.sentinelhub import open_sentinel_hub
from landpatch.transfer import Rates
from services.image_worker.cut import cut_patches, locate_patches, needed_tiles
from services.image_worker.loader import Room
from services.image_worker.memory import FIXED_BYTES, fit_threads, working_bytes
from services.image_worker.product import open_product
from services.image_worker.rendered import RenderedImagery
from services.image_worker.turn import Turn

T = TypeVar("T")


class Imagery(Protocol):
    """Where observations come from."""

    @property
    def tags(self) -> Mapping[str, str]:
        """What a file says of how its pixels were made."""

    def counting(self) -> AbstractContextManager[Traffic]:
        """Bytes and requests while the context lasts; complete when it ends."""

    def observe(
        self,
        scene: SceneRef,
        patches: Sequence[Patch],
        then: Callable[[Patch, Observation | None], T],
        turn: Turn,
    ) -> Generator[T, None, None]:
        """What a scene shows of each patch, and what comes next for it.

        then: called with a patch and its observation, None where the scene shows nothing of it; perhaps on
        several threads at a time. turn: held while patches are made.

        Yields what `then` returns, once for each patch. Raises PermanentError, TransientError and what `then`
        raises.
        """


class ProductImagery:
    """Cut out of products, by our own warp: the same pixels whichever way the products come."""

    tags: Mapping[str, str] = {
        "PIXELS": "products",
        "RESAMPLING": "bilinear from native pixels; scene classification nearest",
        "OFFSET": "BOA_ADD_OFFSET and BOA_QUANTIFICATION_VALUE of each product",
    }

    def __init__(self, settings: Settings, source: ProductSource) -> None:
        """source: of the products' files."""
        self._source = source
        self._threads = settings.threads
        self._limit = settings.memory_bytes - FIXED_BYTES
        self._rates = Rates(
            settings.eo_connections * settings.eo_connection_bytes_per_s, settings.eo_requests_per_minute / 60
        )

    def counting(self) -> AbstractContextManager[Traffic]:
        """Bytes and requests while the context lasts; complete when it ends."""
        return self._source.counting()

    def observe(
        self,
        scene: SceneRef,
        patches: Sequence[Patch],
        then: Callable[[Patch, Observation | None], T],
        turn: Turn,
    ) -> Generator[T, None, None]:
        """As of `Imagery`; fetches the product while another process has the turn."""
        opened = open_product(self._source, scene, self._limit)
        sites = locate_patches(opened.product, patches)
        fit = partial(fit_threads, opened.product, sites, self._threads, self._limit)
        threads = fit(opened.held_bytes)
        plan = opened.plan(needed_tiles(opened.product, sites), self._rates)
        hold = plan.held_bytes == opened.held_bytes
        if not hold:
            with suppress(PermanentError):
                threads, hold = fit(plan.held_bytes), True
        room = Room(self._limit - opened.held_bytes - working_bytes(opened.product, sites, threads))
        # The turn is not taken before all is there that has to be checked: until then another may cut.
        with opened.fetch(plan, room, hold) as bands, turn:
            yield from cut_patches(opened.product, bands, sites, scene.id, then, threads, room)


def open_imagery(settings: Settings) -> Imagery:
    """The imagery of the settings. Raises ConfigurationError when credentials are missing."""
    if settings.pixels == "sentinelhub":
        return RenderedImagery(
            open_sentinel_hub(settings), settings.threads, settings.memory_bytes - FIXED_BYTES
        )
    return ProductImagery(settings, open_product_source(settings))
