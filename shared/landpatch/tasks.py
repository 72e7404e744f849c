"""How a task of a queue is declared: what happens before its body, and what when the body fails.

A task is taken in hand in the ledger before its body begins, and every time counts as an attempt: a worker
that was killed has had one. What may pass by itself is tried again after a pause, by way of the ledger and
the reconciler; what does not, or has been tried too often, goes to the dead letters, and the region goes on
without.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Generic, Literal, TypeVar, cast, get_args

import structlog
from celery import Celery, Task, signals
from celery.exceptions import Reject, Retry, SoftTimeLimitExceeded
from pydantic import ValidationError

from landpatch.celery import TASKS
from landpatch.counters import Count, Durations
from landpatch.errors import DestinationError, InfrastructureError, LandpatchError, TransientError
from landpatch.lease import Lease
from landpatch.ledger import Ledger, open_ledger
from landpatch.messages import CutScene, FetchLabels, SettlePatches, TaskMessage
from landpatch.records import DeadLetter
from landpatch.settings import Settings, load_settings
from landpatch.traces import PARENT, fail_span, start_tracing, trace_task

MAX_ATTEMPTS = 5
OUTAGES_AN_ATTEMPT = 8
"""When Redis or the destination store was away, it counts little: another product would not help."""
LONGEST_PAUSE = 30
"""Of the first; after an outage, which ends for all at once, less."""
LONGEST_OUTAGE_PAUSE = 6
LOST = "the worker that had it in hand was lost each time"
End = Literal["done", "put_off", "outage", "gave_up", "dropped", "returned"]
"""How a task ends for its worker. put_off: it is tried again later. outage: the same, as Redis or the store
is away. gave_up: a dead letter. dropped: there was nothing to do. returned: the ledger is away."""
_NAMES = [name for name, _ in TASKS.values()]
_ENDED = Count(
    "landpatch_tasks", "Tasks that workers have taken, by how that ended.", task=_NAMES, end=get_args(End)
)
_SECONDS = Durations(
    "landpatch_task_seconds",
    "How long tasks take, whatever becomes of them.",
    (0.1, 0.5, 1, 5, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600),
    task=_NAMES,
)
_REFUSED = Count("landpatch_refused_messages", "Messages that could not be read.")

log = structlog.get_logger()
M = TypeVar("M", bound=TaskMessage)


def pause_s(failures: int, first_s: float, longest: float) -> float:
    """How long to wait after so many failures: three times as long each time, up to `longest` times the
    first, and never all at once."""
    return first_s * min(3.0 ** (failures - 1), longest) * random.uniform(0.8, 1.2)  # noqa: S311


@lru_cache(maxsize=1)
def _open() -> tuple[Settings, Ledger]:
    """Made when the first message comes, so that no client is older than its process."""
    settings = load_settings()
    return settings, open_ledger(settings)


def _bind(message: TaskMessage, message_id: str) -> None:
    """What every line of a task says, those of Celery as well."""
    facts = {"region": message.region, "task": f"{message.kind}:{message.task}", "task_id": message_id}
    if isinstance(message, CutScene):
        facts["product"] = message.scene.name
    structlog.contextvars.bind_contextvars(**facts)


@signals.task_postrun.connect
def _unbind(**_: object) -> None:
    structlog.contextvars.clear_contextvars()


def declare_task(
    app: Celery, message_type: type[M], give_up: Callable[[M, str], None]
) -> "Callable[[Callable[[M], None]], Task[Any, Any]]":
    """Make a function of a message a task of its queue.

    give_up: told the message and the reason when the task cannot be done; records it and finishes the task.
    """
    name, _ = TASKS[message_type]

    def decorate(body: Callable[[M], None]) -> "Task[Any, Any]":
        def run(self: "Task[Any, Any]", *_: object, message: object = None) -> None:
            settings, ledger = _open()
            start_tracing(settings, str(app.main))
            owner = str(self.request.id)
            try:
                parsed = _parse(ledger, name, message_type, message)
                if parsed is None:
                    return
                _bind(parsed, owner)
                number = ledger.begin(parsed, owner, settings.lease_s)
                if not number:
                    _ENDED.add(name, "dropped")
                    return
                attempt = _Attempt(ledger, parsed, name, owner, number, settings.retry_s, give_up)
                parent = getattr(self.request, PARENT, None)
                with (
                    _SECONDS.timing(name),
                    trace_task(parsed, name, parent, number <= 1),
                    Lease(ledger, parsed, owner, settings.lease_s),
                ):
                    attempt.make(body)
            except InfrastructureError as error:
                _ENDED.add(name, "returned")
                # The ledger cannot be reached; back to the queue, or to whoever finds the lease run out.
                raise Reject(error, requeue=True) from error

        run.__name__ = body.__name__
        run.__doc__ = body.__doc__
        task: Task[Any, Any] = app.task(name=name, bind=True, throws=(LandpatchError,))(run)
        return task

    return decorate


def _parse(ledger: Ledger, name: str, message_type: type[M], message: object) -> M | None:
    """The message; None, and a line among those that were refused, when it is none."""
    try:
        return cast("M", message_type.model_validate(message))
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['type']}" for fault in error.errors())
        log.error("message refused", task=name, faults=faults)
        _REFUSED.add()
        ledger.refuse(name, faults)
        return None


@signals.task_unknown.connect
def _refuse_unknown(name: str, **_: object) -> None:
    """A message for a task that this worker does not have."""
    _REFUSED.add()
    _open()[1].refuse(str(name), "no such task")


@signals.task_rejected.connect
def _refuse_unreadable(**_: object) -> None:
    """A message that is no task at all."""
    _REFUSED.add()
    _open()[1].refuse("unknown", "not a task message")


@dataclass(frozen=True, slots=True)
class _Attempt(Generic[M]):
    """A task in hand."""

    ledger: Ledger
    message: M
    name: str
    """Of the task, for Celery."""
    owner: str
    number: float
    """Which attempt it is; outages make fractions."""
    retry_s: float
    """How long the first pause is."""
    give_up: Callable[[M, str], None]

    def make(self, body: Callable[[M], None]) -> None:
        """Do the task; put it off, or give it up, when it fails.

        Raises Retry when it was put off, InfrastructureError when the ledger cannot be reached.
        """
        try:
            if self.number >= MAX_ATTEMPTS + 1:
                raise TransientError(LOST)
            body(self.message)
            _ENDED.add(self.name, "done")
        except (InfrastructureError, DestinationError) as error:
            outages = round(self.number * OUTAGES_AN_ATTEMPT) % OUTAGES_AN_ATTEMPT + 1
            pause = pause_s(outages, self.retry_s, LONGEST_OUTAGE_PAUSE)
            self._put_off("outage", error, str(error), pause, forgive=1 - 1 / OUTAGES_AN_ATTEMPT)
            # Without Redis or the store no other product helps: the region cannot be built.
            self.ledger.fail(self.message.region, self.message.run, str(error))
        except (TransientError, SoftTimeLimitExceeded, MemoryError) as error:
            reason = (
                str(error) if isinstance(error, LandpatchError) else f"{type(error).__name__} of a worker"
            )
            self._put_off("put_off", error, reason, pause_s(int(self.number), self.retry_s, LONGEST_PAUSE))
            self.give_up(self.message, reason)
        except LandpatchError as error:
            self._bury(str(error))
            self.give_up(self.message, str(error))
        except Exception as error:
            log.exception("unexpected")
            reason = f"{type(error).__name__}: {error}"
            self._bury(reason)
            self.give_up(self.message, reason)
            raise

    def _put_off(self, end: End, error: Exception, reason: str, pause: float, forgive: float = 0) -> None:
        """Put the task off and raise Retry; bury it, and return, when it has been tried often enough."""
        if self.number - forgive >= MAX_ATTEMPTS:
            self._bury(reason)
            return
        log.warning("put off", attempt=self.number, pause_s=pause, reason=reason)
        self.ledger.postpone(self.message, self.owner, pause, forgive=forgive)
        _ENDED.add(self.name, end)
        raise Retry(reason, exc=error, when=cast("Any", pause)) from error

    def _bury(self, reason: str) -> None:
        message = self.message
        log.error("gave up", reason=reason)
        product = message.scene.name if isinstance(message, CutScene) else ""
        patches = len(message.patches) if isinstance(message, CutScene | SettlePatches | FetchLabels) else 0
        self.ledger.bury(message, DeadLetter(reason, int(self.number), product, patches))
        _ENDED.add(self.name, "gave_up")
        fail_span(reason)
