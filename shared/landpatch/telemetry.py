"""Spans by OpenTelemetry, sent by OTLP over HTTP; imported only where traces are asked for.

The ids of a run's trace and of its first span are derived from the run's own id. So a message that comes
without a parent, as the reconciler sends it again, still belongs to its trace, and the ledger keeps nothing
for that.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from hashlib import sha256

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    format_trace_id,
    get_current_span,
    set_span_in_context,
    use_span,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from structlog.contextvars import bind_contextvars

from landpatch import __version__
from landpatch.messages import CutScene, TaskMessage
from landpatch.traces import PARENT

_PROPAGATOR = TraceContextTextMapPropagator()


def derive_ids(run: str) -> tuple[int, int]:
    """Ids of a run's trace and of its first span. Hashed: samplers take a trace's id to be evenly
    distributed, which the id of a run, a UUID, is not."""
    digest = sha256(run.encode()).digest()
    return int.from_bytes(digest[:16]), int.from_bytes(digest[16:24])


class _Ids(RandomIdGenerator):
    """Ids of spans: drawn, but for the first span of a run."""

    def __init__(self) -> None:
        self.chosen: ContextVar[tuple[int, int] | None] = ContextVar("chosen", default=None)

    def generate_trace_id(self) -> int:
        chosen = self.chosen.get()
        return chosen[0] if chosen else super().generate_trace_id()

    def generate_span_id(self) -> int:
        chosen = self.chosen.get()
        return chosen[1] if chosen else super().generate_span_id()


class Tracing:
    """Makes the spans of a process, and sends them from a thread of its own."""

    def __init__(self, service: str, endpoint: str) -> None:
        """service: its name, where OTEL_SERVICE_NAME gives no other. endpoint: of whoever collects the spans;
        all else stands in the OTEL_… variables."""
        os.environ.setdefault("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
        named = {} if os.environ.get("OTEL_SERVICE_NAME") else {SERVICE_NAME: service}
        self._ids = _Ids()
        self._provider = TracerProvider(
            resource=Resource.create({**named, SERVICE_VERSION: __version__}), id_generator=self._ids
        )
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("landpatch", __version__)

    def stop(self) -> None:
        """Send what has not been sent."""
        self._provider.shutdown()

    @contextmanager
    def span(self, name: str, facts: Mapping[str, str]) -> Iterator[None]:
        """A span below the one under way; none where there is none, as for what a task does not ask for."""
        if not get_current_span().get_span_context().is_valid:
            yield
            return
        attributes = {f"landpatch.{key}": value for key, value in facts.items()}
        with self._tracer.start_as_current_span(name, attributes=attributes):
            yield

    @contextmanager
    def task(self, message: TaskMessage, name: str, parent: str | None, first: bool) -> Iterator[None]:
        """The span of a task. parent: the header of its message. first: nobody has begun it before."""
        ids = derive_ids(message.run)
        context = _PROPAGATOR.extract({PARENT: parent}) if parent else Context()
        if get_current_span(context).get_span_context().trace_id != ids[0]:
            context = self._below_first(ids, name)
        begins = message.task == "plan" and first
        chosen = self._ids.chosen.set(ids if begins else None)
        try:
            span = self._tracer.start_span(
                name, Context() if begins else context, SpanKind.CONSUMER, _describe(message)
            )
        finally:
            self._ids.chosen.reset(chosen)
        bind_contextvars(trace_id=format_trace_id(ids[0]))
        with use_span(span, end_on_exit=True):
            yield

    def _below_first(self, ids: tuple[int, int], name: str) -> Context:
        """As if a run's first span had sent the message; sampled when the trace would be."""
        decision = self._provider.sampler.should_sample(Context(), ids[0], name).decision
        sampled = decision is Decision.RECORD_AND_SAMPLE
        flags = TraceFlags(TraceFlags.SAMPLED if sampled else TraceFlags.DEFAULT)
        return set_span_in_context(
            NonRecordingSpan(SpanContext(*ids, is_remote=True, trace_flags=flags)), Context()
        )

    def fail(self, reason: str) -> None:
        """The span under way has failed."""
        get_current_span().set_status(Status(StatusCode.ERROR, reason))

    def headers(self) -> Mapping[str, str]:
        """Name the span under way."""
        carrier: dict[str, str] = {}
        _PROPAGATOR.inject(carrier)
        return {PARENT: carrier[PARENT]} if PARENT in carrier else {}


def _describe(message: TaskMessage) -> dict[str, str]:
    facts = {"region": message.region, "run": message.run, "task": f"{message.kind}:{message.task}"}
    if isinstance(message, CutScene):
        facts["product"] = message.scene.name
    return {f"landpatch.{name}": value for name, value in facts.items()}
