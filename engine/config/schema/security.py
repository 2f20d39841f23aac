"""Keys under `security`: what the audit found and the operator lives with (operations.md §12)."""

from __future__ import annotations

from engine.config.schema.base import Section, key, section


class Suppression(Section):
    """One finding of the audit that is accepted."""

    check_id: str = key(..., "Which finding, by its checkId.")
    reason: str | None = key(None, "Why it is accepted; without one it is told all the same.")
    title_includes: str | None = key(None, "Only where the title holds this.")
    detail_includes: str | None = key(None, "Only where the detail holds this.")
    until: str | None = key(
        None, "Last day, YYYY-MM-DD; for good when unset.", pattern=r"^\d{4}-\d{2}-\d{2}$"
    )


class SecurityAudit(Section):
    """The audit."""

    suppressions: tuple[Suppression, ...] = key((), "Findings that are accepted.")


class Security(Section):
    """What is checked and accepted."""

    audit: SecurityAudit = section(SecurityAudit, "The audit.")
