"""Which regions are built: in the store of the settings, and in the public training set.

from landpatch.regions import list_regions
list_regions().built
"""

from collections import Counter
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from landpatch.embedded import complete_settings
from landpatch.errors import PermanentError
from landpatch.index import PatchState, read_states
from landpatch.layout import NUTS3_PATTERN, RegionLayout
from landpatch.ledger import open_ledger
from landpatch.place import built_years
from landpatch.settings import Settings
from landpatch.sources.training_set import Published, TrainingSet, survey_training_set
from landpatch.storage import Store, open_store

READERS = 8


@dataclass(frozen=True, slots=True)
class BuiltRegion:
    """What the store's index says of a region and year."""

    region: str
    year: int
    patches: int
    complete: int
    partial: int
    missing: int
    failed: int
    labels: int
    index: str
    """URL of `filename2bbox.parquet`."""
    states: tuple[PatchState, ...]
    """Every patch, sorted by name."""


@dataclass(frozen=True, slots=True)
class RegionUnderWay:
    """A region that is being built."""

    region: str
    year: int
    state: str
    images_done: int
    images_total: int
    labels_done: int
    labels_total: int


@dataclass(frozen=True, slots=True)
class Regions:
    """Regions and years, here and elsewhere."""

    built: tuple[BuiltRegion, ...] | None
    """None where no destination store is set."""
    under_way: tuple[RegionUnderWay, ...]
    public: TrainingSet | None
    """None when it was not asked for."""


def list_regions(
    nuts: Collection[str] = (), *, public: bool = True, settings: Settings | None = None
) -> Regions:
    """What is built and what is being built.

    nuts: codes to look at, all when there are none. public: look at the public training set too; when it
    cannot be reached, that is said in it, not raised. settings: those of the environment when there are
    none. Raises InfrastructureError when the store or Redis cannot be reached.
    """
    settings = settings or complete_settings(required=False)
    built = None
    if settings.store_access_key is not None:
        built = tuple(_read_store(open_store(settings), settings.prefix, nuts))
    under_way = tuple(_read_ledger(settings, nuts)) if settings.redis_url is not None else ()
    published = survey_training_set(settings.training_set_url) if public else None
    if published and nuts:
        chosen: tuple[Published, ...] = tuple(each for each in published.regions if each.region in nuts)
        published = TrainingSet(published.url, published.fault, chosen)
    return Regions(built, under_way, published)


def _read_store(store: Store, prefix: str, nuts: Collection[str]) -> Iterator[BuiltRegion]:
    found = nuts or [name for name in store.folders(f"{prefix}/images/") if NUTS3_PATTERN.fullmatch(name)]
    layouts = [
        RegionLayout(prefix, code, year)
        for code in sorted(found)
        for year in built_years(store, prefix, code)
    ]
    with ThreadPoolExecutor(READERS) as pool:
        for layout, index in zip(
            layouts, pool.map(lambda each: store.get(each.patches), layouts), strict=True
        ):
            if index is not None and (region := _describe(layout, index, store)) is not None:
                yield region


def _describe(layout: RegionLayout, index: bytes, store: Store) -> BuiltRegion | None:
    try:
        states = read_states(index)
    except PermanentError:
        return None  # as good as not there: `landpatch region` makes it anew
    counts = Counter(patch.state for patch in states)
    return BuiltRegion(
        region=layout.nuts,
        year=layout.year,
        patches=len(states),
        complete=counts["complete"],
        partial=counts["partial"],
        missing=counts["missing"],
        failed=counts["failed"],
        labels=sum(patch.label for patch in states),
        index=store.url(layout.filename2bbox),
        states=tuple(states),
    )


def _read_ledger(settings: Settings, nuts: Collection[str]) -> Iterator[RegionUnderWay]:
    ledger = open_ledger(settings)
    for key in ledger.active():
        code, _, year = key.partition("/")
        if nuts and code not in nuts:
            continue
        at = ledger.progress(key)
        yield RegionUnderWay(
            code, int(year), at.state, at.images_done, at.images_total, at.labels_done, at.labels_total
        )
