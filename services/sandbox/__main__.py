"""Command line: `python -m services.sandbox serve|gate|prepare|ask`."""

import argparse
import sys
from pathlib import Path
from typing import get_args

import uvicorn

from landpatch.errors import LandpatchError, RequestError
from landpatch.quota import read_byte_quota, read_unit_quota
from landpatch.settings import load_settings
from services.sandbox.app import Quotas, make_app
from services.sandbox.client import ask
from services.sandbox.download import Parts
from services.sandbox.gate import make_gate
from services.sandbox.identity import TOKEN_S, open_identity
from services.sandbox.prepare import prepare


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m services.sandbox", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    serving = commands.add_parser("serve", help="answer as the public services do")
    serving.add_argument("--port", type=int, required=True)
    serving.add_argument(
        "--parts",
        choices=get_args(Parts),
        default="ignored",
        help="what becomes of requests for parts of a download",
    )
    serving.add_argument("--token-seconds", type=float, default=TOKEN_S, help="how long a token is valid")
    guarding = commands.add_parser("gate", help="guard the EO data store as the account's quota asks")
    guarding.add_argument("--port", type=int, required=True)
    guarding.add_argument("--upstream", required=True, help="URL of the S3 server behind")
    making = commands.add_parser("prepare", help="make the products of a region and a year")
    making.add_argument("region", help="NUTS 3 code, such as FR101")
    making.add_argument("--year", type=int, default=2021)
    for command in (serving, making):
        command.add_argument("--root", type=Path, required=True, help="where products and catalogue lie")
    for command in (serving, guarding):
        command.add_argument("--address", default="127.0.0.1", help="where to listen")
    asking = commands.add_parser("ask", help="have a sandbox that serves elsewhere make regions' products")
    asking.add_argument("regions", nargs="+", help="NUTS 3 codes, such as FR101")
    asking.add_argument("--year", type=int, default=2021)
    asking.add_argument("--url", required=True, help="of that sandbox")
    return parser.parse_args(arguments)


def _ask(url: str, regions: list[str], year: int) -> int:
    try:
        for region in regions:
            for at in ask(url, region.strip().upper(), year):
                print(f"{region}: product {at.done}/{at.total}", flush=True)
    except LandpatchError as error:
        print(error, file=sys.stderr)
        return 2 if isinstance(error, RequestError) else 1
    return 0


def main(arguments: list[str]) -> int:
    """Run a command; its exit code."""
    options = _parse(arguments)
    if options.command == "gate":
        gate = make_gate(options.upstream, read_byte_quota(load_settings(None)))
        uvicorn.run(gate, host=options.address, port=options.port, log_level="warning", access_log=False)
        return 0
    if options.command == "ask":
        return _ask(options.url, options.regions, options.year)
    root = options.root.resolve()
    if options.command == "serve":
        root.mkdir(parents=True, exist_ok=True)
        settings = load_settings(None)
        identity = open_identity(settings, options.token_seconds)
        quotas = Quotas(read_byte_quota(settings), read_unit_quota(settings))
        app = make_app(root, identity, quotas, options.parts)
        uvicorn.run(app, host=options.address, port=options.port, log_level="warning")
        return 0
    try:
        total = prepare(options.region, options.year, root, lambda line: print(line, flush=True))
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{options.region} {options.year}: {total} products", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
