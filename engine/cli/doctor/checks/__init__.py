"""Facts to findings, each check a pure function (operations.md §10)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from engine.cli.doctor.checks import agents, config, gateway, host, schedule, service, state
from engine.cli.doctor.facts import Facts
from engine.cli.doctor.finding import Finding

Check = Callable[[Facts], Iterator[Finding]]

CHECKS: Final[tuple[Check, ...]] = (
    config.check,
    state.check,
    service.check,
    gateway.check,
    schedule.check,
    agents.check,
    host.check,
)


def judged(facts: Facts) -> list[Finding]:
    """Return everything that is wrong, the worst first."""
    found = [one for check in CHECKS for one in check(facts)]
    return sorted(found, key=lambda one: one.severity.rank)
