"""Traces: a patch's way from dispatch to index, for whoever collects OTLP.

Unless OTEL_TRACES_EXPORTER=otlp, all of this does nothing. A run of a region is a trace, and its tasks are
spans of it.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from importlib.util import find_spec
from typing import TYPE_CHECKING

from landpatch.errors import ConfigurationError
from landpatch.messages import TaskMessage
from landpatch.settings import Settings

if TYPE_CHECKING:
    from landpatch.telemetry import Tracing

PARENT = "traceparent"
"""The header of a message that names the span that has sent it (W3C Trace Context)."""
_NOTHING = nullcontext()
_tracing: "Tracing | None" = None


def check_tracing(settings: Settings) -> None:
    """Raise ConfigurationError when traces are asked for and cannot be made."""
    if settings.traces_exporter == "otlp" and find_spec("opentelemetry") is None:
        raise ConfigurationError(
            "OTEL_TRACES_EXPORTER=otlp needs OpenTelemetry: pip install 'landpatch[traces]', or unset it"
        )


def start_tracing(settings: Settings, service: str) -> None:
    """Tell spans from now on, if the settings ask for it; to be called in the process that makes them, since
    the thread that sends them does not survive a fork."""
    global _tracing  # noqa: PLW0603  # one a process, as OpenTelemetry has it
    if settings.traces_exporter == "otlp" and _tracing is None:
        from landpatch.telemetry import Tracing  # noqa: PLC0415  # an extra, and it takes a while

        _tracing = Tracing(service, settings.traces_endpoint)


def stop_tracing() -> None:
    """Send what has not been sent yet."""
    if _tracing is not None:
        _tracing.stop()


def span(name: str, **facts: str) -> AbstractContextManager[object]:
    """A span below the one under way, as long as the context lasts."""
    return _NOTHING if _tracing is None else _tracing.span(name, facts)


def trace_task(
    message: TaskMessage, name: str, parent: str | None, first: bool
) -> AbstractContextManager[object]:
    """The span of a task. parent: the header of its message. first: nobody has begun it before."""
    return _NOTHING if _tracing is None else _tracing.task(message, name, parent, first)


def fail_span(reason: str) -> None:
    """The span under way is of something that has failed, although no error leaves it."""
    if _tracing is not None:
        _tracing.fail(reason)


def name_parent() -> Mapping[str, str]:
    """Headers that name the span under way to who takes a message."""
    return {} if _tracing is None else _tracing.headers()
