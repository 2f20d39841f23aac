"""The way of messages, agent by agent: the links of `engine why` as findings (§10, §10.1). Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from engine.cli.doctor.catalogue import finding
from engine.cli.doctor.finding import Finding, Severity
from engine.why import Code, Link, Standing, is_act, read

# Of what passes by itself, what lasts: no beat asks the agent before tomorrow, or before it ends.
_LASTING: Final = ("budget-exhausted", "suspended", "idle-paused")
_PASSING: Final = (Code.WINDOW, Code.GATE, Code.REPLY)
# Config, process and log-out have facts of their own here, and so have accounts.
_OTHERWISE: Final = (Code.CONFIG, Code.GATEWAY, Code.LOGOUT, Code.CHANNEL)
_SHORT: Final = 20  # characters beside the token that are no more than a manner of speaking
_OFTEN: Final = 3

_IDS: Final[Mapping[str, str]] = {
    "scheduler": "scheduler.not_armed",
    "heartbeat": "heartbeat.off",
    "heartbeat.paused": "heartbeat.held",
    "window": "heartbeat.held",
    "gate": "heartbeat.held",
    "checklist": "heartbeat.file_empty",
    "model": "runner.failing",
    "model.unknown": "runner.model_unknown",
    "model.offline": "runner.offline",
    "model.rate-limit": "runner.cooldown",
    "model.overloaded": "runner.cooldown",
    "reply": "heartbeat.held",
    "target": "heartbeat.target_unresolved",
    "target.none": "heartbeat.target_none",
    "target.account-ambiguous": "heartbeat.account_ambiguous",
    "policy": "heartbeat.direct_blocked",
    "policy.alerts-disabled": "heartbeat.alerts_off",
}


def found(answers: Sequence[Mapping[str, Any]]) -> list[Finding]:
    """Return what is wrong on the way; what several agents have in common once."""
    seen: dict[tuple[str, str], list[tuple[str, Link]]] = {}
    for answer in answers:
        for link in _wrong(answer):
            agent = str(answer["agentId"])
            seen.setdefault((link.name, link.what), []).append((agent, link))
    findings = [
        finding(
            _ident(same[0][1]),
            what,
            same[0][1].fix,
            severity=_severity(same[0][1]),
            agents=tuple(agent for agent, _ in same),
        )
        for (_name, what), same in seen.items()
    ]
    return sorted(findings, key=lambda one: one.severity.rank)


def swallowed(entries: Sequence[Mapping[str, Any]], *, only: str | None = None) -> list[Finding]:
    """Return the agents whose short alerts go down with their HEARTBEAT_OK (heartbeat.md §13.1)."""
    counted: Counter[str] = Counter()
    for one in entries:
        if len(str(one.get("text") or "")) > _SHORT and only in (None, one.get("agentId")):
            counted[str(one.get("agentId"))] += int(one.get("times") or 1)
    return [
        finding(
            "heartbeat.ack_swallows_text",
            f"{agent} said something beside HEARTBEAT_OK {times} times in a day, and none of"
            " it was sent (engine inbox list --reason dropped)",
            "engine config set agents.defaults.heartbeat.ackMaxChars 0",
            agents=(agent,),
        )
        for agent, times in counted.items()
        if times >= _OFTEN
    ]


def _wrong(answer: Mapping[str, Any]) -> Iterator[Link]:
    for link in map(read, answer["links"]):
        wrong = link.state in (Standing.BROKEN, Standing.WARN) and is_act(link.fix)
        mine = wrong and link.code not in _OTHERWISE
        if mine and (link.code not in _PASSING or link.reason in _LASTING):
            yield link


def _ident(link: Link) -> str:
    if link.code is Code.DELIVERY:
        return f"delivery.{link.reason or 'failed'}"
    return _IDS.get(f"{link.code}.{link.reason}") or _IDS[link.code]


def _severity(link: Link) -> Severity | None:
    """As the catalogue has it; a link that only warns is never told as an error."""
    return Severity.WARN if link.state is Standing.WARN else None
