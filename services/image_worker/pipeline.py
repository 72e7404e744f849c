"""Bands into memory -> observations -> composite -> GeoTIFF -> store -> ledger."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing
from contextvars import copy_context
from functools import partial
from itertools import chain

import structlog

from landpatch.celery import finish
from landpatch.codec import check_image, decode_observation, encode_image, encode_observation
from landpatch.composite import Composite, Observation, compose, compose_best
from landpatch.errors import PermanentError
from landpatch.layout import RegionLayout, patch_of_key
from landpatch.ledger import Ledger
from landpatch.messages import CutScene, ImageMessage, PatchWork, SceneRef, SettlePatches
from landpatch.patch import Patch, parse_patch
from landpatch.records import Outcome, State, Work
from landpatch.settings import Settings
from landpatch.stages import making, stage
from landpatch.storage import Store
from services.image_worker.imagery import Imagery
from services.image_worker.records import Records
from services.image_worker.turn import Turn
from services.image_worker.uploads import Uploads

GONE = "what earlier products have shown of it is no longer whole in the store"
"""Of a patch that was to be made of that alone: a retry has it shown again."""
log = structlog.get_logger()
Write = Callable[[], None]
"""Stores something that is made, and then tells the ledger."""


class ImageWorker:
    """Cuts patches. Holds no state of its own: everything is in the ledger and in the store."""

    def __init__(
        self, settings: Settings, store: Store, imagery: Imagery, ledger: Ledger, turn: Turn
    ) -> None:
        """store: the destination. imagery: the source, with a client of its own. turn: to cut."""
        self.settings = settings
        self.store = store
        self.imagery = imagery
        self.ledger = ledger
        self.turn = turn

    def cut(self, message: CutScene) -> None:
        """Cut the patches of a message; write those that are complete, keep what shows the others."""
        # An attempt that was cut short may have stored some.
        done = self.ledger.outcomes_of(message.region, "images", [work.name for work in message.patches])
        works = {work.name: work for work in message.patches if work.name not in done}
        records = Records(self.ledger, message)
        work = self._cut(message, works, records) if works else Work()
        self._finish(message, work, done | records.outcomes)

    def _cut(self, message: CutScene, works: Mapping[str, PatchWork], records: Records) -> Work:
        def take(patch: Patch, observation: Observation | None, *, stored: bool = False) -> Write | None:
            if observation is None:
                return None
            write = self._take(message, patch, works[patch.name], observation, records, stored=stored)
            # It is done in another thread, and belongs to the patch there too.
            return partial(copy_context().run, write)

        seen = set()
        with Uploads() as uploads:
            for patch, observation in self._read_stored(message, works):
                with self.turn, making(patch.name):
                    write = take(patch, observation, stored=True)
                if write is not None:
                    uploads.add(write)
                seen.add(patch.name)
        unseen = [parse_patch(name) for name in works if name not in seen]
        if not unseen:
            return Work(product=message.scene.name)
        with (
            self.imagery.counting() as traffic,
            Uploads() as uploads,
            closing(self.imagery.observe(message.scene, unseen, take, self.turn)) as made,
        ):
            for write in made:
                if write is not None:
                    uploads.add(write)
        return Work(traffic.bytes, traffic.requests, message.scene.name)

    def _read_stored(self, message: CutScene, names: Collection[str]) -> Iterator[tuple[Patch, Observation]]:
        """What the scene shows of patches, as far as it is stored: left there by an attempt that was cut
        short, or by a run that Redis has forgotten. What is not whole is left out, with a warning."""
        listed = self.store.find(self._layout(message).observations_of(message.scene.id, message.recipe))
        there = {patch_of_key(entry.key) for entry in listed}
        for name in names:
            if name not in there:
                continue
            observation = self._read_observation(message, name, message.scene)
            if observation is not None:
                yield parse_patch(name), observation

    def _read_observation(self, message: ImageMessage, patch: str, scene: SceneRef) -> Observation | None:
        """What a scene has shown of a patch, as it is stored; None, with a warning, where it is not whole."""
        data = self.store.get(self._layout(message).observation(patch, scene.id, message.recipe))
        if data is None:
            log.warning("an observation is gone", patch=patch, lost=scene.name)
            return None
        try:
            return decode_observation(data, scene.id)
        except PermanentError as error:
            log.warning("an observation is broken", patch=patch, lost=scene.name, reason=str(error))
            return None

    def _take(
        self,
        message: CutScene,
        patch: Patch,
        work: PatchWork,
        observation: Observation,
        records: Records,
        *,
        stored: bool = False,
    ) -> Write:
        """Make what is to be written of a patch: its image, or the observation for a later round.

        stored: the observation is in the store.
        """
        layout = self._layout(message)
        # A median takes in every scene that the patch may use; it is composed when they are used up.
        if message.composite == "best":
            shown: list[SceneRef] = []
            composite = compose_best(chain(self._kept(message, work, shown), [observation]))
            if self._is_complete(composite):
                return self._encode(message, patch, [*shown, message.scene], composite, records)
        data = None
        if not stored:
            with stage("encode"):
                data = encode_observation(observation)

        def write() -> None:
            # The indexer removes observations when the run ends; one of a run that is over would stay.
            if self.ledger.is_current(message):
                if data is not None:
                    self.store.put(layout.observation(patch.name, message.scene.id, message.recipe), data)
                self.ledger.keep_observation(message.region, message.run, patch.name, message.scene.id)

        return write

    def settle(self, message: SettlePatches) -> None:
        """Write what there is of patches that have used up their products."""
        records = Records(self.ledger, message)
        for work in message.patches:
            shown: list[SceneRef] = []
            kept = self._kept(message, work, shown)
            if (first := next(kept, None)) is None:
                records.add(work.name, Outcome("failed", GONE))
                continue
            composite = compose(chain([first], kept), message.composite)
            self._encode(message, parse_patch(work.name), shown, composite, records)()
        self._finish(message, Work(), records.outcomes)

    def give_up(self, message: ImageMessage, reason: str) -> None:
        """Finish a task that cannot be done; its patches go on without it."""
        names = [work.name for work in message.patches]
        done = self.ledger.outcomes_of(message.region, "images", names)
        if isinstance(message, CutScene):
            self._finish(message, Work(product=message.scene.name, failure=reason), done)
            return
        rest = {name: Outcome("failed", reason) for name in names if name not in done}
        self._finish(message, Work(failure=reason), done | rest)

    def _layout(self, message: ImageMessage) -> RegionLayout:
        return RegionLayout(self.settings.prefix, message.nuts, message.year)

    def _is_complete(self, composite: Composite) -> bool:
        return self.settings.is_complete(composite.valid_fraction, composite.clear_fraction)

    def _kept(self, message: ImageMessage, work: PatchWork, shown: list[SceneRef]) -> Iterator[Observation]:
        """The observations of a patch that earlier rounds have kept, in order, read one by one: each is 6 MB.

        shown: is given the scene of each.
        """
        for scene in work.earlier:
            observation = self._read_observation(message, work.name, scene)
            if observation is not None:
                shown.append(scene)
                yield observation

    def _encode(
        self,
        message: ImageMessage,
        patch: Patch,
        scenes: Sequence[SceneRef],
        composite: Composite,
        records: Records,
    ) -> Write:
        """Make an image; what is returned writes it."""
        tags = {
            "SOURCE": self.settings.source,
            "RECIPE": message.recipe,
            "PRODUCTS": ",".join(scene.name for scene in scenes),
            "SENSING_DATES": ",".join(scene.sensed.strftime("%Y-%m-%dT%H:%M:%SZ") for scene in scenes),
            "BASELINES": ",".join(f"{scene.baseline[0]:02d}.{scene.baseline[1]:02d}" for scene in scenes),
            "SHARES": ",".join(f"{share:.6f}" for share in composite.shares),
            "VALID_FRACTION": f"{composite.valid_fraction:.6f}",
            "CLEAR_FRACTION": f"{composite.clear_fraction:.6f}",
            **self.imagery.tags,
        }
        with stage("encode"):
            data = encode_image(composite.bands, patch, tags)
            check_image(data, patch)
        state: State = "complete" if self._is_complete(composite) else "partial"

        def write() -> None:
            # An image of a run that is over may be another than the one that its region has by now.
            if self.ledger.is_current(message):
                self.store.put(self._layout(message).image(patch.name), data, "image/tiff")
                records.add(patch.name, Outcome(state))

        return write

    def _finish(self, message: ImageMessage, work: Work, outcomes: Mapping[str, Outcome]) -> None:
        finish(self.ledger, message, work, outcomes)
        log.info("images task done", patches=len(message.patches))
