"""`engine doctor`: what stands between the agents and the person (operations.md §10.1).

So far it looks at the way of messages, agent by agent, with the links of `engine why`; of the
jobs `engine cron doctor` tells. It mends nothing by itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any, Final

import click

from engine.cli import at_rest, why
from engine.cli.ask import Line, gateway_options
from engine.cli.ending import dumped
from engine.clock import SystemClock
from engine.why import Code, Link, Standing, is_act, read
from jobs.errors import EngineError
from jobs.wallclock import ms

ERROR: Final = 1  # exit status
# Those are as the config, the checklist or the agent wants it: worth a word, and no fault.
_WISHED: Final = (Code.HEARTBEAT, Code.CHECKLIST, Code.POLICY)
_PASSING: Final = (Code.WINDOW, Code.GATE, Code.REPLY)

_LATELY: Final = timedelta(days=1)
_SHORT: Final = 20  # characters beside the token that are no more than a manner of speaking
_OFTEN: Final = 3


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


@click.command(epilog="Example: engine doctor --why-silent --agent main")
@click.option("--why-silent", is_flag=True, help="Why no message came: the same as `engine why`.")
@click.option("--agent", "agent_id", metavar="ID", help="Only this agent.")
@gateway_options()
def command(line: Line, why_silent: bool, agent_id: str | None) -> int:
    """What stands between your agents and you: config, gateway, beats, model, target, channel.

    It changes nothing. Works with the gateway down. Exit 1 if there is an error. What is wrong
    with the jobs says `engine cron doctor`.
    """
    if why_silent:
        return why.explain(line, agent_id)
    agents = [agent_id] if agent_id else _agents(line)
    findings = found([why.silence(line, one) for one in agents])
    findings += swallowed(_dropped(line), only=agent_id)
    errors = sum(one.severity is Severity.ERROR for one in findings)
    if line.as_json:
        told = [one.to_json() for one in findings]
        click.echo(dumped({"ok": not errors, "findings": told}))
    else:
        click.echo("\n".join(_words(findings, errors, len(agents))))
    return ERROR if errors else 0


def _agents(line: Line) -> Sequence[str | None]:
    """All agents of the config; only the default one where it cannot be read."""
    try:
        config = at_rest.loaded(line.place).config if line.at_home else None
    except EngineError:
        config = None
    if config is None:
        return [None]
    from engine.config import effective

    return [agent.id for agent in effective.agents(config)]


def found(answers: Sequence[Mapping[str, Any]]) -> list[Finding]:
    """Return what is wrong, errors first; what several agents have in common once."""
    seen: dict[tuple[str, str], list[tuple[str, Link]]] = {}
    for answer in answers:
        for link in _wrong(answer):
            agent = str(answer["agentId"])
            seen.setdefault((link.name, link.what), []).append((agent, link))
    findings = [
        Finding(
            severity=_severity(same[0][1]),
            id=name,
            what=what,
            fix=same[0][1].fix,
            agents=tuple(agent for agent, _ in same),
        )
        for (name, what), same in seen.items()
    ]
    return sorted(findings, key=lambda one: one.severity is not Severity.ERROR)


def _dropped(line: Line) -> Sequence[Mapping[str, Any]]:
    """Words that stood beside an acknowledgement in the last day, where that can be told."""
    since = ms(SystemClock().now() - _LATELY)
    params = {"reason": "dropped", "state": "all", "sinceMs": since, "limit": 1000}
    try:
        with at_rest.reading(line) as asked:
            return list(asked.call("heartbeat.inbox", params).get("entries") or ())
    except EngineError:
        return ()  # why that is so is told by the links


def swallowed(entries: Sequence[Mapping[str, Any]], *, only: str | None = None) -> list[Finding]:
    """Return the agents whose short alerts go down with their HEARTBEAT_OK (heartbeat.md §13.1)."""
    counted: Counter[str] = Counter()
    for one in entries:
        if len(str(one.get("text") or "")) > _SHORT and only in (None, one.get("agentId")):
            counted[str(one.get("agentId"))] += int(one.get("times") or 1)
    return [
        Finding(
            severity=Severity.WARN,
            id="heartbeat.ack_swallows_text",
            what=f"{agent} said something beside HEARTBEAT_OK {times} times in a day, and none of"
            " it was sent",
            fix="engine inbox list --reason dropped; to have it sent:"
            " engine config set agents.defaults.heartbeat.ackMaxChars 0",
            agents=(agent,),
        )
        for agent, times in counted.items()
        if times >= _OFTEN
    ]


def _wrong(answer: Mapping[str, Any]) -> Iterator[Link]:
    for link in map(read, answer["links"]):
        wrong = link.state in (Standing.BROKEN, Standing.WARN) and is_act(link.fix)
        if wrong and link.code not in _PASSING:
            yield link


def _severity(link: Link) -> Severity:
    wished = link.code in _WISHED or (link.code is Code.TARGET and link.reason == "none")
    return Severity.WARN if wished or link.state is Standing.WARN else Severity.ERROR


def _words(findings: Sequence[Finding], errors: int, agents: int) -> Iterator[str]:
    for one in findings:
        whose = f" ({', '.join(one.agents)})" if len(one.agents) < agents else ""
        yield f"{one.severity}  {one.id}  {one.what}{whose}"
        yield f"       Fix: {one.fix}"
    warnings = len(findings) - errors
    yield (
        f"{errors} error{'s' * (errors != 1)}, {warnings} warning{'s' * (warnings != 1)}, 0 fixed"
    )
