"""Where a service tells Prometheus what it has counted: HTTP, on the address in LANDPATCH_METRICS_LISTEN."""

from threading import Thread
from wsgiref.simple_server import WSGIServer

import structlog
from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from landpatch import __version__
from landpatch.counters import TALLY
from landpatch.settings import Settings

log = structlog.get_logger()
_server: WSGIServer | None = None


class _Build(Collector):
    """Which version runs."""

    def collect(self) -> list[Metric]:
        family = GaugeMetricFamily("landpatch_build_info", "The version that runs.", labels=["version"])
        family.add_metric([__version__], 1)
        return [family]


def start_serving(address: str, port: int, *more: Collector) -> tuple[WSGIServer, Thread]:
    """Serve, from a thread, what this process and its children have counted, and what else is given."""
    registry = CollectorRegistry()
    for collector in (_Build(), TALLY, *more):
        registry.register(collector)
    return start_http_server(port, address, registry)


def serve_metrics(settings: Settings) -> None:
    """Begin to serve, if the settings say where. A service does its work also where it cannot be scraped."""
    global _server  # one a process
    if settings.metrics_listen is None:
        return
    host, _, port = settings.metrics_listen.rpartition(":")
    try:
        _server, _ = start_serving(host.strip("[]"), int(port))
    except OSError as error:
        log.warning("metrics are not served", listen=settings.metrics_listen, reason=str(error))


def stop_serving() -> None:
    """In a child of the process that serves: let go of its socket, which the child has inherited."""
    global _server  # noqa: PLW0603
    if _server is not None:
        _server.socket.close()
        _server = None
