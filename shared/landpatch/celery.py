"""The Celery apps of the services: one configuration, one way to declare a task."""

import random
from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeVar

import structlog
from celery import Celery, Task
from celery.exceptions import Reject
from kombu.exceptions import OperationalError
from pydantic import ValidationError

from landpatch.errors import ConfigurationError, InfrastructureError, LandpatchError, TransientError
from landpatch.ledger import NO_REDIS
from landpatch.messages import (
    AdvanceRegion,
    CutScene,
    FetchLabels,
    Message,
    PlanRegion,
    SettlePatches,
    WriteIndex,
)
from landpatch.settings import Settings, load_settings

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

HARD_LIMIT_S = 3600
VISIBILITY_TIMEOUT_S = 2 * HARD_LIMIT_S
"""Above the hard time limit: a task that is still running is never delivered again."""
MAX_RETRIES = 4
MAX_OUTAGE_RETRIES = 30

log = structlog.get_logger()
M = TypeVar("M", bound=Message)


def count_workers(settings: Settings, queue: str) -> int:
    """How many workers answer that take messages from a queue."""
    inspect = make_app("landpatch.inspector", settings).control.inspect(timeout=1.0)
    answers = inspect.active_queues() or {}
    return sum(any(taken["name"] == queue for taken in queues) for queues in answers.values())


def make_app(name: str, settings: Settings | None = None) -> Celery:
    """A Celery app of this system. Raises ConfigurationError when no Redis is named."""
    settings = settings or load_settings()
    if settings.redis_url is None:
        raise ConfigurationError(NO_REDIS)
    app = Celery(name, broker=settings.redis_url.get_secret_value(), set_as_current=False)
    app.conf.update(
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
        # https://docs.celeryq.dev/en/stable/getting-started/backends-and-brokers/redis.html
        broker_transport_options={
            "visibility_timeout": VISIBILITY_TIMEOUT_S,
            "socket_timeout": 60,
            "socket_connect_timeout": 10,
            "socket_keepalive": True,
            "health_check_interval": 30,
        },
        visibility_timeout=VISIBILITY_TIMEOUT_S,
    )
    return app


@lru_cache(maxsize=1)
def _sender() -> Celery:
    return make_app("landpatch.sender")


def send(message: Message) -> None:
    """Put a message on its queue; raises InfrastructureError when that cannot be done."""
    name, queue = TASKS[type(message)]
    try:
        _sender().send_task(name, kwargs={"message": message.model_dump(mode="json")}, queue=queue)
    except OperationalError as error:
        raise InfrastructureError("Redis (LANDPATCH_REDIS_URL) cannot be reached") from error


def declare_task(
    app: Celery, message_type: type[M], give_up: Callable[[M, str], None]
) -> "Callable[[Callable[[M], None]], Task[Any, Any]]":
    """Make a function of a message a task of its queue.

    A TransientError is tried again, with growing pauses. When that does not help, and after any other
    failure, expected or not, `give_up` records the reason and the work goes on without.
    """
    name, _ = TASKS[message_type]

    def decorate(body: Callable[[M], None]) -> "Task[Any, Any]":
        def run(self: "Task[Any, Any]", message: dict[str, Any]) -> None:
            try:
                parsed = message_type.model_validate(message)
            except ValidationError as error:
                faults = [(fault["loc"], fault["type"]) for fault in error.errors()]
                log.error("message refused", task=name, faults=faults)
                return
            try:
                body(parsed)
            except TransientError as error:
                pause_s = min(2.0 ** (self.request.retries + 1), 60) * random.uniform(0.8, 1.2)  # noqa: S311
                # When Redis or the destination is away, another product would not help: wait for it.
                most = MAX_OUTAGE_RETRIES if isinstance(error, InfrastructureError) else MAX_RETRIES
                try:
                    raise self.retry(exc=error, countdown=pause_s, max_retries=most) from error
                except Reject:
                    # The retry could not be queued; without this the task would be gone.
                    raise Reject(error, requeue=True) from error

        def on_failure(
            _: object, error: Exception, _id: str, _args: object, kwargs: dict[str, Any], _info: object
        ) -> None:
            reason = str(error) if isinstance(error, LandpatchError) else f"{type(error).__name__}: {error}"
            log.error("gave up", task=name, reason=reason)
            give_up(message_type.model_validate(kwargs["message"]), reason)

        run.__name__ = body.__name__
        run.__doc__ = body.__doc__
        task: Task[Any, Any] = app.task(
            name=name, bind=True, max_retries=MAX_RETRIES, on_failure=on_failure, throws=(LandpatchError,)
        )(run)
        return task

    return decorate
