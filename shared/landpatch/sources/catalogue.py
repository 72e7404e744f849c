"""Which catalogue knows the scenes: the settings say so, and nothing behind this module asks."""

from dataclasses import dataclass
from datetime import date
from typing import Protocol

import requests
from shapely.geometry.base import BaseGeometry

from landpatch.settings import Settings
from landpatch.sources.odata import Findings, check_catalogue, find_scenes
from landpatch.sources.sentinelhub import open_sentinel_hub
from landpatch.sources.stac import SentinelHubCatalogue


class Catalogue(Protocol):
    """Knows the Sentinel-2 L2A products that can be had."""

    def check(self) -> None:
        """Raise TransientError or ConfigurationError when it does not answer as a catalogue."""

    def find(self, area: BaseGeometry, start: date, end: date, max_cloud: float) -> Findings:
        """All products that touch an area.

        area: EPSG:4326, lon lat. start, end: first and last day, UTC. max_cloud: percent. Raises
        TransientError, PermanentError.
        """


@dataclass(frozen=True, slots=True)
class ODataCatalogue:
    """The public catalogue of the Copernicus Data Space Ecosystem."""

    url: str
    session: requests.Session

    def check(self) -> None:
        """As of `Catalogue`."""
        check_catalogue(self.url, self.session)

    def find(self, area: BaseGeometry, start: date, end: date, max_cloud: float) -> Findings:
        """As of `Catalogue`."""
        return find_scenes(self.url, self.session, area, start, end, max_cloud)


def open_catalogue(settings: Settings, session: requests.Session) -> Catalogue:
    """The catalogue of the image source. Raises ConfigurationError when credentials are missing that it asks
    for."""
    if settings.image_source == "sentinelhub":
        return SentinelHubCatalogue(open_sentinel_hub(settings))
    return ODataCatalogue(settings.odata_url, session)
