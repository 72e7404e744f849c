"""Command line: `python -m services.sandbox serve|gate|prepare|ask`."""

import sys
from pathlib import Path

import uvicorn

from landpatch.errors import LandpatchError, RequestError
from landpatch.quota import read_byte_quota, read_unit_quota
from landpatch.settings import load_settings
from services.sandbox.options import Parts, parse_options

# Each command loads what it needs: the gate, of which there is one process in every stack, needs no rasters.


def _serve(root: Path, address: str, port: int, parts: Parts, token_s: float) -> int:
    from services.sandbox.app import Quotas, make_app  # noqa: PLC0415
    from services.sandbox.identity import open_identity  # noqa: PLC0415

    root.mkdir(parents=True, exist_ok=True)
    settings = load_settings(None)
    quotas = Quotas(read_byte_quota(settings), read_unit_quota(settings))
    app = make_app(root, open_identity(settings, token_s), quotas, parts)
    uvicorn.run(app, host=address, port=port, log_level="warning")
    return 0


def _guard(upstream: str, address: str, port: int) -> int:
    from services.sandbox.gate import make_gate  # noqa: PLC0415

    gate = make_gate(upstream, read_byte_quota(load_settings(None)))
    uvicorn.run(gate, host=address, port=port, log_level="warning", access_log=False)
    return 0


def _ask(url: str, regions: list[str], year: int) -> int:
    from services.sandbox.client import ask  # noqa: PLC0415

    try:
        for region in regions:
            for at in ask(url, region.strip().upper(), year):
                print(f"{region}: product {at.done}/{at.total}", flush=True)
    except LandpatchError as error:
        print(error, file=sys.stderr)
        return 2 if isinstance(error, RequestError) else 1
    return 0


def _prepare(region: str, year: int, root: Path) -> int:
    from services.sandbox.prepare import prepare  # noqa: PLC0415

    try:
        total = prepare(region, year, root, lambda line: print(line, flush=True))
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{region} {year}: {total} products", flush=True)
    return 0


def main(arguments: list[str]) -> int:
    """Run a command; its exit code."""
    options = parse_options(arguments)
    match options.command:
        case "serve":
            root = options.root.resolve()
            return _serve(root, options.address, options.port, options.parts, options.token_seconds)
        case "gate":
            return _guard(options.upstream, options.address, options.port)
        case "ask":
            return _ask(options.url, options.regions, options.year)
        case _:
            return _prepare(options.region, options.year, options.root.resolve())


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
