"""Labels: CLC+ Backbone from an ArcGIS ImageServer.

Source: CLCplus Backbone Product User Manual; ArcGIS REST API, "Export Image".
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import requests
from numpy.typing import NDArray

from landpatch.blocks import bound_block
from landpatch.codec import decode_class_raster
from landpatch.errors import (
    AbsentError,
    ConfigurationError,
    OverloadedError,
    PermanentError,
    RequestError,
    TooLargeError,
)
from landpatch.legend import NO_LABEL_CODES
from landpatch.patch import PATCH_SIZE_PX, PIXEL_SIZE_M, Patch
from landpatch.sources.http import fetch
from landpatch.sources.labels import CLCPLUS, WindowLimits

EDITIONS = (2018, 2021)
"""Years that CLC+ Backbone is served for."""
MAX_SIDE = 15_000
"""Pixels along a side of a window, at most."""
_WHAT = "the label service (LANDPATCH_CLCPLUS_URL)"


def fetch_codes(
    url: str, session: requests.Session, year: int, bounds: tuple[int, int, int, int]
) -> NDArray[np.uint8]:
    """The codes of a window on the 10 m lattice, as the service has them.

    url: exportImage with `{year}` in it. bounds: xmin ymin xmax ymax, metres, EPSG:3035, multiples of
    10. Returns (y, x) uint8, row 0 in the north. Raises TooLargeError for a window larger than the
    service gives, OverloadedError when the service says that it is at fault, TransientError when it does
    not answer, PermanentError that names the window for anything else that is no such raster.
    """
    xmin, ymin, xmax, ymax = bounds
    width, height = (xmax - xmin) // PIXEL_SIZE_M, (ymax - ymin) // PIXEL_SIZE_M
    params = {
        "f": "image",
        "bbox": f"{xmin},{ymin},{xmax},{ymax}",
        "bboxSR": "3035",
        "imageSR": "3035",
        "size": f"{width},{height}",
        "format": "tiff",
        "pixelType": "U8",
        "interpolation": "RSP_NearestNeighbor",
        "adjustAspectRatio": "false",
    }
    what = f"CLC+ {year}, window {xmin},{ymin},{xmax},{ymax}"
    body = fetch(session, url.replace("{year}", str(year)), params, _WHAT, 4 * width * height + 1_000_000)
    _raise_error(body, what)
    return decode_class_raster(body, width, height, what)


def _raise_error(body: bytes, what: str) -> None:
    """Raise what the JSON of an error says, which comes with status 200 and as an image."""
    if not body.startswith(b"{") or len(body) > 10_000:
        return
    try:
        error = json.loads(body)["error"]
        code = int(error["code"])
        details = " ".join(map(str, error.get("details", [])))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError):
        return
    if code >= 500:
        raise OverloadedError(f"{what}: the label service failed: {body[:200]!r}")
    if "exceeds the size limit" in details:
        raise TooLargeError(f"{what}: larger than the label service gives")


def to_classes(codes: NDArray[np.uint8], what: str) -> NDArray[np.uint8]:
    """Codes of the service -> classes; raises PermanentError with `what` for a code that is unknown."""
    classes = np.where(np.isin(codes, NO_LABEL_CODES), 0, codes).astype("uint8")
    unknown = np.unique(classes[classes > 11])
    if unknown.size:
        raise PermanentError(f"{what}: unknown codes {', '.join(map(str, unknown))}")
    return classes


USUAL_LIMITS = WindowLimits(15_000, 4_100)
"""What an ImageServer has by default, for one that does not tell."""


def read_limits(url: str, session: requests.Session, year: int) -> WindowLimits:
    """Ask how large a window may be; errors as of `check_edition`."""
    service = _describe(url, session, year)
    sides = [
        value if isinstance(value := service.get(name), int) and value >= PATCH_SIZE_PX else usual
        for name, usual in (("maxImageWidth", USUAL_LIMITS.width), ("maxImageHeight", USUAL_LIMITS.height))
    ]
    # However much a service allows, a worker has to hold it.
    return WindowLimits(*(min(side, MAX_SIDE) for side in sides))


def check_edition(url: str, session: requests.Session, year: int) -> None:
    """Raise RequestError when the service has no such edition; ConfigurationError when it is no such
    service, TransientError when it does not answer."""
    _describe(url, session, year)


def _describe(url: str, session: requests.Session, year: int) -> dict[str, Any]:
    service = url.replace("{year}", str(year)).removesuffix("/exportImage")
    known = " and ".join(map(str, EDITIONS))
    try:
        answer = fetch(session, service, {"f": "json"}, _WHAT, 1_000_000)
    except AbsentError as error:
        raise RequestError(f"no CLC+ Backbone of {year}: LABEL_YEAR may be {known}") from error
    except PermanentError as error:
        raise ConfigurationError(str(error)) from error
    try:
        document = json.loads(answer)
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"{_WHAT} did not send JSON") from error
    if not isinstance(document, dict):
        raise ConfigurationError(f"{_WHAT} did not send what an ImageServer does")
    if "error" in document:
        raise RequestError(f"no CLC+ Backbone of {year}: LABEL_YEAR may be {known}")
    return document


@dataclass(frozen=True, slots=True)
class _Window:
    """A window of codes."""

    edition: int
    bounds: tuple[int, int, int, int]
    """xmin ymin xmax ymax, metres, EPSG:3035."""
    codes: NDArray[np.uint8]
    """(y, x), row 0 in the north."""
    requests: int = 1

    def cut(self, patch: Patch) -> NDArray[np.uint8]:
        """As of `LabelWindow`."""
        west, _, _, north = self.bounds
        col = (patch.xmin - west) // PIXEL_SIZE_M
        row = (north - patch.bounds[3]) // PIXEL_SIZE_M
        part = self.codes[row : row + PATCH_SIZE_PX, col : col + PATCH_SIZE_PX]
        return to_classes(part, f"CLC+ {self.edition}, window {','.join(map(str, patch.bounds))}")


@dataclass(frozen=True, slots=True)
class ClcPlus:
    """CLC+ Backbone: a source of labels."""

    url: str
    """exportImage with `{year}` in it."""
    session: requests.Session
    recipe: str = CLCPLUS
    names: Mapping[int, str] = field(default_factory=dict)
    editions: tuple[int, ...] = EDITIONS
    usual_limits: WindowLimits = USUAL_LIMITS

    def check(self, edition: int) -> None:
        """As of `LabelSource`."""
        check_edition(self.url, self.session, edition)

    def limits(self, edition: int) -> WindowLimits:
        """As of `LabelSource`."""
        return read_limits(self.url, self.session, edition)

    def fetch(self, edition: int, patches: Sequence[Patch]) -> _Window:
        """As of `LabelSource`."""
        bounds = bound_block(patches)
        return _Window(edition, bounds, fetch_codes(self.url, self.session, edition, bounds))
