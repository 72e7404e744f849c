"""The labels of LU000: requests, and what a label costs beyond what the service itself takes."""

import os
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any

import uvicorn
from starlette.applications import Starlette

from benchmarks.stage import open_stage
from landpatch.blocks import bound_block, lay_blocks
from landpatch.grid import lay_grid
from landpatch.ledger import open_ledger
from landpatch.messages import FetchLabels, RegionRequest
from landpatch.quota import read_byte_quota, read_unit_quota
from landpatch.settings import load_settings
from landpatch.sources.clcplus import fetch_codes, read_limits
from landpatch.sources.http import make_session
from landpatch.sources.label_source import open_label_source
from landpatch.storage import open_store
from services.label_worker.pipeline import LabelWorker
from services.sandbox.app import Quotas, make_app
from services.sandbox.identity import open_identity
from services.sandbox.landscape import load_regions

NUTS, YEAR = "LU000", 2021


def labels() -> dict[str, Any]:
    """481 labels by one label worker, against asking for the same windows and throwing them away."""
    with open_stage() as stage, TemporaryDirectory() as folder:
        server = uvicorn.Server(
            uvicorn.Config(_make_sandbox(Path(folder)), host="127.0.0.1", port=0, log_level="warning")
        )
        url = _start(server)
        os.environ.update(stage.environment | {"LANDPATCH_CLCPLUS_URL": url})
        settings, session = load_settings(None), make_session()
        patches = lay_grid(load_regions()[NUTS])  # type: ignore[arg-type]
        limits = read_limits(url, session, YEAR)
        blocks = lay_blocks(patches, limits.width, limits.height)
        for block in blocks:  # so that neither way is the first
            fetch_codes(url, session, YEAR, bound_block(block))
        begin = time.monotonic()
        for block in blocks:
            fetch_codes(url, session, YEAR, bound_block(block))
        floor_s = time.monotonic() - begin
        ledger = open_ledger(settings)
        worker = LabelWorker(settings, open_store(settings), ledger, open_label_source(settings, session))
        request = RegionRequest(nuts=NUTS, year=YEAR, start="2021-05-01", end="2021-09-30")  # type: ignore[arg-type]
        run, _ = ledger.start(request)
        messages = [
            FetchLabels(
                run=run, nuts=NUTS, year=YEAR, round=1, label_year=YEAR, block=number,
                patches=tuple(patch.name for patch in block),
            )
            for number, block in enumerate(blocks)
        ]  # fmt: skip
        # One more, so that nothing is over, and nobody told, when these are done.
        last = messages[0].model_copy(update={"block": len(messages)})
        ledger.add_labels(request.key, run, [*messages, last])
        begin = time.monotonic()
        for message in messages:
            worker.fetch(message)
        took_s = time.monotonic() - begin
        done = ledger.outcomes(request.key, "labels")
        requests = sum(work.requests for work in ledger.work(request.key).values())
        server.should_exit = True
    return {
        "labels": sum(outcome.state == "complete" for outcome in done.values()),
        "requests": requests,
        "wall_s": took_s,
        "floor_wall_s": floor_s,
        "ms_a_label_beyond_the_service": 1000 * (took_s - floor_s) / len(patches),
    }


def _make_sandbox(root: Path) -> Starlette:
    settings = load_settings(None)
    return make_app(
        root, open_identity(settings), Quotas(read_byte_quota(settings), read_unit_quota(settings))
    )


def _start(server: uvicorn.Server) -> str:
    """Run the sandbox's label service in a thread; its address."""
    Thread(target=server.run, daemon=True).start()
    while not server.started:
        time.sleep(0.05)
    port = server.servers[0].sockets[0].getsockname()[1]
    service = "CLC_plus/CLMS_CLCplus_RASTER_{year}_010m_eu/ImageServer/exportImage"
    return f"http://127.0.0.1:{port}/arcgis/rest/services/{service}"
