"""What of this installation is open to others: facts, findings, and what mends them.

operations.md §12. Facts are gathered at one edge (`engine.security.gather`); each check is a
function of them, and changes nothing. `survey` is the one way in for whoever only wants to know.
"""

from __future__ import annotations

from engine.security.facts import Facts
from engine.security.findings import Finding, Severity
from engine.security.gather import survey
from engine.security.report import Report, audit

__all__ = ["Facts", "Finding", "Report", "Severity", "audit", "survey"]
