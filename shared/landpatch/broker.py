"""What waits in Redis under Celery's names: the queues, and the messages that workers have in hand.

Celery's transport keeps a queue as one list a priority, and each message that a worker has taken in a hash
until it is acknowledged (kombu.transport.redis, `unacked`).
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, cast

import redis
from celery import Celery

from landpatch.connection import execute

PRIORITIES = (0, 3, 6, 9)
"""Of messages; the lowest number is served first."""
_SEPARATOR = "\x06\x16"
_UNACKED = "unacked"
SENT_AT = "landpatch_sent_at"
"""Header of a message: seconds since 1970 by the clock of who has sent it first."""
_PAGE = 1000


@dataclass(frozen=True, slots=True)
class InHand:
    """A message that a worker has taken and not acknowledged."""

    tag: str
    id: str
    """Of the message; empty when it is none of ours."""


def queue_keys(queue: str) -> list[str]:
    """The lists that make up a queue, the one that is served first at the front."""
    return [f"{queue}{_SEPARATOR}{priority}" if priority else queue for priority in PRIORITIES]


def count_waiting(client: redis.Redis, queues: Sequence[str]) -> dict[str, int]:
    """Messages that no worker has taken yet, by queue."""
    pipe = client.pipeline(transaction=False)
    for queue in queues:
        for key in queue_keys(queue):
            pipe.llen(key)
    counts = iter(execute(pipe))
    return {queue: sum(next(counts) for _ in PRIORITIES) for queue in queues}


def oldest_waiting(client: redis.Redis, queues: Sequence[str]) -> dict[str, float]:
    """By queue, for how many seconds the message that was sent first has been waiting; 0 where none waits."""
    pipe = client.pipeline(transaction=False)
    pipe.time()
    for queue in queues:
        for key in queue_keys(queue):
            pipe.lindex(key, -1)  # taken from that end
    (second, micro), *texts = execute(pipe)
    now, ends = second + micro / 1e6, iter(texts)
    waited = {queue: [now - (_sent_at(next(ends)) or now) for _ in PRIORITIES] for queue in queues}
    return {queue: max(0.0, *seconds) for queue, seconds in waited.items()}


def count_in_hand(client: redis.Redis) -> int:
    """How many messages workers have taken and not acknowledged."""
    return client.hlen(_UNACKED)


def waiting_ids(client: redis.Redis, queues: Sequence[str]) -> set[str]:
    """Ids of the messages that no worker has taken yet."""
    found: set[str] = set()
    for key in (key for queue in queues for key in queue_keys(queue)):
        begin = 0
        while page := cast("list[str]", client.lrange(key, begin, begin + _PAGE - 1)):
            found.update(_id_of(text) for text in page)
            begin += _PAGE
    return found


def in_hand(client: redis.Redis) -> list[InHand]:
    """Messages that workers have taken and not acknowledged; some of these workers may be gone."""
    entries = cast("dict[str, str]", client.hgetall(_UNACKED))
    return [InHand(tag, _id_of(text)) for tag, text in entries.items()]


def put_back(app: Celery, tags: Sequence[str]) -> None:
    """Put messages that were in hand back into their queues, where they are served next."""
    with app.connection_for_write() as connection, connection.channel() as channel:
        redis_channel: Any = channel  # kombu declares no type for what only this transport has
        for tag in tags:
            redis_channel.qos.restore_by_tag(tag)


def _id_of(text: str) -> str:
    """Id of a message, alone or with its route."""
    return str(_header(text, "id") or "")


def _sent_at(text: str | None) -> float:
    """When a message was sent first; 0 when it does not say."""
    sent = _header(text, SENT_AT) if text else None
    return float(sent) if isinstance(sent, int | float) and isfinite(sent) else 0.0


def _header(text: str, name: str) -> object:
    """A header of a message, alone or with its route; None when it has none, or is no message."""
    try:
        entry = json.loads(text)
        entry = entry[0] if isinstance(entry, list) else entry
        return cast("object", entry["headers"].get(name))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None
