"""The roll-up: in one line, what of this installation others can touch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from engine.security.checks.channels import commands_run, group_policy, open_dm
from engine.security.facts import Facts
from engine.security.findings import Finding, Severity


def summary(facts: Facts) -> Iterator[Finding]:
    """`summary.attack_surface`."""
    accounts = list(facts.accounts())
    groups = [group_policy(facts, account) for _, account in accounts]
    told = {
        "port": f"{facts.bind} ({facts.auth_mode})",
        "accounts": str(len(accounts)),
        "open groups": str(groups.count("open")),
        "open direct chats": str(sum(open_dm(account) for _, account in accounts)),
        "hooks": _switch(facts.on("hooks.enabled")),
        "commands": facts.text("tools.exec.security") if commands_run(facts) else "off",
        "elevated": _switch(isinstance(facts.get("tools.elevated"), Mapping)),
        "plugins": str(len(facts.plugins)),
        "jobs by agents": str(sum(one.by_agent for one in facts.jobs)),
    }
    yield Finding(
        check_id="summary.attack_surface",
        severity=Severity.INFO,
        title="what others can touch",
        detail=", ".join(f"{name}: {value}" for name, value in told.items()),
        remediation="close what you do not use",
    )


def _switch(on: bool) -> str:
    return "on" if on else "off"


CHECKS: Final = (summary,)
