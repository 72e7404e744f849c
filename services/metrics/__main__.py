"""Command line: `python -m services.metrics --port 9464`."""

import argparse
import signal

from landpatch.connection import open_redis
from landpatch.exporter import start_serving
from landpatch.ledger import Ledger
from landpatch.log import configure_logging
from landpatch.quota import open_governor
from landpatch.settings import load_settings
from services.metrics.collector import LandpatchCollector


def main() -> None:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser(prog="python -m services.metrics", description=__doc__)
    parser.add_argument("--address", default="127.0.0.1", help="where to listen (default: this machine only)")
    parser.add_argument("--port", type=int, default=9464)
    options = parser.parse_args()
    configure_logging()
    settings = load_settings()
    client = open_redis(settings)
    collector = LandpatchCollector(client, Ledger(client), open_governor(settings))
    server, thread = start_serving(options.address, options.port, collector)
    for told in (signal.SIGTERM, signal.SIGINT):
        signal.signal(told, lambda *_: server.shutdown())
    thread.join()


if __name__ == "__main__":
    main()
