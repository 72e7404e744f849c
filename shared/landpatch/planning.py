"""Ask what regions would take: boundary, store and catalogue are read, nothing is written or queued."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import requests

from landpatch.blocks import lay_blocks
from landpatch.coverage import Scene, drop_reprocessed, measure_coverage
from landpatch.errors import InfrastructureError, PermanentError, RequestError, TransientError
from landpatch.forecast import (
    Forecast,
    Price,
    forecast_images,
    price_parts,
    price_rendered,
    price_whole,
)
from landpatch.grid import lay_grid
from landpatch.inventory import take_inventory
from landpatch.layout import NUTS3_PATTERN, RegionLayout
from landpatch.messages import RegionRequest
from landpatch.patch import Patch
from landpatch.settings import ImageSource, Settings
from landpatch.sources.catalogue import open_catalogue
from landpatch.sources.gisco import Boundaries, fetch_boundaries, pick_region
from landpatch.sources.http import make_session
from landpatch.sources.label_source import open_label_source
from landpatch.sources.odata import search_area
from landpatch.storage import Store

_PRICES: Mapping[ImageSource, Price] = {
    "eodata": price_parts,
    # Whether the download gives parts of a product is only known when it is asked.
    "odata-zip": price_whole,
    "sentinelhub": price_rendered,
}


@dataclass(frozen=True, slots=True)
class _Region:
    request: RegionRequest
    every: list[Patch]
    """All cells that share area with the region: what the first round is planned for."""
    images: frozenset[str]
    """Names of the patches whose image is to be made."""
    labels: tuple[Patch, ...]
    """Patches whose label is to be fetched."""
    patches: int


class Planner:
    """Forecasts regions from what the services and the store say now."""

    def __init__(self, settings: Settings, store: Store, session: requests.Session | None = None) -> None:
        """store: the destination, which is only read. Raises ConfigurationError for a wrong class table, or
        a catalogue that asks for credentials without them."""
        self.settings = settings
        self.store = store
        self.session = session or make_session()
        self._catalogue = open_catalogue(settings, self.session)
        self._labels = open_label_source(settings, self.session)
        self._boundaries: Boundaries | None = None

    def regions(self) -> list[str]:
        """Every NUTS3 region that can be built, sorted."""
        return sorted(nuts for nuts in self._load_boundaries() if self._is_buildable(nuts))

    def _is_buildable(self, nuts: str) -> bool:
        if not NUTS3_PATTERN.fullmatch(nuts):
            return False
        try:
            pick_region(self._load_boundaries(), nuts)
        except (RequestError, PermanentError):
            return False  # overseas, beyond EPSG:3035
        return True

    def _load_boundaries(self) -> Boundaries:
        if self._boundaries is None:
            self._boundaries = fetch_boundaries(self.settings.nuts_url, self.session)
        return self._boundaries

    def check(self, wanted: Sequence[RegionRequest]) -> None:
        """Raise RequestError, naming codes that are near, for a region that there is not."""
        for request in wanted:
            pick_region(self._load_boundaries(), request.nuts)

    def forecast(self, wanted: Sequence[RegionRequest]) -> Iterator[tuple[RegionRequest, Forecast]]:
        """The forecast of each region, country by country: the catalogue is asked once for a country's
        regions.

        wanted: requests that differ in their region alone. Raises InfrastructureError for a service that
        does not answer.
        """
        countries: dict[str, list[RegionRequest]] = defaultdict(list)
        for request in wanted:
            countries[request.nuts[:2]].append(request)
        for _, requests_ in sorted(countries.items()):
            try:
                yield from self._forecast_country(requests_)
            except TransientError as error:
                raise InfrastructureError(str(error)) from error

    def _forecast_country(self, wanted: Sequence[RegionRequest]) -> Iterator[tuple[RegionRequest, Forecast]]:
        regions = [self._look(request) for request in wanted]
        open_ = [region for region in regions if region.images]
        scenes = self._find_scenes(wanted[0], [patch for region in open_ for patch in region.every])
        for region in regions:
            yield region.request, self._forecast_region(region, scenes)

    def _look(self, request: RegionRequest) -> _Region:
        """Lay the grid, and leave out what is in the store already."""
        boundary = pick_region(self._load_boundaries(), request.nuts).boundary
        every = lay_grid(boundary)
        patches = every if request.cover == "intersects" else lay_grid(boundary, request.cover)
        inventory = take_inventory(self.store, RegionLayout(self.settings.prefix, request.nuts, request.year))
        images = inventory.images_of(request.image_recipe(self.settings.source, self.settings.pixels))
        labels = inventory.labels_of(request.label_year, self._labels.recipe)
        return _Region(
            request,
            every,
            frozenset(patch.name for patch in patches if patch.name not in images),
            tuple(patch for patch in patches if patch.name not in labels) if request.label_year else (),
            len(patches),
        )

    def _find_scenes(self, request: RegionRequest, patches: Sequence[Patch]) -> list[Scene]:
        if not patches:
            return []
        area = search_area(patches)
        findings = self._catalogue.find(area, request.start, request.end, request.max_cloud)
        return drop_reprocessed(findings.scenes)

    def _forecast_region(self, region: _Region, scenes: Sequence[Scene]) -> Forecast:
        made = Forecast()
        if region.images:
            coverage = measure_coverage(region.every, scenes)
            price = _PRICES[self.settings.image_source]
            made = forecast_images(coverage, region.images, self.settings.max_products, price)
        limits = self._labels.usual_limits
        blocks = lay_blocks(region.labels, limits.width, limits.height)
        return replace(made, patches=region.patches, labels=len(region.labels), label_requests=len(blocks))
