"""Which service the images come from: the settings say so, and nothing behind this module asks."""

from landpatch.settings import Settings
from landpatch.sources.eodata import open_eodata
from landpatch.sources.odata_zip import open_odata_zip
from landpatch.sources.product_files import ProductSource
from landpatch.sources.sentinelhub import open_sentinel_hub


def open_product_source(settings: Settings) -> ProductSource:
    """Where the files of products come from. Raises ConfigurationError when credentials are missing."""
    return open_odata_zip(settings) if settings.image_source == "odata-zip" else open_eodata(settings)


def check_image_source(settings: Settings) -> None:
    """Raise ConfigurationError when credentials are missing or refused, TransientError when the service does
    not answer."""
    if settings.image_source == "sentinelhub":
        open_sentinel_hub(settings).check()
    else:
        open_product_source(settings).check()
