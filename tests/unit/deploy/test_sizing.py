"""The sizing table of docs/deployment.md follows from the figures that it names as measured."""

import pytest

from landpatch.settings import Settings
from tests.environment import ROOT

PATCH_CPU_S = 0.121
PATCH_BYTES = 520e6 / 1835
PATCH_REDIS_BYTES = 300
ACCOUNT_BYTES_PER_S = 80e6
SPARSE_BYTES = 0.054 * 520e6
"""Of FR101, whose 28 patches take few tiles of each product."""
EUROPE = 1_057_148


def row(patches: int, moved: float) -> dict[str, float]:
    """What the table says of so many patches."""
    cpu_s = patches * PATCH_CPU_S
    return {
        "CPU": cpu_s,
        "bytes": moved,
        "4 cores": cpu_s / 4,
        "32 cores": cpu_s / 32,
        "at 80 MB/s": moved / ACCOUNT_BYTES_PER_S,
        "Redis": patches * PATCH_REDIS_BYTES,
    }


def table() -> dict[str, dict[str, float]]:
    """The table in the page, in seconds and bytes."""
    text = (ROOT / "docs" / "deployment.md").read_text().partition("## Sizing")[2].partition("\n* ")[0]
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|")]
    units = {"s": 1, "min": 60, "h": 3600, "kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12}

    def value(cell: str) -> float:
        number, _, unit = cell.rpartition(" ")
        return float(number) * units[unit]

    names = [name.strip() for name in lines[0]][1:]
    return {
        cells[1].strip(): {
            name: value(cell.strip())
            for name, cell in zip(names, cells[2:], strict=True)
            if cell.strip() != "–"
        }
        for cells in lines[2:]
    }


@pytest.mark.parametrize(
    ("patches", "moved"),
    [
        (28, SPARSE_BYTES),
        (700, 700 * PATCH_BYTES),
        (70_000, 70_000 * PATCH_BYTES),
        (EUROPE, EUROPE * PATCH_BYTES),
    ],
)
def test_a_row_is_computed_from_what_was_measured(patches, moved):
    found = table()[f"{patches:,}".replace(",", " ")]
    computed = row(patches, moved)
    assert len(found) >= 5
    for name, value in found.items():
        # As many digits as are shown.
        assert value == pytest.approx(computed[name], rel=0.06), name


def test_the_figures_are_those_of_the_page_on_performance():
    text = (ROOT / "docs" / "performance.md").read_text()
    for figure in ("0.121", "1 835 patches", "0.054", "1 057 148 patches", "520 MB", "80 MB/s"):
        assert figure in text
    settings = Settings.model_validate({})
    assert settings.eo_connections * settings.eo_connection_bytes_per_s == ACCOUNT_BYTES_PER_S
