"""How GDAL is allowed to work: on bytes in memory, without credentials, without looking around.

Source: GDAL documentation, "Security considerations" and "Configuration options".
"""

import warnings

import rasterio
from rasterio.errors import NotGeoreferencedWarning
from rasterio.session import DummySession

# A JP2 tile by itself and an ImageServer's answer have no georeference; what is stored is checked for one.
warnings.simplefilter("ignore", NotGeoreferencedWarning)

MAX_BLOCK_PIXELS = 2**24
"""Of a block of a file, which GDAL holds whole however small the image is."""


def gdal_env() -> rasterio.Env:
    """The environment for every raster that is opened; use it with `with`.

    Without it rasterio would take the destination store's credentials out of the environment, and
    GDAL would look for files beside the one opened.
    """
    return rasterio.Env(
        session=DummySession(),
        GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR",
        GTIFF_IGNORE_READ_ERRORS="NO",
        GDAL_PAM_ENABLED="NO",
        # No address is followed: none ends like this.
        CPL_VSIL_CURL_ALLOWED_EXTENSIONS=".none",
        # With more threads the JPEG 2000 driver loses the error of a tile that cannot be decoded and
        # leaves zeros in its place.
        GDAL_NUM_THREADS="1",
        CPL_DEBUG="OFF",
    )
