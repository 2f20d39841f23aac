"""All checks over one set of facts, minus what the operator accepted. Pure (operations.md §12)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

from engine.security.checks import channels, files, gateway, hooks, scheduler, surface, tools
from engine.security.facts import Facts
from engine.security.findings import Finding, Severity

Check = Callable[[Facts], Iterator[Finding]]
CHECKS: Final[tuple[Check, ...]] = (
    *files.CHECKS,
    *gateway.CHECKS,
    *hooks.CHECKS,
    *channels.CHECKS,
    *tools.CHECKS,
    *scheduler.CHECKS,
    *surface.CHECKS,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """A finding the operator lives with, why, and how long."""

    check_id: str
    reason: str
    until: date | None = None
    title: str = ""  # only findings whose title holds this
    detail: str = ""

    def covers(self, one: Finding) -> bool:
        """Whether this is about that finding."""
        low = self.title.lower() in one.title.lower() and self.detail.lower() in one.detail.lower()
        return self.check_id == one.check_id and low


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What was found, worst first."""

    at: datetime
    findings: tuple[Finding, ...]
    suppressed: tuple[tuple[Finding, Accepted], ...] = ()
    secret_diagnostics: tuple[str, ...] = ()

    def count(self, severity: Severity) -> int:
        """How many findings are so bad."""
        return sum(one.severity is severity for one in self.findings)

    def top(self, most: int = 3) -> tuple[Finding, ...]:
        """The worst ones, for whoever has room for a few; notes are not among them."""
        return tuple(one for one in self.findings if one.severity is not Severity.INFO)[:most]

    def to_json(self) -> dict[str, Any]:
        """Return it as `--json` prints it."""
        return {
            "ts": self.at.isoformat().replace("+00:00", "Z"),
            "summary": {one.value: self.count(one) for one in Severity},
            "findings": [one.to_json() for one in self.findings],
            "suppressed": [
                {
                    **one.to_json(),
                    "reason": accepted.reason,
                    "until": None if accepted.until is None else accepted.until.isoformat(),
                }
                for one, accepted in self.suppressed
            ],
            "secretDiagnostics": list(self.secret_diagnostics),
        }


def audit(facts: Facts, now: datetime) -> Report:
    """Run every check; what was accepted and has not run out stands aside."""
    found = [finding for check in CHECKS for finding in check(facts)]
    accepted = [one for one in suppressions(facts) if not _over(one, now)]
    found.sort(key=lambda one: -one.severity.weight)
    judged = [(one, next((a for a in accepted if a.covers(one)), None)) for one in found]
    return Report(
        at=now,
        findings=tuple(one for one, why in judged if why is None),
        suppressed=tuple((one, why) for one, why in judged if why is not None),
        secret_diagnostics=facts.secret_diagnostics,
    )


def suppressions(facts: Facts) -> Iterator[Accepted]:
    """`security.audit.suppressions`: each needs a reason; without one it suppresses nothing."""
    listed = facts.get("security.audit.suppressions", ())
    for one in listed if isinstance(listed, list | tuple) else ():
        if not isinstance(one, Mapping) or not str(one.get("reason") or "").strip():
            continue
        yield Accepted(
            check_id=str(one.get("checkId") or ""),
            reason=str(one["reason"]).strip(),
            until=_day(one.get("until")),
            title=str(one.get("titleIncludes") or ""),
            detail=str(one.get("detailIncludes") or ""),
        )


def _day(text: object) -> date | None:
    if not isinstance(text, str):
        return None
    try:
        return date.fromisoformat(text.strip()[:10])
    except ValueError:
        return date.min  # nobody knows how long: it is over


def _over(one: Accepted, now: datetime) -> bool:
    return one.until is not None and now.date() > one.until
