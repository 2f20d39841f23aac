"""Chats: who may speak to an agent, and what an agent that strangers speak to may do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from engine.security.facts import Facts
from engine.security.findings import Finding, SetKey, Severity

_MANY: Final = 2  # people beyond which an agent serves more than its owner


def open_dm(account: Mapping[str, Any]) -> bool:
    """Whether anybody may write to this account directly."""
    listed = account.get("allowFrom")
    anyone = isinstance(listed, list | tuple) and "*" in [str(one).strip() for one in listed]
    policy = account.get("dmPolicy")
    return policy == "open" or (anyone and policy in (None, "pairing", "allowlist"))


def group_policy(facts: Facts, account: Mapping[str, Any]) -> str:
    """Which groups an account hears."""
    given = account.get("groupPolicy") or facts.text("channels.defaults.groupPolicy")
    return str(given or "allowlist")


def commands_run(facts: Facts) -> bool:
    """Whether agents may run commands on this host without being asked about every one."""
    if facts.text("tools.exec.security") in ("", "deny"):
        return False
    profile = facts.text("tools.profile")
    denied = {one.lower() for one in facts.texts("tools.deny")}
    if profile in ("minimal", "messaging"):
        also = {one.lower() for one in facts.texts("tools.alsoAllow")}
        if not also & {"exec", "group:runtime", "*"}:
            return False
    return not denied & {"exec", "group:runtime", "*"}


def chats(facts: Facts) -> Iterator[Finding]:
    """`channels.open_dm`, `security.exposure.open_channels_with_exec`, `…with_elevated`."""
    dms = [path for path, account in facts.accounts() if open_dm(account)]
    groups = [path for path, account in facts.accounts() if group_policy(facts, account) == "open"]
    if dms:
        yield Finding(
            check_id="channels.open_dm",
            severity=Severity.WARN,
            title="strangers may write to your agent",
            detail=f"{', '.join(dms)}: dmPolicy is open, or allowFrom holds *",
            remediation=f"engine config set {dms[0]}.dmPolicy pairing",
        )
    mend = tuple(SetKey(path=f"{path}.groupPolicy", value="allowlist") for path in groups)
    if commands_run(facts) and (dms or groups):
        yield Finding(
            check_id="security.exposure.open_channels_with_exec",
            severity=Severity.CRITICAL,
            title="strangers speak to an agent that runs commands on this host",
            detail=f"{', '.join(dict.fromkeys((*dms, *groups)))} with tools.exec.security"
            f" {facts.text('tools.exec.security')}",
            remediation="engine config set tools.exec.security deny",
            fixes=mend,
        )
    if groups and _elevated(facts):
        yield Finding(
            check_id="security.exposure.open_groups_with_elevated",
            severity=Severity.CRITICAL,
            title="anybody in a group may ask for elevated commands",
            detail=f"{', '.join(groups)}: groupPolicy is open, and tools.elevated is on",
            remediation=f"engine config set {groups[0]}.groupPolicy allowlist",
            fixes=mend,
        )


def _elevated(facts: Facts) -> bool:
    section = facts.get("tools.elevated")
    return isinstance(section, Mapping) and section.get("enabled") is not False


def people(facts: Facts) -> Iterator[Finding]:
    """`security.trust_model.multi_user_heuristic`: one agent, several people, one set of tools."""
    if facts.text("session.dmScope") not in ("", "main") or not commands_run(facts):
        return
    crowded = [
        path
        for path, account in facts.accounts()
        if group_policy(facts, account) == "open" or open_dm(account) or _several(account)
    ]
    if crowded:
        yield Finding(
            check_id="security.trust_model.multi_user_heuristic",
            severity=Severity.WARN,
            title="several people seem to share one agent and its tools",
            detail=f"{', '.join(crowded)}: whoever may write has the tools of the owner, and all"
            " direct chats are one conversation",
            remediation="engine config set session.dmScope per-channel-peer",
        )


def _several(account: Mapping[str, Any]) -> bool:
    listed = account.get("allowFrom")
    return isinstance(listed, list | tuple) and len({str(one) for one in listed}) > _MANY


CHECKS: Final = (chats, people)
