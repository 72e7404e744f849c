"""The messages on the queues: small versioned JSON, ids and parameters, no pixels, no secrets.

Each may be delivered twice or out of order and the result is the same. A message asks for one task of one run
of a region; `kind` and `task` name it in the ledger.
"""

import json
import re
from datetime import date
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    StringConstraints,
    field_validator,
    model_serializer,
    model_validator,
)

from landpatch.composite import Method
from landpatch.layout import NUTS3_PATTERN
from landpatch.patch import Cover, parse_patch

MAX_PATCHES = 20_000
MAX_EARLIER = 100
"""Scenes of a patch."""
MAX_EARLIER_IN_ALL = 200_000
"""Scenes of all patches of a message, which some 250 bytes name each."""

RunId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9-]{1,40}$")]
Nuts3 = Annotated[str, StringConstraints(pattern=f"^(?:{NUTS3_PATTERN.pattern})$")]
Recipe = Annotated[str, StringConstraints(min_length=1, max_length=500)]
SceneId = Annotated[str, StringConstraints(pattern=r"^[0-9a-fA-F-]{8,64}$")]
Year = Annotated[int, Field(ge=2015, le=2100)]
"""Of images."""
Edition = Annotated[int, Field(ge=2000, le=2100)]
"""Year of the labels."""
PatchName = Annotated[str, StringConstraints(pattern=r"^-?\d{1,8}_-?\d{1,8}_\d{1,6}_\d{1,8}$")]


class MessagePart(BaseModel):
    """A part of a message; the version is that of the whole."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Message(MessagePart):
    """What every message has."""

    version: Literal[1] = 1


class RegionRequest(Message):
    """What a user asks for."""

    nuts: Nuts3
    year: Year
    label_year: Edition | None = None
    """Edition of the labels; None: images only."""
    max_cloud: float = Field(30.0, ge=0, le=100)
    """Percent of the whole product."""
    start: date
    """First day of sensing."""
    end: date
    """Last day of sensing."""
    cover: Cover = "intersects"
    composite: Method = "best"

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.start > self.end:
            raise ValueError("starts after its end")
        return self

    @property
    def key(self) -> str:
        """Names the region and year: `FR101/2021`."""
        return f"{self.nuts}/{self.year}"

    def image_recipe(self, source: str, pixels: str = "products") -> str:
        """What an image depends on besides its patch; two images of one recipe can replace each other.

        source, pixels: as of `Settings`.
        """
        choice = f"start={self.start};end={self.end};max_cloud={self.max_cloud:g}"
        recipe = f"source={source};{choice};composite={self.composite}"
        return recipe if pixels == "products" else f"{recipe};pixels={pixels}"


class PlanRegion(Message):
    """To the dispatcher: begin a region."""

    kind: ClassVar[Literal["control"]] = "control"
    task: ClassVar[str] = "plan"
    run: RunId
    request: RegionRequest
    only_failed: bool = False
    """Leave alone what the last index calls missing."""

    @property
    def region(self) -> str:
        """Names the region and year: `FR101/2021`."""
        return self.request.key


class RoundMessage(Message):
    """What every message within a run has."""

    run: RunId
    """Names one building of the region; messages of an older one are dropped."""
    nuts: Nuts3
    year: Year
    round: int = Field(ge=0, le=100)

    @property
    def region(self) -> str:
        """Names the region and year: `FR101/2021`."""
        return f"{self.nuts}/{self.year}"


class AdvanceRegion(RoundMessage):
    """To the dispatcher: a round, or the labels, have ended; plan the next, or hand over to the indexer."""

    kind: ClassVar[Literal["control"]] = "control"
    after: Literal["images", "labels"] = "images"
    """What has ended."""

    @property
    def task(self) -> str:
        """Names the task among those of its run that are pending."""
        return f"advance-{self.round}" if self.after == "images" else "advance-labels"


class SceneRef(MessagePart):
    """A product, as far as an image worker needs to know it."""

    id: SceneId
    name: Annotated[str, StringConstraints(pattern=r"^S2[A-D]_MSIL2A_[A-Z0-9_]{40,80}(\.SAFE)?$")]
    s3_path: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_./-]{1,500}$")]
    sensed: AwareDatetime
    baseline: tuple[Annotated[int, Field(ge=0, le=99)], Annotated[int, Field(ge=0, le=99)]]

    @field_validator("s3_path")
    @classmethod
    def _stay_in_bucket(cls, path: str) -> str:
        if path.startswith("/") or ".." in path.split("/"):
            raise ValueError("leads out of the bucket")
        return path


class PatchWork(MessagePart):
    """A patch, and the scenes whose observations of it are kept already, the first choice first."""

    name: PatchName
    earlier: tuple[SceneRef, ...] = Field((), max_length=MAX_EARLIER)

    @model_validator(mode="before")
    @classmethod
    def _expand(cls, value: Any) -> Any:
        """A name alone: nothing is kept yet. There are a million of them."""
        return {"name": value} if isinstance(value, str) else value

    @model_serializer(mode="wrap")
    def _shorten(self, dump: SerializerFunctionWrapHandler) -> Any:
        return dump(self) if self.earlier else self.name

    @field_validator("name")
    @classmethod
    def _on_the_grid(cls, name: str) -> str:
        return parse_patch(name).name


def _bound_scenes(patches: tuple[PatchWork, ...]) -> tuple[PatchWork, ...]:
    if sum(len(work.earlier) for work in patches) > MAX_EARLIER_IN_ALL:
        raise ValueError(f"more than {MAX_EARLIER_IN_ALL} scenes in all")
    return patches


Works = Annotated[
    tuple[PatchWork, ...], Field(min_length=1, max_length=MAX_PATCHES), AfterValidator(_bound_scenes)
]


class CutScene(RoundMessage):
    """To an image worker: cut these patches out of one product."""

    kind: ClassVar[Literal["images"]] = "images"
    recipe: Recipe
    """What the images depend on; see `RegionRequest.image_recipe`."""
    composite: Method
    scene: SceneRef
    patches: Works

    @property
    def task(self) -> str:
        """Names the task among those of its run that are pending."""
        return f"{self.round}:{self.scene.id}"


class SettlePatches(RoundMessage):
    """To an image worker: these patches have used up their products; write what there is."""

    kind: ClassVar[Literal["images"]] = "images"
    recipe: Recipe
    composite: Method
    block: int = Field(ge=0, le=MAX_PATCHES)
    patches: Works

    @property
    def task(self) -> str:
        """Names the task among those of its run that are pending."""
        return f"{self.round}:settle-{self.block}"


class FetchLabels(RoundMessage):
    """To a label worker: the labels of a block of patches."""

    kind: ClassVar[Literal["labels"]] = "labels"
    label_year: Edition
    block: int = Field(ge=0, le=MAX_PATCHES)
    patches: tuple[PatchName, ...] = Field(min_length=1, max_length=MAX_PATCHES)

    @property
    def task(self) -> str:
        """Names the task among those of its run that are pending."""
        return str(self.block)


class WriteIndex(Message):
    """To the indexer: the region's tasks are complete."""

    kind: ClassVar[Literal["control"]] = "control"
    task: ClassVar[str] = "index"
    run: RunId
    request: RegionRequest

    @property
    def region(self) -> str:
        """Names the region and year: `FR101/2021`."""
        return self.request.key


_TILE = re.compile("T[0-9]{2}[A-Z]{3}")
ImageMessage = CutScene | SettlePatches
TaskMessage = PlanRegion | AdvanceRegion | CutScene | SettlePatches | FetchLabels | WriteIndex
_TYPES: dict[str, type[TaskMessage]] = {
    kind.__name__: kind
    for kind in (PlanRegion, AdvanceRegion, CutScene, SettlePatches, FetchLabels, WriteIndex)
}


def describe_message(message: TaskMessage) -> str:
    """A message for who watches the queues: region, tile and day, round, number of patches, product."""
    words = [message.region]
    if isinstance(message, CutScene):
        tile = next((part for part in message.scene.name.split("_") if _TILE.fullmatch(part)), "")
        words[0] += f" {tile} {message.scene.sensed:%Y-%m-%d}"
    if isinstance(message, RoundMessage):
        words.append(f"round {message.round}")
    if isinstance(message, CutScene | SettlePatches | FetchLabels):
        words.append(f"{len(message.patches)} patches")
    if isinstance(message, CutScene):
        words.append(message.scene.name)
    return ", ".join(words)


def dump_message(message: TaskMessage) -> str:
    """A message with its type, as the ledger keeps it."""
    return json.dumps({"type": type(message).__name__, "message": message.model_dump(mode="json")})


def load_message(text: str) -> TaskMessage:
    """The message that `dump_message` wrote."""
    entry = json.loads(text)
    return _TYPES[entry["type"]].model_validate(entry["message"])
