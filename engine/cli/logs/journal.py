"""What the service manager kept of the gateway's output (operations.md §11, `--service`)."""

from __future__ import annotations

import shutil
import subprocess
import sys

from engine.cli.ask import Line
from engine.cli.service import find
from jobs.errors import NotFound


def show(line: Line, *, limit: int, follow: bool) -> int:
    """Print the newest lines of the unit, without a pager."""
    service, program = find(line.place), line.place.program
    if service is None:
        raise NotFound(
            "the gateway is no service of this machine",
            why="nothing keeps its output",
            fix=f"{program} logs, or: {program} gateway install",
        )
    found = shutil.which("journalctl", path=line.place.environ.get("PATH"))
    if found is None:
        raise NotFound(
            "the service manager's log cannot be read",
            why="this machine has no journalctl",
            fix=f"{program} logs",
        )
    scope = () if service.manager.system else ("--user",)
    style = "json" if line.as_json else "short-iso"
    words = [found, *scope, "-u", service.name, "-n", str(limit), "--no-pager", "-o", style]
    sys.stdout.flush()
    return subprocess.run(  # noqa: S603 - fixed words and names we made ourselves
        [*words, *(("-f",) if follow else ())], env=dict(line.place.environ), check=False
    ).returncode
