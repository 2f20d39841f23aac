"""One thing that is wrong, as `engine doctor` tells it (operations.md §10). Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final


class Severity(StrEnum):
    """How bad it is."""

    ERROR = "error"
    WARN = "warn"
    INFO = "info"

    @property
    def rank(self) -> int:
        """0 for the worst."""
        return _RANKS.index(self)


_RANKS: Final = (Severity.ERROR, Severity.WARN, Severity.INFO)


class Act(StrEnum):
    """What `--fix` can do by itself."""

    CHMOD = "chmod"
    ENABLE_LINGER = "enable-linger"
    GENERATE_TOKEN = "generate-token"  # noqa: S105 - the name of an act
    INSTALL_SERVICE = "install-service"
    INTERRUPT_RUNS = "interrupt-runs"
    MIGRATE = "migrate"
    MIGRATE_CONFIG = "migrate-config"
    REWRITE_SERVICE = "rewrite-service"
    RESTORE_CONFIG = "restore-config"
    SET_KEY = "set-key"
    SETUP = "setup"
    START_SERVICE = "start-service"
    WRITE_CHECKLIST = "write-checklist"

    @property
    def of_service(self) -> bool:
        """Whether it changes a service of the machine: only with --yes, or if a person says so."""
        return self in _SERVICES


_SERVICES: Final = frozenset(
    {Act.ENABLE_LINGER, Act.INSTALL_SERVICE, Act.REWRITE_SERVICE, Act.START_SERVICE}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Repair:
    """How `--fix` mends a finding: what is done, and to what."""

    act: Act
    subject: str = ""  # a file, a key of the config, an agent
    value: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong, for which agents, and the way out."""

    severity: Severity
    id: str
    what: str
    fix: str
    agents: tuple[str, ...] = ()
    repair: Repair | None = None

    def to_json(self) -> dict[str, Any]:
        """Return it as `--json` prints it."""
        return {
            "severity": self.severity.value,
            "id": self.id,
            "what": self.what,
            "fix": self.fix,
            "agents": list(self.agents),
            "repairable": self.repair is not None,
        }
