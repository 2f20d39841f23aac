"""One thing the audit found, and what would mend it (operations.md §12)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Severity(StrEnum):
    """How bad it is."""

    CRITICAL = "critical"
    WARN = "warn"
    INFO = "info"

    @property
    def weight(self) -> int:
        """Worse is more."""
        return {"critical": 2, "warn": 1}.get(self.value, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chmod:
    """Take a file or folder away from others."""

    path: str
    mode: int

    @property
    def words(self) -> str:
        """What is done, as one would type it."""
        return f"chmod {self.mode:o} {self.path}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SetKey:
    """Write one key of the config."""

    path: str
    value: Any
    needs_yes: bool = False  # it may lock somebody out: only with --yes

    @property
    def words(self) -> str:
        """What is done, in one line."""
        return f"set {self.path}"


Fix = Chmod | SetKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is open to others, and the way out."""

    check_id: str
    severity: Severity
    title: str
    detail: str
    remediation: str
    path: str | None = None
    fixes: tuple[Fix, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return it as `--json` prints it."""
        told = {
            "checkId": self.check_id,
            "severity": self.severity.value,
            "title": self.title,
            "detail": self.detail,
            "remediation": self.remediation,
        }
        return told if self.path is None else {**told, "path": self.path}
