"""How long to look: LANDPATCH_FUZZ_EXAMPLES=20000 looks longer and elsewhere each time; see `make fuzz`."""

import os

from hypothesis import HealthCheck, settings

_LONGER = os.environ.get("LANDPATCH_FUZZ_EXAMPLES")
FUZZ = settings(
    max_examples=int(_LONGER or 150),
    derandomize=not _LONGER,
    database=settings.default.database if _LONGER else None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
