"""What the chaos tests have done and found, added up over all of them."""

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table


@dataclass
class Tally:
    """Counts over all tests of a session."""

    seed: int
    kills: Counter[str] = field(default_factory=Counter)
    """By what was killed, such as `image_worker child`."""
    faults: Counter[str] = field(default_factory=Counter)
    """By what was done, such as `FLUSHALL`."""
    restarts: int = 0
    """Parts of a stack that supervisord has started again."""
    regions: int = 0
    """Built under disturbance."""
    objects: int = 0
    """Compared with those of an undisturbed run, byte by byte."""
    longest_recovery_s: float = 0.0
    """From the last fault of a run to its end."""
    longest_recovery_of: str = ""

    def recovered(self, seconds: float, what: str) -> None:
        """A run has come to its end so long after the last fault."""
        if seconds > self.longest_recovery_s:
            self.longest_recovery_s, self.longest_recovery_of = seconds, what

    def __bool__(self) -> bool:
        """Whether anything has been done."""
        return bool(self.kills or self.faults or self.regions)

    def write(self, path: Path) -> None:
        """As JSON."""
        content = {
            "seed": self.seed,
            "kills": self.kills.total(),
            "restarts": self.restarts,
            "faults": self.faults.total(),
            "regions": self.regions,
            "objects_compared": self.objects,
            "longest_recovery_s": round(self.longest_recovery_s, 1),
            "longest_recovery_of": self.longest_recovery_of,
            "kills_by_victim": dict(sorted(self.kills.items())),
            "faults_by_kind": dict(sorted(self.faults.items())),
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content, indent=2) + "\n")

    def show(self, console: Console) -> None:
        """As a table."""
        table = Table(title=f"chaos, seed {self.seed}", title_justify="left")
        table.add_column("figure")
        table.add_column("value", justify="right")
        table.add_row("kills", str(self.kills.total()))
        for victim, count in sorted(self.kills.items()):
            table.add_row(f"  {victim}", str(count))
        table.add_row("restarts", str(self.restarts))
        table.add_row("faults", str(self.faults.total()))
        for kind, count in sorted(self.faults.items()):
            table.add_row(f"  {kind}", str(count))
        table.add_row("regions", str(self.regions))
        table.add_row("objects compared", str(self.objects))
        table.add_row("longest recovery", f"{self.longest_recovery_s:.1f} s ({self.longest_recovery_of})")
        console.print(table)
