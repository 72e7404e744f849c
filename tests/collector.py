"""A collector of traces: takes OTLP over HTTP, as a real one does, and keeps the spans."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from tests.http_server import Request, serving


@dataclass(frozen=True)
class Told:
    """A span, as it was told."""

    service: str
    name: str
    trace: int
    id: int
    parent: int
    """0 for the first."""
    facts: dict[str, str]
    begin_ns: int
    end_ns: int
    failed: bool


@dataclass
class Traces:
    """What has been told so far."""

    url: str = ""
    spans: list[Told] = field(default_factory=list)
    lock: Lock = field(default_factory=Lock)

    def take(self, body: bytes) -> None:
        """Keep the spans of a request."""
        request = ExportTraceServiceRequest.FromString(body)
        with self.lock:
            for resource in request.resource_spans:
                about = {each.key: each.value.string_value for each in resource.resource.attributes}
                for scope in resource.scope_spans:
                    self.spans += [_read(span, about["service.name"]) for span in scope.spans]

    def of(self, trace: int) -> list[Told]:
        """The spans of a trace."""
        with self.lock:
            return [span for span in self.spans if span.trace == trace]


def _read(span, service: str) -> Told:
    return Told(
        service,
        span.name,
        int.from_bytes(span.trace_id),
        int.from_bytes(span.span_id),
        int.from_bytes(span.parent_span_id),
        {each.key.removeprefix("landpatch."): each.value.string_value for each in span.attributes},
        span.start_time_unix_nano,
        span.end_time_unix_nano,
        span.status.code == span.status.STATUS_CODE_ERROR,
    )


@contextmanager
def collecting() -> Iterator[Traces]:
    """A collector that listens on this machine."""
    traces = Traces()

    def answer(request: Request) -> None:
        body = request.rfile.read(int(request.headers["Content-Length"]))
        known = request.path == "/v1/traces" and request.headers["Content-Type"] == "application/x-protobuf"
        if known:
            traces.take(body)
        request.send(200 if known else 400, ExportTraceServiceResponse().SerializeToString())

    with serving(answer) as server:
        traces.url = server.base
        yield traces
