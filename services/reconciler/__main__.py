"""Command line: `python -m services.reconciler`."""

import signal
import time
from threading import Event

import structlog

from landpatch.celery import make_app
from landpatch.connection import open_redis
from landpatch.errors import InfrastructureError
from landpatch.exporter import serve_metrics
from landpatch.heartbeat import Heartbeat, note_heartbeat
from landpatch.ledger import Ledger
from landpatch.log import configure_logging
from landpatch.settings import load_settings
from services.reconciler.pipeline import Reconciler


def main() -> None:
    """Look every few seconds until told to stop."""
    configure_logging()
    settings = load_settings()
    serve_metrics(settings)
    client = open_redis(settings)
    app = make_app("services.reconciler", settings)
    reconciler = Reconciler(client, Ledger(client), app, settings.lease_s)
    told = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: told.set())
    while not told.wait(settings.reconcile_s):
        try:
            reconciler.look()
        except InfrastructureError as error:
            structlog.get_logger().warning("cannot look", reason=str(error))
        if settings.heartbeat_file:
            now = time.monotonic()
            note_heartbeat(settings.heartbeat_file, Heartbeat(now, now, in_hand=0, hands=0, queues=()))


if __name__ == "__main__":
    main()
