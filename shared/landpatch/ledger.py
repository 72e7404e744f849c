"""The ledger of a region in Redis: what is wanted, what is pending, what has come out.

Every transition is one script (`lua/`): atomic, idempotent, and without effect for a run that is over. A task
is pending from the step that plans it to the step that records what it has done; meanwhile its entry says
until when somebody cares for it, so that what is lost can be found. A round is over when its set of pending
tasks is empty, and the step that empties it makes what follows pending.
"""

import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import resources
from itertools import chain
from typing import Any, Literal, cast

import redis

from landpatch.connection import execute, open_redis
from landpatch.messages import (
    AdvanceRegion,
    CutScene,
    FetchLabels,
    ImageMessage,
    PlanRegion,
    RegionRequest,
    TaskMessage,
    WriteIndex,
    dump_message,
    load_message,
)
from landpatch.records import DeadLetter, Outcome, Progress, Work, lengthen, pack, shorten, unpack
from landpatch.settings import Settings

Kind = Literal["images", "labels", "control"]
KINDS: tuple[Kind, ...] = ("images", "labels", "control")
PARTS = (
    "run", "pending:images", "pending:labels", "pending:control", "messages", "attempts", "dead", "images",
    "labels", "kept", "work", "scenes",
)  # fmt: skip
_SCRIPTS = (
    "start", "open_round", "add_labels", "claim", "begin", "renew", "postpone", "finish", "begin_index",
    "record", "note", "keep", "keep_scenes", "bury", "close",
)  # fmt: skip
MOST_REFUSED = 1000
"""Messages that could not be read, of which the last are remembered."""


@dataclass(frozen=True, slots=True)
class Overdue:
    """A pending task that nobody cares for."""

    region: str
    run: str
    kind: Kind
    task: str


def _follow(message: TaskMessage) -> AdvanceRegion | None:
    """What the last task of its kind asks for."""
    if isinstance(message, PlanRegion):
        request = message.request
        return AdvanceRegion(run=message.run, nuts=request.nuts, year=request.year, round=1)
    if isinstance(message, AdvanceRegion | WriteIndex):
        return None
    return AdvanceRegion(
        run=message.run, nuts=message.nuts, year=message.year, round=message.round, after=message.kind
    )


def _by_turns(outcomes: Mapping[str, Outcome]) -> Iterator[str]:
    for name, outcome in outcomes.items():
        yield shorten(name)
        yield outcome.dump()


class Ledger:
    """The ledger; one object serves any number of regions."""

    def __init__(self, client: redis.Redis, namespace: str = "landpatch") -> None:
        """client: decodes answers to text."""
        self._redis = client
        self._namespace = namespace
        lua = resources.files("landpatch") / "lua"
        common = (lua / "common.lua").read_text()
        self._scripts = {
            name: client.register_script(common + (lua / f"{name}.lua").read_text()) for name in _SCRIPTS
        }

    def _key(self, region: str, part: str = "run") -> str:
        return f"{self._namespace}:{{{region}}}:{part}"

    def _call(self, script: str, region: str, *arguments: str | float) -> Any:
        keys = [self._key(region, part) for part in PARTS]
        shared = [f"{self._namespace}:regions", f"{self._namespace}:active"]
        return self._scripts[script](keys=[*keys, *shared], args=list(arguments))

    def check(self) -> None:
        """Raise InfrastructureError or ConfigurationError when Redis cannot be used."""
        self._redis.ping()

    # runs

    def start(self, request: RegionRequest, *, only_failed: bool = False) -> tuple[str, RegionRequest]:
        """Begin a run, or join the one under way. Returns its id and what it was asked for.

        only_failed: leave alone what the last index calls missing.
        """
        run = uuid.uuid4().hex
        message = pack(dump_message(PlanRegion(run=run, request=request, only_failed=only_failed)))
        began, asked = self._call("start", request.key, run, request.model_dump_json(), request.key, message)
        return str(began), RegionRequest.model_validate_json(asked)

    def regions(self) -> list[str]:
        """Every region and year that the ledger knows, such as `FR101/2021`."""
        return sorted(cast("set[str]", self._redis.smembers(f"{self._namespace}:regions")))

    def active(self) -> list[str]:
        """Regions with a run that is not over."""
        return sorted(cast("set[str]", self._redis.smembers(f"{self._namespace}:active")))

    def is_current(self, message: TaskMessage) -> bool:
        """Whether a message belongs to the run under way."""
        return self._redis.hget(self._key(message.region), "run") == message.run

    def facts(self, region: str) -> dict[str, str]:
        """The run's own fields: run, request, state, round, totals, result."""
        return cast("dict[str, str]", self._redis.hgetall(self._key(region)))

    def note(self, region: str, run: str, **facts: str | int) -> bool:
        """Set fields of the run. Returns whether it is under way."""
        return bool(self._call("note", region, run, *chain(*facts.items())))

    def begin_index(self, run: str, request: RegionRequest) -> bool:
        """All is cut; the index is next. Returns whether it is this call that has made it pending."""
        message = dump_message(WriteIndex(run=run, request=request))
        return bool(self._call("begin_index", request.key, run, pack(message)))

    def close(self, region: str, run: str, result: str) -> bool:
        """The region is done, the index tells of its patches: keep what sums them up, forget the rest."""
        facts = {"state": "done", "message": "", "result": result}
        return bool(self._call("close", region, run, region, *chain(*facts.items())))

    def fail(self, region: str, run: str, reason: str) -> bool:
        """The region cannot be built. Nothing of it is pending any more."""
        facts = {"state": "failed", "message": reason}
        return bool(self._call("close", region, run, region, *chain(*facts.items())))

    def keep_scenes(self, region: str, run: str, scenes: str) -> None:
        """Keep the catalogue's answer for the rounds that follow."""
        self._call("keep_scenes", region, run, pack(scenes))

    def scenes(self, region: str) -> str:
        """The catalogue's answer; empty when none is kept."""
        packed = cast("str | None", self._redis.get(self._key(region, "scenes")))
        return unpack(packed) if packed else ""

    # tasks

    def open_round(
        self,
        region: str,
        run: str,
        number: int,
        messages: Sequence[ImageMessage],
        settled: Mapping[str, Outcome] | None = None,
    ) -> bool:
        """Open round `number`, if the round before it is the last: all of it, or nothing.

        messages: ask for the tasks that become pending; they are kept until the run is over. settled: what
        has become of images, by patch, that need no task. Returns whether the round has been opened.
        """
        tasks = {message.task: pack(dump_message(message)) for message in messages}
        sent = json.dumps(tasks), len(tasks)
        return bool(
            self._call("open_round", region, run, number - 1, number, *sent, *_by_turns(settled or {}))
        )

    def add_labels(self, region: str, run: str, messages: Sequence[FetchLabels]) -> None:
        """Make the label tasks that these ask for pending."""
        packed = ((message.task, pack(dump_message(message))) for message in messages)
        if messages:
            self._call("add_labels", region, run, *chain(*packed))

    def claim(self, region: str, run: str, kind: Kind, seconds: float, *tasks: str) -> list[TaskMessage]:
        """Take over the sending of tasks: their messages. For so many seconds nobody else will.

        tasks: those that have fallen due; when none is named, all that have never been sent.
        """
        claimed = cast("list[str]", self._call("claim", region, run, seconds, kind, *tasks))
        return [load_message(unpack(packed)) for packed in claimed[1::2]]

    def overdue(self) -> list[Overdue]:
        """Pending tasks that nobody cares for any more, by Redis' own clock."""
        second, micro = self._redis.time()
        regions = self.active()
        pipe = self._redis.pipeline(transaction=False)
        for region in regions:
            pipe.hget(self._key(region), "run")
            for kind in KINDS:
                pipe.zrangebyscore(self._key(region, f"pending:{kind}"), 0, second + micro / 1e6)
        answers = iter(execute(pipe))
        found = []
        for region in regions:
            run = next(answers)
            found += [Overdue(region, run, kind, task) for kind in KINDS for task in next(answers)]
        return found

    def begin(self, message: TaskMessage, owner: str, lease_s: float) -> float:
        """Take a task in hand for so many seconds. Returns which attempt this is; 0 when there is nothing to
        do: it is done, belongs to an older run, or another has it in hand.

        owner: names the delivery; the same one may take its task again, since then its worker was lost.
        """
        return float(
            self._call("begin", message.region, message.run, message.kind, message.task, owner, lease_s)
        )

    def renew(self, message: TaskMessage, owner: str, lease_s: float) -> bool:
        """Keep a task in hand for so many seconds more. Returns whether it is still the owner's."""
        return bool(
            self._call("renew", message.region, message.run, message.kind, message.task, owner, lease_s)
        )

    def postpone(self, message: TaskMessage, owner: str, pause_s: float, forgive: float = 0) -> bool:
        """Give a task out of hand, to be taken up after a pause. Returns whether it was the owner's.

        forgive: how much of this attempt does not count, 0 to 1.
        """
        arguments = (message.run, message.kind, message.task, owner, pause_s, forgive)
        return bool(self._call("postpone", message.region, *arguments))

    def wait_on(self, task: Overdue, pause_s: float) -> None:
        """A task's message still waits in its queue; look again after a pause."""
        self._call("postpone", task.region, task.run, task.kind, task.task, "", pause_s, 0)

    def holder(self, region: str, kind: Kind, task: str) -> str:
        """Which delivery has a task in hand; empty when none has, or its time is over."""
        pipe = self._redis.pipeline(transaction=True)
        pipe.time()
        pipe.zscore(self._key(region, f"pending:{kind}"), task)
        pipe.hget(self._key(region, "attempts"), f"{kind}:{task}")
        (second, micro), due, attempts = execute(pipe)
        if due is None or attempts is None or due <= second + micro / 1e6:
            return ""
        return str(attempts).partition(" ")[2]

    def in_hand(self, region: str, kind: Kind) -> list[str]:
        """Tasks that workers have in hand at this moment."""
        pipe = self._redis.pipeline(transaction=True)
        pipe.time()
        pipe.zrange(self._key(region, f"pending:{kind}"), 0, -1, withscores=True)
        pipe.hgetall(self._key(region, "attempts"))
        (second, micro), pending, attempts = execute(pipe)
        now = second + micro / 1e6
        return [
            task
            for task, due in pending
            if due > now and attempts.get(f"{kind}:{task}", "").partition(" ")[2]
        ]

    def patches_of(self, region: str, kind: Kind, tasks: Sequence[str]) -> dict[str, list[str]]:
        """Names of the patches that tasks are about; without the tasks that are not known any more."""
        if not tasks:
            return {}
        kept = self._redis.hmget(self._key(region, "messages"), [f"{kind}:{task}" for task in tasks])
        # Not made messages of, as in `tried`.
        messages = {
            task: json.loads(unpack(str(packed)))["message"]
            for task, packed in zip(tasks, kept, strict=True)
            if packed is not None
        }
        return {
            task: [work if isinstance(work, str) else work["name"] for work in message["patches"]]
            for task, message in messages.items()
        }

    def is_pending(self, region: str, kind: Kind, task: str) -> bool:
        """Whether a task has still to be done."""
        return self._redis.zscore(self._key(region, f"pending:{kind}"), task) is not None

    def pending(self, region: str, kind: Kind) -> int:
        """How many tasks have still to be done."""
        return self._redis.zcard(self._key(region, f"pending:{kind}"))

    def pending_everywhere(self) -> dict[Kind, int]:
        """How many tasks of all regions have still to be done: waiting or running."""
        regions = self.active()
        pipe = self._redis.pipeline(transaction=False)
        for kind in KINDS:
            for region in regions:
                pipe.zcard(self._key(region, f"pending:{kind}"))
        counts = iter(execute(pipe))
        return {kind: sum(next(counts) for _ in regions) for kind in KINDS}

    def finish(
        self,
        message: TaskMessage,
        work: Work | None = None,
        outcomes: Mapping[str, Outcome] | None = None,
    ) -> bool:
        """A task has done its part; the last of its round makes the next step of the region pending.

        outcomes: what has become of its patches. Returns whether this was the last.
        """
        follow = _follow(message)
        return bool(
            self._call(
                "finish", message.region, message.run, message.kind, message.task,
                work.dump() if work else "",
                follow.task if follow else "", pack(dump_message(follow)) if follow else "",
                *_by_turns(outcomes or {}),
            )
        )  # fmt: skip

    def work(self, region: str) -> dict[str, Work]:
        """What each task has done, by kind and task: `images:1:…`."""
        entries = cast("dict[str, str]", self._redis.hgetall(self._key(region, "work")))
        return {task: Work.load(text) for task, text in entries.items()}

    # dead letters

    def bury(self, message: TaskMessage, letter: DeadLetter) -> None:
        """Remember a task that is given up."""
        self._call("bury", message.region, message.run, f"{message.kind}:{message.task}", letter.dump())

    def dead_letters(self, region: str) -> dict[str, DeadLetter]:
        """What was given up in the last run, by kind and task."""
        entries = cast("dict[str, str]", self._redis.hgetall(self._key(region, "dead")))
        return {task: DeadLetter.load(text) for task, text in entries.items()}

    def refuse(self, name: str, reason: str) -> None:
        """Remember a message that could not be read."""
        pipe = self._redis.pipeline(transaction=True)
        pipe.lpush(f"{self._namespace}:refused", f"{name}: {reason}"[:2000])
        pipe.ltrim(f"{self._namespace}:refused", 0, MOST_REFUSED - 1)
        execute(pipe)

    def refused(self) -> list[str]:
        """Messages that could not be read: why, the last first."""
        return cast("list[str]", self._redis.lrange(f"{self._namespace}:refused", 0, -1))

    def count_refused(self) -> int:
        """How many messages could not be read; no more are counted than are remembered."""
        return self._redis.llen(f"{self._namespace}:refused")

    # patches

    def record(self, region: str, run: str, kind: Kind, outcomes: Mapping[str, Outcome]) -> None:
        """Record what has become of patches, so far."""
        if outcomes:
            self._call("record", region, run, kind, *_by_turns(outcomes))

    def outcomes(self, region: str, kind: Kind) -> dict[str, Outcome]:
        """What has become of patches, so far."""
        entries = cast("dict[str, str]", self._redis.hgetall(self._key(region, kind)))
        return {lengthen(short): Outcome.load(text) for short, text in entries.items()}

    def outcomes_of(self, region: str, kind: Kind, patches: Sequence[str]) -> dict[str, Outcome]:
        """What has become of these patches, so far; without those of which nothing is known."""
        found = self._redis.hmget(self._key(region, kind), [shorten(name) for name in patches])
        return {
            name: Outcome.load(str(text))
            for name, text in zip(patches, found, strict=True)
            if text is not None
        }

    def tried(self, region: str) -> dict[str, list[str]]:
        """Which scenes each patch has been sent to, in order."""
        entries = cast("dict[str, str]", self._redis.hgetall(self._key(region, "messages")))
        # Not made messages of: a large region has sent each of its patches in several.
        sent = [json.loads(unpack(packed)) for task, packed in entries.items() if task.startswith("images:")]
        cuts = [entry["message"] for entry in sent if entry["type"] == CutScene.__name__]
        found: dict[str, list[str]] = {}
        for cut in sorted(cuts, key=lambda each: int(each["round"])):
            for work in cut["patches"]:
                found.setdefault(work if isinstance(work, str) else work["name"], []).append(
                    cut["scene"]["id"]
                )
        return found

    def keep_observation(self, region: str, run: str, patch: str, scene_id: str) -> None:
        """An observation of a patch is kept in the store."""
        self._call("keep", region, run, f"{shorten(patch)} {scene_id}")

    def kept_observations(self, region: str) -> set[tuple[str, str]]:
        """Patch and scene of each observation that is kept in the store."""
        members = cast("set[str]", self._redis.smembers(self._key(region, "kept")))
        return {(lengthen(member.split(" ")[0]), member.split(" ")[1]) for member in members}

    def progress(self, region: str) -> Progress:
        """How far a run is."""
        return self.progress_of([region])[0]

    def progress_of(self, regions: Sequence[str]) -> list[Progress]:
        """How far the runs of regions are; asked at once."""
        pipe = self._redis.pipeline(transaction=False)
        for region in regions:
            key = partial(self._key, region)
            pipe.hmget(key(), *Progress.FACTS)
            pipe.zcard(key("pending:images"))
            pipe.hlen(key("images"))
            pipe.hlen(key("labels"))
            pipe.hlen(key("dead"))
        answers = iter(execute(pipe))
        return [Progress.read(*(next(answers) for _ in range(5))) for _ in regions]


def open_ledger(settings: Settings) -> Ledger:
    """The ledger of the settings. Raises ConfigurationError when no Redis is named."""
    return Ledger(open_redis(settings))
