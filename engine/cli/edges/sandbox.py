"""`engine sandbox explain`: which tools an agent has, by which rule, and where commands run.

operations.md §13.2, §13.3. Read from the config: no gateway is needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from engine.cli import at_rest
from engine.cli.app import Group, here
from engine.cli.ending import dumped
from engine.cli.place import Place
from engine.cli.render import show_table
from jobs.errors import NotFound


@click.group(cls=Group, name="sandbox", epilog="Example: engine sandbox explain")
def group() -> None:
    """Which tools agents have, and where what they run is run."""


@group.command(epilog="Example: engine sandbox explain --agent main")
@click.option("--agent", "agent_id", metavar="ID", help="The default one otherwise.")
@click.option("--session", metavar="KEY", help="The agent of this session.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def explain(ctx: click.Context, agent_id: str | None, session: str | None, as_json: bool) -> None:
    """Mode, each tool with the rule that withholds it, and the key to change."""
    found = _explained(here(ctx), agent_id, session)
    if as_json:
        click.echo(dumped(found))
        return
    click.echo(f"Agent {found['agentId']} (model {found['model'] or 'offline'})")
    click.echo(f"Sandbox: {found['sandbox']['mode']}. {found['sandbox']['says']}")
    click.echo(f"Commands: {found['exec']['says']}")
    click.echo(f"Elevated: {found['elevated']['says']}")
    rows = [
        (one["tool"], "yes" if one["allowed"] else "no", one["because"]) for one in found["tools"]
    ]
    show_table(("TOOL", "ALLOWED", "BECAUSE"), rows, keep=2)
    click.echo(f"Change with: {found['change']}")


def _explained(place: Place, agent_id: str | None, session: str | None) -> dict[str, Any]:
    from engine import sessions
    from engine.decisions.tool_policy import BUILT_IN
    from engine.roster.profiles import roster_of

    config = at_rest.loaded(place).config
    roster = roster_of(config, place.paths, place.zone)
    wanted = agent_id or sessions.agent_of(session or "", default_agent=roster.default_id)
    if not roster.knows(wanted):
        known = ", ".join(sorted(roster.agents))
        raise NotFound(
            f"there is no agent {wanted}", why=f"have: {known}", fix="engine heartbeat list"
        )
    agent = roster.agent(wanted)
    asked = config.tools.exec
    provider = (agent.model or "").partition("/")[0]
    tools = []
    for tool in sorted(BUILT_IN):
        because = agent.tools.objects(tool, provider)
        if not because and tool in ("exec", "process") and asked.security == "deny":
            because = "tools.exec.security is deny"
        tools.append({"tool": tool, "allowed": not because, "because": because or "-"})
    return {
        "agentId": agent.agent_id,
        "model": agent.model,
        "sandbox": {"mode": agent.sandbox, "says": _sandbox_words(agent.sandbox)},
        "exec": exec_policy(place),
        "elevated": {"enabled": False, "says": "not built in; tools.elevated has no effect"},
        "tools": tools,
        "change": "engine config set tools.deny[] '\"write\"'",
    }


def exec_policy(place: Place) -> dict[str, Any]:
    """What `tools.exec` lets agents run, in the keys of the config and in words."""
    asked = at_rest.loaded(place).config.tools.exec
    return {
        "security": asked.security,
        "ask": asked.ask,
        "host": asked.host,
        "safeBins": list(asked.safe_bins),
        "says": _exec_words(asked.security, asked.ask, asked.host),
    }


def _sandbox_words(mode: str) -> str:
    if mode == "off":
        return "What agents run is run on this machine, as the gateway's user."
    return "There is no sandbox here: exec refuses, and nothing runs on the host instead."


_SECURITY: Mapping[str, str] = {
    "deny": "none may run (tools.exec.security is deny)",
    "allowlist": "single programs of tools.exec.safeBins, without a shell",
    "full": "every command, by /bin/sh",
}
_ASK: Mapping[str, str] = {
    "off": "nobody is asked",
    "on-miss": "a person is asked about what is not on the list",
    "always": "a person is asked each time",
}


def _exec_words(security: str, ask: str, host: str) -> str:
    if host not in ("auto", "gateway"):
        return f"none may run: tools.exec.host {host} is configured but not available"
    said = _SECURITY[security]
    return said if security == "deny" else f"{said}; {_ASK[ask]}"
