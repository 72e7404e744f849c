"""exportImage window -> classes -> one .npy a patch -> store -> ledger."""

import requests
import structlog

from landpatch.codec import encode_label
from landpatch.completion import finish, is_wanted
from landpatch.errors import PermanentError
from landpatch.grid import PATCH_SIZE_PX, PIXEL_SIZE_M, parse_patch
from landpatch.layout import RegionLayout
from landpatch.ledger import Ledger, Outcome, Work
from landpatch.messages import FetchLabels
from landpatch.settings import Settings
from landpatch.sources.clcplus import fetch_codes, to_classes
from landpatch.storage import Store

log = structlog.get_logger()


class LabelWorker:
    """Fetches labels. Holds no state of its own: everything is in the ledger and in the store."""

    def __init__(self, settings: Settings, store: Store, ledger: Ledger, session: requests.Session) -> None:
        """store: the destination. session: for the label service."""
        self.settings = settings
        self.store = store
        self.ledger = ledger
        self.session = session

    def fetch(self, message: FetchLabels) -> None:
        """Fetch one window over all patches of the block; write each patch's part of it."""
        if not is_wanted(self.ledger, message, "labels"):
            return
        patches = [parse_patch(name) for name in message.patches]
        west = min(patch.xmin for patch in patches)
        north = max(patch.bounds[3] for patch in patches)
        east = max(patch.bounds[2] for patch in patches)
        south = min(patch.ymin for patch in patches)
        codes = fetch_codes(
            self.settings.clcplus_url, self.session, message.label_year, (west, south, east, north)
        )
        layout = RegionLayout(self.settings.prefix, message.nuts, message.year)
        for patch in patches:
            col = (patch.xmin - west) // PIXEL_SIZE_M
            row = (north - patch.bounds[3]) // PIXEL_SIZE_M
            part = codes[row : row + PATCH_SIZE_PX, col : col + PATCH_SIZE_PX]
            what = f"CLC+ {message.label_year}, window {','.join(map(str, patch.bounds))}"
            try:
                self.store.put(layout.label(patch.name), encode_label(to_classes(part, what)))
                outcome = Outcome("complete")
            except PermanentError as error:
                outcome = Outcome("failed", str(error))
            self.ledger.record(message.region, "labels", {patch.name: outcome})
        self._finish(message, Work(requests=1))

    def give_up(self, message: FetchLabels, reason: str) -> None:
        """Record why these labels cannot be had; the region goes on without them."""
        self.ledger.record(
            message.region, "labels", {name: Outcome("failed", reason) for name in message.patches}
        )
        self._finish(message, Work(failure=reason))

    def _finish(self, message: FetchLabels, work: Work) -> None:
        finish(self.ledger, message, "labels", work)
        log.info("labels task done", region=message.region, block=message.block, patches=len(message.patches))
