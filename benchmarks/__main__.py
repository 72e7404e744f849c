"""`python -m benchmarks [NAME …]`: run benchmarks, print a table, write JSON."""

import json
import os
import platform
import sys
import time
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.autoscaling import autoscaling
from benchmarks.control_plane import control_plane
from benchmarks.encode import encode
from benchmarks.image_worker import dense, scaling, sparse
from benchmarks.labels import labels
from benchmarks.products import CACHE
from benchmarks.telemetry import overhead

BENCHMARKS: dict[str, Callable[[], dict[str, Any]]] = {
    "telemetry": overhead,
    "encode": encode,
    "sparse": sparse,
    "scaling": scaling,
    "dense": dense,
    "labels": labels,
    "control_plane": control_plane,
    "autoscaling": autoscaling,
}
TARGETS: dict[str, tuple[str, float]] = {
    "telemetry.us_a_patch": ("<=", 200),
    "dense.cpu_over_floor": ("<=", 1.25),
    "dense.cpu_s_a_patch_if_the_floor_were_0.09": ("<=", 0.12),
    "dense.peak_gib": ("<=", 1.5),
    "scaling.speedup": (">=", 1.85),
    "sparse.bytes_over_product_with_tlm": ("<=", 0.15),
    "sparse.bytes_over_product_without_tlm": ("<=", 1.0),
    "labels.requests": ("<=", 10),
    "control_plane.redis_bytes_a_patch": ("<=", 300),
    "control_plane.commands_a_patch": ("<=", 5),
    "control_plane.wall_s": ("<=", 600),
    "control_plane.planning_FI1D7_s": ("<=", 20),
    "control_plane.dispatcher_gib": ("<=", 2),
    "autoscaling.speed": (">=", 0.8),
    "autoscaling.worker_seconds": ("<=", 0.6),
    "autoscaling.workers_left": ("<=", 0),
    "autoscaling.tasks_lost": ("<=", 0),
    "autoscaling.tasks_ended_twice": ("<=", 0),
}


def main(names: list[str]) -> int:
    """Run the named benchmarks, or all. Returns 1 when a target is missed, 2 for an unknown name."""
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        print(f"benchmarks: no {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}", file=sys.stderr)
        return 2
    console = Console()
    results: dict[str, dict[str, Any]] = {}
    missed = False
    for name in names or list(BENCHMARKS):
        begin = time.monotonic()
        results[name] = BENCHMARKS[name]()
        table = Table(title=f"{name}, {time.monotonic() - begin:.0f} s", title_justify="left")
        for column in ("figure", "value", "target"):
            table.add_column(column, justify="left" if column == "figure" else "right")
        for figure, value in results[name].items():
            sign, target = TARGETS.get(f"{name}.{figure}", ("", 0.0))
            met = not sign or (value <= target if sign == "<=" else value >= target)
            missed |= not met
            wanted = f"{sign} {target:g} {'met' if met else 'MISSED'}" if sign else ""
            table.add_row(figure, f"{value:,.4g}" if isinstance(value, float) else str(value), wanted)
        console.print(table)
    CACHE.mkdir(parents=True, exist_ok=True)
    path = CACHE / "results.json"
    # A run of some keeps what the others said last.
    before = json.loads(path.read_text())["results"] if path.exists() else {}
    path.write_text(json.dumps({"machine": _machine(), "results": before | results}, indent=2))
    console.print(f"written to {path}")
    return int(missed)


def _machine() -> dict[str, Any]:
    return {"cores": os.cpu_count(), "python": platform.python_version(), "system": platform.platform()}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
