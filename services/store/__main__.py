"""Command line: `python -m services.store --root /data --address 0.0.0.0 --port 9000`."""

import argparse
import os
import sys
from pathlib import Path

from pydantic import SecretStr

from landpatch.errors import ConfigurationError
from landpatch.settings import Settings, load_settings
from services.store.command import make_command, sweep

EODATA = "eodata"
"""Bucket of the EO data store."""


def choose_pair(settings: Settings, eodata: bool) -> str:
    """Key and secret as rclone takes them. Raises ConfigurationError: without, it would be open to all."""
    names = ("EO_S3_ACCESS_KEY_ID", "EO_S3_SECRET_ACCESS_KEY")
    pair: tuple[SecretStr | None, ...] = (settings.eo_access_key, settings.eo_secret_key)
    if not eodata:
        names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
        pair = (settings.store_access_key, settings.store_secret_key)
    given = [each.get_secret_value() for each in pair if each is not None]
    if len(given) < 2 or any(mark in "".join(given) for mark in ',"'):
        raise ConfigurationError(f"set {names[0]} and {names[1]}, without commas and quotes in them")
    # Without the quotes rclone would take key and secret for two pairs.
    return '"{},{}"'.format(*given)


def main() -> None:
    """Become the S3 server."""
    parser = argparse.ArgumentParser(prog="python -m services.store", description=__doc__)
    parser.add_argument("--root", type=Path, required=True, help="the folder; a bucket is a folder in it")
    parser.add_argument("--address", default="127.0.0.1", help="where to listen (default: this machine only)")
    parser.add_argument("--port", type=int, default=9000)
    parser.add_argument("--eodata", action="store_true", help="serve as the EO data store of the sandbox")
    options = parser.parse_args()
    settings = load_settings()
    try:
        pair = choose_pair(settings, options.eodata)
    except ConfigurationError as error:
        print(f"store: {error}", file=sys.stderr)
        sys.exit(2)
    (options.root / (EODATA if options.eodata else settings.bucket)).mkdir(parents=True, exist_ok=True)
    if not options.eodata and (swept := sweep(options.root)):
        print(f"store: {swept} uploads that had been cut off removed", file=sys.stderr, flush=True)
    # The sandbox writes products beside its server; nobody but the server writes to a store.
    command = make_command(options.root, options.address, options.port, 0 if options.eodata else 1)
    environment = {"RCLONE_AUTH_KEY": pair, "RCLONE_CONFIG": os.devnull}
    os.execve(command[0], command, dict(os.environ) | environment)  # noqa: S606


if __name__ == "__main__":
    main()
