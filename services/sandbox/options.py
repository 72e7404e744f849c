"""What can be asked of the sandbox on its command line."""

import argparse
from pathlib import Path
from typing import Literal, get_args

from services.sandbox.identity import TOKEN_S

Parts = Literal["ignored", "refused", "given"]
"""What becomes of a request for a part: the whole archive, an error, the part."""


def parse_options(arguments: list[str]) -> argparse.Namespace:
    """A command and its options; ends the process where they are wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m services.sandbox", description="Stand in for the public services."
    )
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
