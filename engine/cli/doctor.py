"""`engine doctor`: what stands between the agents and the person (operations.md §10.1).

It looks at the way of messages, agent by agent, with the links of `engine why`, and at words
that reached nobody; what else is wrong with jobs `engine cron doctor` tells. It mends nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

import click

from engine.cli import at_rest
from engine.cli.ask import Line, gateway_options
from engine.cli.ending import dumped
from engine.cli.finding import Finding, Severity
from engine.cli.unheard import accounts, unheard
from engine.cli.why import commands as why
from engine.clock import SystemClock
from engine.why import Code, Link, Standing, is_act, read
from jobs.errors import EngineError
from jobs.wallclock import ms

ERROR: Final = 1  # exit status
# Those are as the config, the checklist or the agent wants it: worth a word, and no fault.
_WISHED: Final = (Code.HEARTBEAT, Code.CHECKLIST, Code.POLICY)
_PASSING: Final = (Code.WINDOW, Code.GATE, Code.REPLY)
# Of what passes by itself, what lasts: no beat asks the agent before tomorrow, or before it ends.
_LASTING: Final = ("budget-exhausted", "suspended", "idle-paused")

_LATELY: Final = timedelta(days=1)
_SHORT: Final = 20  # characters beside the token that are no more than a manner of speaking
_OFTEN: Final = 3


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
    findings += _of_words(line, agent_id)
    findings += _of_accounts(line, findings)
    findings.sort(key=lambda one: one.severity is not Severity.ERROR)
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


def _of_accounts(line: Line, found: Sequence[Finding]) -> list[Finding]:
    """Accounts that are switched on and do not work, but for those an agent's way has named."""
    try:
        answer = line.call("channels.status")
    except EngineError:
        return []
    return accounts(answer, named=" ".join(one.what for one in found if one.id[:8] == "channel."))


def _of_words(line: Line, only: str | None) -> list[Finding]:
    """Words nobody heard in the last day, where that can be told."""
    now = SystemClock().now()
    params = {"reason": "dropped", "state": "all", "sinceMs": ms(now - _LATELY), "limit": 1000}
    try:
        with at_rest.reading(line) as asked:
            dropped = list(asked.call("heartbeat.inbox", params).get("entries") or ())
            return [*unheard(asked, now, only), *swallowed(dropped, only=only)]
    except EngineError:
        return []  # why that is so is told by the links


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
            " it was sent (engine inbox list --reason dropped)",
            fix="engine config set agents.defaults.heartbeat.ackMaxChars 0",
            agents=(agent,),
        )
        for agent, times in counted.items()
        if times >= _OFTEN
    ]


def _wrong(answer: Mapping[str, Any]) -> Iterator[Link]:
    for link in map(read, answer["links"]):
        wrong = link.state in (Standing.BROKEN, Standing.WARN) and is_act(link.fix)
        if wrong and (link.code not in _PASSING or link.reason in _LASTING):
            yield link


def _severity(link: Link) -> Severity:
    if link.code is Code.CONFIG and link.reason == "invalid":
        return Severity.ERROR  # with it no gateway starts again
    wished = link.code in (*_WISHED, Code.GATE) or (
        link.code is Code.TARGET and link.reason == "none"
    )
    return Severity.WARN if wished or link.state is Standing.WARN else Severity.ERROR


def _words(findings: Sequence[Finding], errors: int, agents: int) -> Iterator[str]:
    for one in findings:
        whose = f" ({', '.join(one.agents)})" if 0 < len(one.agents) < agents else ""
        yield f"{one.severity}  {one.id}  {one.what}{whose}"
        yield f"       Fix: {one.fix}"
    warnings = len(findings) - errors
    yield (
        f"{errors} error{'s' * (errors != 1)}, {warnings} warning{'s' * (warnings != 1)}, 0 fixed"
    )
