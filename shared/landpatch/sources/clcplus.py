"""Labels: CLC+ Backbone from an ArcGIS ImageServer.

Source: CLCplus Backbone Product User Manual; ArcGIS REST API, "Export Image".
"""

import json

import numpy as np
import requests
from numpy.typing import NDArray

from landpatch.codec import decode_class_raster
from landpatch.errors import PermanentError, RequestError
from landpatch.grid import PIXEL_SIZE_M
from landpatch.sources.http import fetch

EDITIONS = (2018, 2021)
"""Years that CLC+ Backbone is served for."""
NO_LABEL_CODES = (253, 254, 255)
"""Coastal sea buffer, outside the area, no data: all become 0."""
_WHAT = "the label service (LANDPATCH_CLCPLUS_URL)"


def fetch_classes(
    url: str, session: requests.Session, year: int, bounds: tuple[int, int, int, int]
) -> NDArray[np.uint8]:
    """The classes of a window on the 10 m lattice.

    url: exportImage with `{year}` in it. bounds: xmin ymin xmax ymax, metres, EPSG:3035, multiples of
    10. Returns (y, x) uint8, row 0 in the north, 0 = no label, 1 to 11 as in CLC+ Backbone. Raises
    PermanentError that names the window.
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
    return to_classes(decode_class_raster(body, width, height, what), what)


def to_classes(codes: NDArray[np.uint8], what: str) -> NDArray[np.uint8]:
    """Codes of the service -> classes; raises PermanentError with `what` for a code that is unknown."""
    classes = np.where(np.isin(codes, NO_LABEL_CODES), 0, codes).astype("uint8")
    unknown = np.unique(classes[classes > 11])
    if unknown.size:
        raise PermanentError(f"{what}: unknown codes {', '.join(map(str, unknown))}")
    return classes


def check_edition(url: str, session: requests.Session, year: int) -> None:
    """Raise RequestError when the service has no such edition."""
    service = url.replace("{year}", str(year)).removesuffix("/exportImage")
    try:
        answer = json.loads(fetch(session, service, {"f": "json"}, _WHAT, 1_000_000))
        served = isinstance(answer, dict) and "error" not in answer
    except (PermanentError, ValueError):
        served = False
    if not served:
        known = " and ".join(map(str, EDITIONS))
        raise RequestError(f"no CLC+ Backbone of {year}: LABEL_YEAR may be {known}")
