"""One thing that is wrong, as `engine doctor` tells it (operations.md §10)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Severity(StrEnum):
    """How bad it is."""

    ERROR = "error"
    WARN = "warn"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong, for which agents, and the way out."""

    severity: Severity
    id: str
    what: str
    fix: str
    agents: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return it as `--json` prints it."""
        return {
            "severity": self.severity.value,
            "id": self.id,
            "what": self.what,
            "fix": self.fix,
            "agents": list(self.agents),
        }
