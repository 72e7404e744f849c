"""Look every pinned package up in a database of known vulnerabilities: `make audit`.

Says clearly when no database can be had: pip-audit itself calls packages that it could not look up free of
vulnerabilities. Exit code 0: none is known, or nothing could be looked up and AUDIT is not `required`. 1:
some are known, or nothing could be looked up although it is required.
"""

import argparse
import json
import os
import re
import subprocess
import sys
from pathlib import Path

LOCK = Path(__file__).parents[1] / "requirements.lock"
TIMEOUT_S = 300
Report = dict[str, list[dict[str, object]]]


def count_pins(lock: Path) -> int:
    """How many packages are pinned."""
    return len(re.findall(r"^[A-Za-z0-9._-]+==", lock.read_text(), re.MULTILINE))


def ask(tool: str, lock: Path) -> Report | None:
    """What the database of OSV knows of the packages; None when it cannot be asked."""
    command = [
        tool,
        "--requirement",
        str(lock),
        "--require-hashes",
        "--disable-pip",
        "--progress-spinner=off",
    ]
    try:
        ran = subprocess.run(
            [*command, "--vulnerability-service=osv", "--format=json"],
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        report: Report = json.loads(ran.stdout)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None
    return report


def judge(report: Report | None, pinned: int, *, required: bool) -> tuple[int, list[str]]:
    """Exit code, and lines for a person."""
    packages = report["dependencies"] if report else []
    looked_up = [package for package in packages if "skip_reason" not in package]
    lines = [
        f"audit: {package['name']} {package.get('version', '')}: {vulnerability['id']}"
        f" (mended in {', '.join(vulnerability['fix_versions']) or 'no release yet'})"
        for package in looked_up
        for vulnerability in package.get("vulns", [])  # type: ignore[attr-defined]
    ]
    known = len(lines)
    # Packages for other systems than this one are pinned as well, and not looked up here.
    if not looked_up:
        lines.append(
            f"audit: NOT AUDITED: no database of vulnerabilities can be reached; {pinned} packages pinned"
        )
    else:
        lines.append(f"audit: {known} known vulnerabilities in {len(looked_up)} packages")
    if skipped := len(packages) - len(looked_up):
        lines.append(f"audit: NOT AUDITED: {skipped} packages that the database does not know")
    return int(bool(known) or (required and not looked_up)), lines


def main() -> None:
    """Ask, and say what is known."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tool", default=str(Path(sys.executable).parent / "pip-audit"), help="pip-audit")
    parser.add_argument("--lock", type=Path, default=LOCK)
    options = parser.parse_args()
    required = os.environ.get("AUDIT") == "required"
    code, lines = judge(ask(options.tool, options.lock), count_pins(options.lock), required=required)
    print("\n".join(lines))
    sys.exit(code)


if __name__ == "__main__":
    main()
