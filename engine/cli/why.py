"""`engine why`: from the process to the receipt, and where the way is broken (operations.md §10.1).

Config, process and log-out are looked at from here; the rest the gateway tells, and where none
answers, the config and the store of this home.
"""

from __future__ import annotations

import getpass
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import click

from engine.cli import at_rest
from engine.cli.ask import Line, gateway_options
from engine.cli.ending import dumped
from engine.cli.place import Place, shown
from engine.cli.render import one_line
from engine.why import Code, Link, Standing, cause, fix_line, read
from jobs.errors import AccessRefused, ConfigInvalid, EngineError, GatewayDown, NotFound

_SIGNS: Final = {
    Standing.OK: ("✓", "ok"),
    Standing.BROKEN: ("✗", "NO"),
    Standing.WARN: ("!", "! "),
    Standing.WAITING: ("·", ".."),
    Standing.UNKNOWN: ("?", "? "),
}
_SYSTEMD: Final = Path("/run/systemd/system")
_LINGER: Final = Path("/var/lib/systemd/linger")


@click.command(epilog="Example: engine why --agent main --json")
@click.option("--agent", "agent_id", metavar="ID", help="Another agent than the default one.")
@gateway_options()
def command(line: Line, agent_id: str | None) -> int:
    """Why no message of an agent came: the first thing in the way, and all others.

    Looks at the whole way, from the config to the receipt; works with the gateway down and with
    a broken config. Exit 1 if something is broken.
    """
    return explain(line, agent_id)


def explain(line: Line, agent_id: str | None) -> int:
    """Print the answer; 1 if a link is broken."""
    outer, told = _looked(line, agent_id)
    chain = [*outer, *map(read, told["links"])]
    broken = cause(chain)
    answer = {
        "agentId": told["agentId"],
        "cause": broken.name if broken is not None else None,
        "sentence": sentence(str(told["agentId"]), chain),
        "links": [link.to_json() for link in chain],
        "fix": fix_line(chain) or None,
        "nextDueAtMs": told["nextDueAtMs"],
    }
    click.echo(dumped(answer) if line.as_json else _words(answer, chain))
    return 0 if broken is None else 1


def sentence(agent_id: str, chain: Sequence[Link]) -> str:
    """Say the first cause; if there is none, what it waits for."""
    if (broken := cause(chain)) is not None:
        return f"No proactive message of {agent_id} reaches you because {broken.what}."
    waits = next((link for link in chain if link.state is Standing.WAITING), None)
    return f"Nothing stands in the way of {agent_id}" + (f": {waits.what}." if waits else ".")


def _looked(line: Line, agent_id: str | None) -> tuple[list[Link], dict[str, Any]]:
    """What this command sees itself, and what the gateway or the store tells."""
    place, invalid = line.place, at_rest.config_fault(line.place)
    params = {"agentId": agent_id} if agent_id else {}
    try:
        told = line.call("heartbeat.explain", params)
    except NotFound:
        raise
    except EngineError as error:
        if not line.at_home:
            raise
        invalid, told = _from_store(place, params, invalid)
        return [*_outer(place, invalid, error)], told
    return [*_outer(place, invalid, None)], told


def _from_store(
    place: Place, params: Mapping[str, Any], invalid: EngineError | None
) -> tuple[EngineError | None, dict[str, Any]]:
    """What the home tells, and what is wrong with its config: perhaps only a secret is missing."""
    if invalid is None:
        try:
            return None, dict(at_rest.Store(place).call("heartbeat.explain", params))
        except ConfigInvalid as error:
            invalid = error
    return invalid, at_rest.told_without_config(place, params.get("agentId"))


def _outer(place: Place, invalid: EngineError | None, down: EngineError | None) -> Iterator[Link]:
    yield _config(place, invalid, running=down is None)
    yield _gateway(place, down)
    yield _logout(running=down is None)


def _config(place: Place, invalid: EngineError | None, *, running: bool) -> Link:
    file = shown(place.paths.config, place.paths)
    if invalid is not None:
        listed = invalid.detail.get("issues")
        issues = listed if isinstance(listed, list) and listed else [{"message": invalid.what}]
        return Link(
            code=Code.CONFIG,
            state=Standing.BROKEN,
            reason="invalid",
            what=f"the config {file} cannot be used: {_issue(issues[0])}",
            fix="engine config validate",
        )
    if place.paths.config.is_file():
        return Link(code=Code.CONFIG, state=Standing.OK, what=f"{file} loads")
    return Link(
        code=Code.CONFIG,
        state=Standing.WARN if running else Standing.BROKEN,
        reason="missing",
        what=f"there is no config {file}",
        fix="engine setup",
    )


def _issue(issue: Mapping[str, Any]) -> str:
    where = f"line {issue['line']}: " if issue.get("line") else ""
    return where + one_line(issue.get("message") or "")


def _gateway(place: Place, down: EngineError | None) -> Link:
    if down is None:
        return Link(code=Code.GATEWAY, state=Standing.OK, what="the gateway runs and answers")
    if isinstance(down, AccessRefused):
        reason, what = "auth", f"the gateway refuses this command ({down.why or down.what})"
    elif isinstance(down, GatewayDown) and place.owner is None:
        reason, what = "stopped", f"the gateway does not run{_last_exit(place)}"
    else:
        reason, what = "unreachable", f"the gateway does not answer ({down.why or down.what})"
    return Link(
        code=Code.GATEWAY,
        state=Standing.BROKEN,
        reason=reason,
        what=what,
        fix=f"{place.program} gateway" if reason == "stopped" else down.fix,
    )


def _last_exit(place: Place) -> str:
    """How the last one ended, where it left word."""
    try:
        told = json.loads(place.paths.last_exit.read_text("utf-8"))
    except (OSError, ValueError):
        return ""
    said = told.get("sentence") if isinstance(told, Mapping) else None
    return f" ({said})" if said else ""


def _logout(*, running: bool) -> Link:
    """Whether a user's service outlives the log-out: systemd ends it unless lingering is on."""
    if not _SYSTEMD.exists():
        return Link(
            code=Code.LOGOUT, state=Standing.UNKNOWN, what="this machine has no systemd to ask"
        )
    user = getpass.getuser()
    if os.geteuid() == 0 or (_LINGER / user).exists():
        return Link(
            code=Code.LOGOUT, state=Standing.OK, what="services of this user survive logout"
        )
    return Link(
        code=Code.LOGOUT,
        state=Standing.WARN if running else Standing.BROKEN,
        reason="linger-off",
        what=f"services of {user} end when {user} logs out (lingering is off)",
        fix=f"loginctl enable-linger {user}",
    )


def _words(answer: Mapping[str, Any], chain: Sequence[Link]) -> str:
    fancy = (sys.stdout.encoding or "ascii").lower().startswith("utf")
    width = max(len(link.code) for link in chain)
    lines = [str(answer["sentence"])]
    for number, link in enumerate(chain, 1):
        sign = _SIGNS[link.state][0 if fancy else 1]
        lines.append(f"  {sign} {number:2} {link.code:{width}}  {link.what}")
        if link.fix and link.state in (Standing.BROKEN, Standing.WARN):
            lines.append(f"       {'':{width}}  Fix: {link.fix}")
    if answer["fix"]:
        lines.append(f"Fix all: {answer['fix']}")
    return "\n".join(lines)
