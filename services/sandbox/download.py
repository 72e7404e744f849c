"""Whole products as ZIP, within the quota of the account: `Products({id})/$value`.

The real service is not known to give parts of an archive, so this one gives none unless it is told to.
"""

import asyncio
import re
import time
import zipfile
from collections.abc import AsyncIterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from services.sandbox.catalogue import find_product
from services.sandbox.gate import PIECE_BYTES, Gate, PacedResponse
from services.sandbox.identity import Identity
from services.sandbox.options import Parts

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


@dataclass(frozen=True, slots=True)
class Download:
    """The service."""

    root: Path
    identity: Identity
    gate: Gate
    parts: Parts

    async def send(self, request: Request) -> Response:
        """Answer a request."""
        if not self.identity.knows(request.headers.get("authorization")):
            return JSONResponse({"detail": "Unauthorized"}, 401)
        asked = request.headers.get("range", "")
        if asked and self.parts == "refused":
            return JSONResponse({"detail": "Range is not supported"}, 416)
        product = find_product(self.root, request.path_params["id"])
        if product is None or not product["Online"]:
            return JSONResponse({"detail": "Product not found"}, 404)
        archive = await asyncio.to_thread(_pack, self.root, product["Name"], product["S3Path"])
        wait_s = self.gate.enter()
        if wait_s is not None:
            return JSONResponse({"detail": "Too many requests"}, 429, {"Retry-After": str(wait_s)})
        return self._stream(archive, product["Name"], asked if self.parts == "given" else "")

    def _stream(self, archive: Path, name: str, asked: str) -> Response:
        with ExitStack() as inside:
            inside.callback(self.gate.leave)
            file = inside.enter_context(archive.open("rb"))
            size = archive.stat().st_size
            span = _read_range(asked, size)
            begin, end = span or (0, size)
            headers = {
                "Content-Type": "application/octet-stream",
                "Content-Length": str(end - begin),
                "Content-Disposition": f'attachment; filename="{name.removesuffix(".SAFE")}.zip"',
            }
            if span:
                headers |= {"Content-Range": f"bytes {begin}-{end - 1}/{size}", "ETag": f'"{archive.stem}"'}
            pieces = _read(file, begin, end)
            return PacedResponse(self.gate, inside.pop_all(), pieces, 206 if span else 200, headers)


def _read_range(asked: str, size: int) -> tuple[int, int] | None:
    """Begin and end of the bytes asked for; None for all of them."""
    found = _RANGE.fullmatch(asked)
    if found is None or not (found[1] or found[2]):
        return None
    if not found[1]:
        return max(0, size - int(found[2])), size
    begin, end = int(found[1]), min(int(found[2] or size), size - 1) + 1
    return (begin, end) if begin < end else None


async def _read(file: BinaryIO, begin: int, end: int) -> AsyncIterator[bytes]:
    """Bytes of a file, in pieces."""
    file.seek(begin)
    while piece := file.read(min(PIECE_BYTES, end - file.tell())):
        yield piece


def _pack(root: Path, name: str, s3_path: str) -> Path:
    """The archive of a product as it is now, made when it is first asked for; its bands are not packed once
    more."""
    folder = root / s3_path.strip("/")
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    # A product can be made again with more pixels: all its files are new then.
    made = max(path.stat().st_mtime_ns for path in files)
    archive = root / "zip" / f"{name}.{made}.zip"
    if not archive.exists():
        archive.parent.mkdir(exist_ok=True)
        part = archive.with_name(f".{archive.name}.{time.monotonic_ns()}")
        with zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as packed:
            packed.mkdir(name)
            for path in files:
                packed.write(path, f"{name}/{path.relative_to(folder)}")
        part.replace(archive)
    return archive
