"""The ledger of a region in Redis: what is wanted, what is pending, what has come out.

Every transition is atomic and idempotent. A region is complete when its pending sets are empty.
"""

import json
import uuid
import zlib
from base64 import b85decode, b85encode
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import chain
from typing import Any, Literal, cast

import numpy as np
import redis
from redis.client import Pipeline
from redis.exceptions import AuthenticationError, ConnectionError, TimeoutError

from landpatch.errors import ConfigurationError, InfrastructureError
from landpatch.grid import PATCH_SIZE_M
from landpatch.messages import RegionRequest, RoundMessage
from landpatch.settings import Settings

Kind = Literal["images", "labels"]
_KINDS: tuple[Kind, ...] = ("images", "labels")
State = Literal["complete", "partial", "missing", "failed"]

NO_REDIS = "no Redis: set LANDPATCH_REDIS_URL, or start the embedded stack with `make up`"

_START = """
local state = redis.call('HGET', KEYS[1], 'state')
if state and state ~= 'done' and state ~= 'failed' then
  return {redis.call('HGET', KEYS[1], 'run'), redis.call('HGET', KEYS[1], 'request')}
end
for _, key in ipairs(KEYS) do redis.call('DEL', key) end
redis.call('HSET', KEYS[1], 'run', ARGV[1], 'request', ARGV[2], 'state', 'queued', 'round', '0')
redis.call('SADD', ARGV[3], ARGV[4])
return {ARGV[1], ARGV[2]}
"""

_OPEN_ROUND = """
if redis.call('HGET', KEYS[1], 'run') ~= ARGV[1] then return 0 end
if redis.call('HGET', KEYS[1], 'round') ~= ARGV[2] then return 0 end
local state = redis.call('HGET', KEYS[1], 'state')
if state == 'indexing' or state == 'done' then return 0 end
local rest = cjson.decode(ARGV[4])
redis.call('HSET', KEYS[1], 'round', ARGV[3], 'state', 'cutting')
redis.call('HINCRBY', KEYS[1], 'products', #rest.tasks)
for i, task in ipairs(rest.tasks) do
  redis.call('SADD', KEYS[2], task)
  redis.call('HSET', KEYS[3], 'images:' .. task, rest.messages[i])
end
local known, number = redis.call('LRANGE', KEYS[5], 0, -1), {}
for i, id in ipairs(known) do number[id] = i end
local here = {}
for i, id in ipairs(rest.ids) do
  if not number[id] then number[id] = redis.call('RPUSH', KEYS[5], id) end
  here[i] = number[id]
end
for i, patch in ipairs(rest.patches) do
  local tried = {}
  for j, place in ipairs(rest.tried[i]) do tried[j] = here[place] end
  redis.call('HSET', KEYS[4], patch, table.concat(tried, ','))
end
return 1
"""

_FINISH = """
if redis.call('HGET', KEYS[1], 'run') ~= ARGV[1] then return -1 end
redis.call('HSET', KEYS[3], ARGV[3], ARGV[4])
redis.call('SREM', KEYS[2], ARGV[2])
return redis.call('SCARD', KEYS[2])
"""

_BEGIN_INDEX = """
local state = redis.call('HGET', KEYS[1], 'state')
if redis.call('HGET', KEYS[1], 'run') ~= ARGV[1] then return 0 end
if state ~= 'cutting' and state ~= 'indexing' then return 0 end
redis.call('HSET', KEYS[1], 'state', 'indexing')
return 1
"""

_PARTS = (
    "pending:images", "pending:labels", "images", "labels", "tried", "ids", "kept", "work", "scenes",
    "outbox",
)  # fmt: skip
_STATES: dict[str, State] = {state[0]: state for state in ("complete", "partial", "missing", "failed")}
"""By their first letter: one byte a patch, of which there are a million in Europe."""


def _shorten(name: str) -> str:
    """A patch's name in half the room: corner in cells, numbers to base 36, `3757500_2887500_0_20` ->
    `15r.w3.0.k`. What is no such name stays as it is."""
    parts = name.split("_")
    if len(parts) != 4 or not all(part.isdecimal() for part in parts):
        return name
    xmin, ymin, part, cell = map(int, parts)
    if xmin % PATCH_SIZE_M or ymin % PATCH_SIZE_M:
        return name
    numbers = (xmin // PATCH_SIZE_M, ymin // PATCH_SIZE_M, part, cell)
    return ".".join(np.base_repr(number, 36).lower() for number in numbers)


def _lengthen(short: str) -> str:
    """The name that `_shorten` made short."""
    if "." not in short:
        return short
    col, row, part, cell = (int(number, 36) for number in short.split("."))
    return f"{col * PATCH_SIZE_M}_{row * PATCH_SIZE_M}_{part}_{cell}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What has become of the image or the label of a patch."""

    state: State
    reason: str = ""

    def dump(self) -> str:
        """As it is kept."""
        return self.state[0] + self.reason

    @staticmethod
    def load(text: str) -> "Outcome":
        """From what `dump` gave."""
        return Outcome(_STATES[text[0]], text[1:])


@dataclass(frozen=True, slots=True)
class Work:
    """What a task has done; kept once a task, however often it is delivered."""

    bytes_downloaded: int = 0
    requests: int = 0
    product: str = ""
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is."""

    state: str
    round: int
    products_total: int
    products_done: int
    images_total: int
    images_done: int
    labels_total: int
    labels_done: int
    message: str


@contextmanager
def _translated() -> Iterator[None]:
    """Lost connections as errors of landpatch."""
    try:
        yield
    except AuthenticationError as error:
        raise ConfigurationError("Redis refuses the password in LANDPATCH_REDIS_URL") from error
    except (ConnectionError, TimeoutError) as error:
        raise InfrastructureError("Redis (LANDPATCH_REDIS_URL) cannot be reached") from error


class _Client(redis.Redis):
    """A client whose lost connections are errors of landpatch."""

    def execute_command(self, *args: Any, **options: Any) -> Any:
        with _translated():
            return super().execute_command(*args, **options)  # type: ignore[no-untyped-call]


def _execute(pipe: Pipeline) -> list[Any]:
    with _translated():
        return pipe.execute()


class Ledger:
    """The ledger; one object serves any number of regions."""

    def __init__(self, client: redis.Redis, namespace: str = "landpatch") -> None:
        """client: decodes answers to text."""
        self._redis = client
        self._namespace = namespace
        self._start = client.register_script(_START)
        self._open_round = client.register_script(_OPEN_ROUND)
        self._finish = client.register_script(_FINISH)
        self._begin_index = client.register_script(_BEGIN_INDEX)

    def _key(self, region: str, part: str = "run") -> str:
        return f"{self._namespace}:{{{region}}}:{part}"

    def check(self) -> None:
        """Raise InfrastructureError or ConfigurationError when Redis cannot be used."""
        self._redis.ping()

    def start(self, request: RegionRequest) -> tuple[str, RegionRequest]:
        """Begin a run, or join the one under way. Returns its id and what it was asked for."""
        keys = [self._key(request.key), *(self._key(request.key, part) for part in _PARTS)]
        arguments = [uuid.uuid4().hex, request.model_dump_json(), f"{self._namespace}:regions", request.key]
        run, asked = cast("list[str]", self._start(keys=keys, args=arguments))
        return run, RegionRequest.model_validate_json(asked)

    def regions(self) -> list[str]:
        """Every region and year that the ledger knows, such as `FR101/2021`."""
        return sorted(cast("set[str]", self._redis.smembers(f"{self._namespace}:regions")))

    def is_current(self, message: RoundMessage) -> bool:
        """Whether a message belongs to the run under way."""
        return self._redis.hget(self._key(message.region), "run") == message.run

    def facts(self, region: str) -> dict[str, str]:
        """The run's own fields: run, request, state, round, totals, result."""
        return cast("dict[str, str]", self._redis.hgetall(self._key(region)))

    def note(self, region: str, **facts: str | int) -> None:
        """Set fields of the run."""
        self._redis.hset(self._key(region), mapping=dict[Any, Any](facts))

    def begin_index(self, region: str, run: str) -> bool:
        """All is cut; the index is next. Returns whether it is still to be written: a run that is done
        stays done, however late a message comes."""
        return bool(self._begin_index(keys=[self._key(region)], args=[run]))

    def close(self, region: str, result: str) -> None:
        """The region is done, the index tells of its patches: keep what sums them up, forget the rest."""
        at = self.progress(region)
        pipe = self._redis.pipeline(transaction=True)
        done = {"images_done": at.images_done, "labels_done": at.labels_done}
        facts = {"state": "done", "message": "", "result": result} | done
        pipe.hset(self._key(region), mapping=dict[Any, Any](facts))
        pipe.delete(*(self._key(region, part) for part in _PARTS))
        _execute(pipe)

    def keep_scenes(self, region: str, scenes: str) -> None:
        """Keep the catalogue's answer for the rounds that follow."""
        packed = b85encode(zlib.compress(scenes.encode())).decode()
        self._redis.set(self._key(region, "scenes"), packed)

    def scenes(self, region: str) -> str:
        """The catalogue's answer; empty when none is kept."""
        packed = cast("str | None", self._redis.get(self._key(region, "scenes")))
        return zlib.decompress(b85decode(packed)).decode() if packed else ""

    # rounds

    def open_round(
        self,
        region: str,
        run: str,
        number: int,
        messages: Mapping[str, str],
        tried: Mapping[str, Sequence[str]],
    ) -> bool:
        """Open round `number`, if the round before it is the last: all of it, or nothing.

        messages: by pending task, the text to send; they wait in the outbox. tried: by patch, the scenes
        it has been sent to with this round, in order. Returns whether the round has been opened.
        """
        parts = ("pending:images", "outbox", "tried", "ids")
        keys = [self._key(region), *(self._key(region, part) for part in parts)]
        ids = {scene: n for n, scene in enumerate(dict.fromkeys(chain(*tried.values())), start=1)}
        rest = {
            "tasks": list(messages),
            "messages": list(messages.values()),
            "ids": list(ids),
            "patches": [_shorten(name) for name in tried],
            "tried": [[ids[scene] for scene in scenes] for scenes in tried.values()],
        }
        return bool(self._open_round(keys=keys, args=[run, number - 1, number, json.dumps(rest)]))

    def add_labels(self, region: str, messages: Mapping[str, str]) -> None:
        """Make these the pending label tasks; by task, the text to send, which waits in the outbox."""
        if messages:
            pipe = self._redis.pipeline(transaction=True)
            pipe.sadd(self._key(region, "pending:labels"), *messages)
            mapping = {f"labels:{task}": text for task, text in messages.items()}
            pipe.hset(self._key(region, "outbox"), mapping=dict[Any, Any](mapping))
            _execute(pipe)

    def outbox(self, region: str) -> dict[str, str]:
        """Messages that have not been sent yet, or not for sure."""
        return cast("dict[str, str]", self._redis.hgetall(self._key(region, "outbox")))

    def mark_sent(self, region: str, entry: str) -> None:
        """A message of the outbox has been sent."""
        self._redis.hdel(self._key(region, "outbox"), entry)

    def is_pending(self, region: str, kind: Kind, task: str) -> bool:
        """Whether a task has still to be done."""
        return bool(self._redis.sismember(self._key(region, f"pending:{kind}"), task))

    def pending(self, region: str, kind: Kind) -> int:
        """How many tasks have still to be done."""
        return self._redis.scard(self._key(region, f"pending:{kind}"))

    def pending_everywhere(self) -> dict[Kind, int]:
        """How many tasks of all regions have still to be done: waiting or running."""
        regions = self.regions()
        pipe = self._redis.pipeline(transaction=False)
        for kind in _KINDS:
            for region in regions:
                pipe.scard(self._key(region, f"pending:{kind}"))
        counts = iter(_execute(pipe))
        return {kind: sum(next(counts) for _ in regions) for kind in _KINDS}

    def finish(self, message: RoundMessage, kind: Kind, task: str, work: Work) -> bool:
        """A task has done its part. Returns whether it was the last that was pending."""
        parts = (f"pending:{kind}", "work")
        keys = [self._key(message.region), *(self._key(message.region, part) for part in parts)]
        arguments = [message.run, task, f"{kind}:{task}", json.dumps(asdict(work))]
        return int(cast("int", self._finish(keys=keys, args=arguments))) == 0

    def work(self, region: str) -> dict[str, Work]:
        """What each task has done."""
        entries = cast("dict[str, str]", self._redis.hgetall(self._key(region, "work")))
        return {task: Work(**json.loads(text)) for task, text in entries.items()}

    # patches

    def record(self, region: str, kind: Kind, outcomes: Mapping[str, Outcome]) -> None:
        """Record what has become of patches."""
        if outcomes:
            mapping = {_shorten(name): outcome.dump() for name, outcome in outcomes.items()}
            self._redis.hset(self._key(region, kind), mapping=dict[Any, Any](mapping))

    def outcomes(self, region: str, kind: Kind) -> dict[str, Outcome]:
        """What has become of patches, so far."""
        entries = cast("dict[str, str]", self._redis.hgetall(self._key(region, kind)))
        return {_lengthen(short): Outcome.load(text) for short, text in entries.items()}

    def tried(self, region: str) -> dict[str, list[str]]:
        """Which scenes each patch has been sent to, in order."""
        pipe = self._redis.pipeline(transaction=True)
        pipe.lrange(self._key(region, "ids"), 0, -1)
        pipe.hgetall(self._key(region, "tried"))
        ids, entries = _execute(pipe)
        return {
            _lengthen(short): [ids[int(number) - 1] for number in text.split(",") if number]
            for short, text in entries.items()
        }

    def keep_observation(self, region: str, patch: str, scene_id: str) -> None:
        """An observation of a patch is kept in the store."""
        self._redis.sadd(self._key(region, "kept"), f"{_shorten(patch)} {scene_id}")

    def kept_observations(self, region: str) -> set[tuple[str, str]]:
        """Patch and scene of each observation that is kept in the store."""
        members = cast("set[str]", self._redis.smembers(self._key(region, "kept")))
        return {(_lengthen(member.split(" ")[0]), member.split(" ")[1]) for member in members}

    def progress(self, region: str) -> Progress:
        """How far a run is."""
        pipe = self._redis.pipeline(transaction=False)
        pipe.hgetall(self._key(region))
        pipe.scard(self._key(region, "pending:images"))
        pipe.hlen(self._key(region, "images"))
        pipe.hlen(self._key(region, "labels"))
        facts, pending, images, labels = _execute(pipe)
        products = int(facts.get("products", 0))
        return Progress(
            state=facts.get("state", "absent"),
            round=int(facts.get("round", 0)),
            products_total=products,
            products_done=max(products - pending, 0),
            images_total=int(facts.get("patches", 0)),
            images_done=int(facts.get("images_done", images)),
            labels_total=int(facts.get("labels", 0)),
            labels_done=int(facts.get("labels_done", labels)),
            message=facts.get("message", ""),
        )


def open_redis(settings: Settings) -> redis.Redis:
    """A client of the Redis that all workers share; its lost connections are InfrastructureError.

    Raises ConfigurationError when no Redis is named.
    """
    if settings.redis_url is None:
        raise ConfigurationError(NO_REDIS)
    try:
        return _Client.from_url(
            settings.redis_url.get_secret_value(),
            decode_responses=True,
            socket_timeout=30,
            socket_connect_timeout=10,
            health_check_interval=30,
        )
    except ValueError:
        raise ConfigurationError("LANDPATCH_REDIS_URL is not a redis:// URL") from None


def open_ledger(settings: Settings) -> Ledger:
    """The ledger of the settings. Raises ConfigurationError when no Redis is named."""
    return Ledger(open_redis(settings))
