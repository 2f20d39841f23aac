"""What lies beside the config file: backups, the last good one, the broken, the refused.

operations.md §3 (`.bak` ring, `.rejected`), §4.2 (`.last-good`, `.clobbered`).
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Final

LAST_GOOD: Final = "last-good"
CLOBBERED: Final = "clobbered"
REJECTED: Final = "rejected"
BAK: Final = "bak"
KEEP_CLOBBERED: Final = 10
_STAMP: Final = "%Y%m%dT%H%M%SZ"


def beside(path: Path, kind: str) -> Path:
    """`engine.json.<kind>`."""
    return path.with_name(f"{path.name}.{kind}")


def stamped(path: Path, kind: str, now: datetime) -> Path:
    """`engine.json.<kind>.<UTC time>`, one that is not there yet."""
    made = beside(path, f"{kind}.{now.astimezone(UTC).strftime(_STAMP)}")
    number = 1
    while made.exists():
        number += 1
        made = beside(path, f"{kind}.{now.astimezone(UTC).strftime(_STAMP)}-{number}")
    return made


def clobbered(path: Path) -> list[Path]:
    """Broken files that made room for the last good one, newest first."""
    return sorted(path.parent.glob(f"{path.name}.{CLOBBERED}.*"), reverse=True)


def forget_oldest(path: Path) -> None:
    """Keep the newest ten of the broken files."""
    for stale in clobbered(path)[KEEP_CLOBBERED:]:
        stale.unlink(missing_ok=True)


def every(path: Path) -> list[Path]:
    """All copies a person may ask for, by age of their kind."""
    ring = [beside(path, BAK), *sorted(path.parent.glob(f"{path.name}.{BAK}.*"))]
    found = [*ring, beside(path, LAST_GOOD), *clobbered(path)]
    return [one for one in found if one.is_file()]


def named(path: Path, name: str) -> Path | None:
    """A copy by what people call it: `bak`, `bak.2`, `last-good`, `clobbered`, `clobbered.<time>`.

    `clobbered` alone is the newest, and `clobbered.0` too.
    """
    if name in (CLOBBERED, f"{CLOBBERED}.0"):
        return next(iter(clobbered(path)), None)
    number = name.removeprefix(f"{CLOBBERED}.")
    if number != name and number.isdecimal() and len(number) < len("20260101"):
        older = clobbered(path)
        return older[int(number)] if int(number) < len(older) else None
    wish = beside(path, name)
    return wish if wish in every(path) else None
