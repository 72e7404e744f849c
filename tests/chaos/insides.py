"""All that the chaos tests know of the names of keys: those of kombu's, and those of the ledger's."""

import json
from collections import Counter

import redis

QUEUES = ("dispatch", "images", "labels", "index")
PRIORITY_MARK = "\x06\x16"
"""Between a queue's name and a priority (kombu.transport.redis, sep)."""
UNACKED, UNACKED_INDEX = "unacked", "unacked_index"
"""Messages that a worker has in hand, and when each was handed out (kombu.transport.redis)."""
OVER = {"done", "failed"}
OPEN_PARTS = ("pending", "outbox", "lease", "kept", "tried")
"""Parts of a ledger that a region which is over has none of."""


def waiting(client: redis.Redis) -> Counter[str]:
    """Messages that wait, by queue, over all priorities."""
    found: Counter[str] = Counter()
    for queue in QUEUES:
        for key in {queue, *client.scan_iter(f"{queue}{PRIORITY_MARK}*", count=1000)}:
            found[queue] += int(client.llen(key))
    return found


def in_hand(client: redis.Redis) -> Counter[str]:
    """Messages that have been handed out and not acknowledged, by queue."""
    return Counter(json.loads(entry)[2] for entry in client.hvals(UNACKED))


def handed_out(client: redis.Redis) -> int:
    """Entries of either book that kombu keeps of what is in hand; they should agree."""
    return max(client.hlen(UNACKED), client.zcard(UNACKED_INDEX))


def state(client: redis.Redis, region: str) -> str:
    """The state of a region's run, such as `cutting`; empty when there is none."""
    return client.hget(f"landpatch:{{{region}}}:run", "state") or ""


def left_open(client: redis.Redis, region: str) -> dict[str, str]:
    """What the ledger of a region still holds that is not settled: by key, its type and size."""
    found = {}
    for key in client.scan_iter(f"*{region}*", count=1000):
        if any(part in key for part in OPEN_PARTS):
            found[key] = str(client.type(key))
    return found


def forget(client: redis.Redis, region: str) -> None:
    """Make the ledger forget a region that is over."""
    for key in list(client.scan_iter(f"*{region}*", count=1000)):
        client.delete(key)


def describe(client: redis.Redis, region: str) -> str:
    """What a person wants to see of a region that hangs."""
    lines = [f"waiting {dict(waiting(client))}, in hand {dict(in_hand(client))}"]
    for key in sorted(client.scan_iter(f"*{region}*", count=1000)):
        kind = client.type(key)
        if kind == "hash":
            content: object = client.hgetall(key)
        elif kind == "set":
            content = client.smembers(key)
        elif kind == "zset":
            content = client.zrange(key, 0, -1, withscores=True)
        elif kind == "list":
            content = client.lrange(key, 0, -1)
        else:
            content = client.get(key)
        lines.append(f"{key} ({kind}) {str(content)[:800]}")
    return "\n".join(lines)


def multiply(client: redis.Redis, queue: str, messages: list[bytes], count: int) -> None:
    """Put so many copies of messages on a queue, as kombu would, each with ids of its own."""
    pipe = client.pipeline(transaction=False)
    for number in range(count):
        pipe.lpush(queue, _with_own_ids(json.loads(messages[number % len(messages)]), number))
        if number % 5000 == 4999:
            pipe.execute()
    pipe.execute()


def _with_own_ids(message: dict, number: int) -> str:
    tag = f"{number:08d}-0000-4000-8000-000000000000"
    message["headers"]["id"] = message["headers"]["root_id"] = tag
    message["properties"]["correlation_id"] = message["properties"]["delivery_tag"] = tag
    return json.dumps(message)
