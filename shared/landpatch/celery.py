"""The Celery apps of the services: one configuration, one way to send a message."""

import logging
import time
import uuid
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from functools import lru_cache, partial
from typing import Any, Literal, get_args

from billiard import current_process
from celery import Celery
from celery.signals import (
    celeryd_init,
    setup_logging,
    worker_process_init,
    worker_process_shutdown,
    worker_ready,
)
from kombu.exceptions import OperationalError

from landpatch.broker import PRIORITIES, SENT_AT
from landpatch.connection import NO_REDIS, read_tls
from landpatch.counters import TALLY, Count
from landpatch.drivers import restrict_drivers
from landpatch.errors import ConfigurationError, InfrastructureError
from landpatch.exporter import serve_metrics, stop_serving
from landpatch.heartbeat import keep_heartbeat
from landpatch.ledger import KINDS, Kind, Ledger, Overdue
from landpatch.log import configure_logging, logs_json
from landpatch.messages import (
    AdvanceRegion,
    CutScene,
    FetchLabels,
    Message,
    PlanRegion,
    SettlePatches,
    TaskMessage,
    WriteIndex,
    describe_message,
)
from landpatch.records import Outcome, State, Work
from landpatch.settings import Settings, load_settings
from landpatch.traces import check_tracing, name_parent, stop_tracing

TASKS: dict[type[Message], tuple[str, str]] = {
    PlanRegion: ("dispatch.plan_region", "dispatch"),
    AdvanceRegion: ("dispatch.advance_region", "dispatch"),
    CutScene: ("images.cut_scene", "images"),
    SettlePatches: ("images.settle_patches", "images"),
    FetchLabels: ("labels.fetch_labels", "labels"),
    WriteIndex: ("index.write_index", "index"),
}
"""Task name and queue of each message."""
QUEUES = tuple(sorted({queue for _, queue in TASKS.values()}))
_PATCHES = Count(
    "landpatch_patches",
    "Patches of which it is known what has become of their image or label, counted when that is settled.",
    kind=("images", "labels"),
    state=get_args(State),
)

HARD_LIMIT_S = 3600
VISIBILITY_TIMEOUT_S = 2 * HARD_LIMIT_S
"""Above the hard time limit: a task that is still running is never delivered again."""
NEXT_STEP_S = 30.0
"""How soon the reconciler asks again for the next step of a region that nobody has begun."""
SERVED_FIRST = (2, 8, 32)
"""Up to which position in its region a message has which priority."""
SEPARATOR = "."
"""Between the parts of a message's id; none of them has one in it."""


def count_workers(settings: Settings, queue: str) -> int:
    """How many workers answer that take messages from a queue."""
    inspect = make_app("landpatch.inspector", settings).control.inspect(timeout=1.0)
    answers = inspect.active_queues() or {}
    return sum(any(taken["name"] == queue for taken in queues) for queues in answers.values())


@setup_logging.connect
def _log_as_the_others(loglevel: int = logging.INFO, **_: object) -> None:
    """What Celery says looks like what every other process says."""
    configure_logging(loglevel)


@celeryd_init.connect
def _begin_as_the_others(instance: Any, **_: object) -> None:
    """Before Celery says anything; without its banner, a dozen lines for a person."""
    configure_logging(logging.INFO)
    instance.quiet = instance.quiet or logs_json()


@worker_ready.connect
def _tell_metrics(**_: object) -> None:
    """After the children are forked: a process of several threads should not fork."""
    serve_metrics(load_settings())


@worker_process_init.connect
def _begin_child(**_: object) -> None:
    """A child counts in a row of its own, and serves nobody."""
    number = getattr(current_process(), "index", None)
    if number is not None:
        TALLY.take_row(number)
        stop_serving()


@worker_process_shutdown.connect
def _end_child(**_: object) -> None:
    stop_tracing()


def make_app(name: str, settings: Settings | None = None) -> Celery:
    """A Celery app of this system. Raises ConfigurationError when no Redis is named."""
    restrict_drivers()
    settings = settings or load_settings()
    if settings.redis_url is None:
        raise ConfigurationError(NO_REDIS)
    check_tracing(settings)
    app = Celery(name, broker=settings.redis_url.get_secret_value(), set_as_current=False)
    app.conf.update(
        broker_use_ssl=read_tls(settings) or None,
        task_ignore_result=True,
        task_serializer="json",
        accept_content=["json"],
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_time_limit=HARD_LIMIT_S,
        task_soft_time_limit=HARD_LIMIT_S - 60,
        task_create_missing_queues=True,
        task_send_sent_event=True,
        worker_send_task_events=True,
        worker_prefetch_multiplier=1,
        worker_disable_prefetch=True,
        worker_enable_remote_control=True,
        worker_soft_shutdown_timeout=30,
        worker_hijack_root_logger=True,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        # https://docs.celeryq.dev/en/stable/getting-started/backends-and-brokers/redis.html
        broker_transport_options={
            "visibility_timeout": VISIBILITY_TIMEOUT_S,
            "socket_timeout": 60,
            "socket_connect_timeout": 10,
            "socket_keepalive": True,
            "health_check_interval": 30,
            "priority_steps": list(PRIORITIES),
        },
        visibility_timeout=VISIBILITY_TIMEOUT_S,
    )
    if settings.heartbeat_file:
        keep_heartbeat(app, settings.heartbeat_file)
    return app


@lru_cache(maxsize=1)
def _sender() -> Celery:
    return make_app("landpatch.sender")


def message_id(message: TaskMessage) -> str:
    """An id for one sending of a message; says what it asks for, to people and to the reconciler."""
    parts = (message.region.replace("/", "-"), message.run, message.kind, message.task, uuid.uuid4().hex[:12])
    return SEPARATOR.join(parts)


def read_message_id(text: str) -> Overdue | None:
    """Which task a message asks for, from its id; None when the id is none of ours."""
    parts = text.split(SEPARATOR)
    if len(parts) != 5 or parts[2] not in KINDS:
        return None
    return Overdue(parts[0].replace("-", "/"), parts[1], parts[2], parts[3])


def send(message: TaskMessage, priority: int = PRIORITIES[0]) -> None:
    """Put a message on its queue; raises InfrastructureError when that cannot be done."""
    name, queue = TASKS[type(message)]
    put = partial(
        _sender().send_task,
        name,
        kwargs={"message": message.model_dump(mode="json")},
        queue=queue,
        priority=priority,
        task_id=message_id(message),
        kwargsrepr=describe_message(message),
        headers={SENT_AT: round(time.time(), 1), **name_parent()},
    )
    try:
        try:
            put()
        except AttributeError:
            # When Redis goes away just then, kombu may publish over a channel that it has closed already: it
            # has no `connection` any more, and nothing has been sent. A second time it takes another.
            put()
    except OperationalError as error:
        raise InfrastructureError("Redis (LANDPATCH_REDIS_URL) cannot be reached") from error


def send_claimed(ledger: Ledger, region: str, run: str, kind: Kind, lease_s: float) -> None:
    """Send the messages of tasks that have never been sent.

    The first of a region are served before the many of another, so that a small region that comes late does
    not wait for a big one.
    """
    for position, message in enumerate(ledger.claim(region, run, kind, lease_s)):
        rank = bisect_right(SERVED_FIRST, position)
        send(message, PRIORITIES[rank])


def finish(
    ledger: Ledger,
    message: TaskMessage,
    work: Work | None = None,
    outcomes: Mapping[str, Outcome] | None = None,
) -> None:
    """A task has done its part; when it was the last, ask for the next step of the region."""
    is_last = ledger.finish(message, work, outcomes)
    if message.kind != "control":
        count_patches(message.kind, (outcomes or {}).values())
    if is_last:
        send_claimed(ledger, message.region, message.run, "control", NEXT_STEP_S)


def count_patches(kind: Literal["images", "labels"], outcomes: Iterable[Outcome]) -> None:
    """Count patches of which it is known from now on what has become of their image or label."""
    for outcome in outcomes:
        _PATCHES.add(kind, outcome.state)
