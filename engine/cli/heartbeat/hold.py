"""`engine heartbeat pause`, `resume`: beats held for a while (heartbeat.md §20)."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import click

from engine.cli.ask import Line, gateway_options
from engine.cli.render import stamp
from engine.clock import SystemClock
from jobs.duration import parse_duration
from jobs.errors import InvalidInput, UsageError
from jobs.moment import parse_moment
from jobs.wallclock import ms, zone

_HOUR: Final = re.compile(r"[\d:]+")


@click.command(epilog="Example: engine heartbeat pause --for 3d --note holidays")
@click.argument("agent_id", metavar="[AGENT]", required=False)
@click.option("--for", "span", metavar="SPAN", help="It goes on by itself after this: 2h, 3d.")
@click.option("--until", metavar="WHEN", help="It goes on by itself then: 18:00, 2026-12-27.")
@click.option("--note", metavar="TEXT", default="", help="Why; it stands on every slot.")
@gateway_options()
def pause(line: Line, agent_id: str | None, span: str | None, until: str | None, note: str) -> None:
    """Hold beats, all or one agent's; kept through restarts and reloads.

    Each slot is recorded with the pause as its reason. Events and `engine system event` still
    wake the agent.
    """
    params: dict[str, Any] = {"note": note}
    if agent_id is not None:
        params["agentId"] = agent_id
    if (end := _end(line, span, until)) is not None:
        params["untilMs"] = end
    answer = line.call("heartbeat.pause", params)
    line.show(answer, lambda told: _paused(told, line))


def _end(line: Line, span: str | None, until: str | None) -> int | None:
    if span is not None and until is not None:
        raise UsageError("two ends were given", fix="give --for or --until")
    now = SystemClock().now()
    if span is not None:
        return ms(now + parse_duration(span))
    return None if until is None else ms(_instant(until, now, line.place.zone))


def _instant(until: str, now: datetime, tz: str) -> datetime:
    """An instant to come, as people write it; an hour of the day that is past is tomorrow's."""
    try:
        found = parse_moment(until, now=now, tz=tz)
        if found <= now and _HOUR.fullmatch(until.strip()):
            return parse_moment(f"tomorrow {until}", now=now, tz=tz)
    except InvalidInput as error:
        raise UsageError(
            f"--until {until} cannot be read",
            why=error.why,
            fix='write it like 18:00, "tomorrow 09:00" or 2026-12-27, or use --for 3d',
        ) from error
    return found


def _paused(told: Mapping[str, Any], line: Line) -> str:
    where = zone(line.place.zone)
    end = told.get("untilMs")
    until = f" until {stamp(end, where)} ({where.key})" if end else ""
    agent = told.get("agentId")
    back = "" if end else f" Resume: engine heartbeat resume{f' {agent}' if agent else ''}"
    return f"{_whose(agent)} paused{until}.{back}"


@click.command(epilog="Example: engine heartbeat resume main")
@click.argument("agent_id", metavar="[AGENT]", required=False)
@gateway_options()
def resume(line: Line, agent_id: str | None) -> None:
    """Let paused beats go on: one agent's, or every pause there is."""
    params = {"agentId": agent_id} if agent_id is not None else {}
    line.show(line.call("heartbeat.resume", params), _resumed)


def _resumed(told: Mapping[str, Any]) -> str:
    whose = _whose(told.get("agentId"))
    if told.get("stillPaused"):
        return f"{whose}: still paused with all others. To end that: engine heartbeat resume"
    return f"{whose} resumed." if told.get("resumed") else f"{whose}: not paused."


def switched(told: Mapping[str, Any], agent_id: str | None, *, on: bool) -> str:
    """Say what is so after `enable` and `disable`: what was switched on may be off all the same."""
    said, off = f"{_whose(agent_id)}: {'on' if on else 'off'}", told.get("stillOff") or []
    if not off:
        return f"{said}."
    if agent_id is not None:
        return f"{said}, but those of all agents are off. Fix: engine heartbeat enable"
    fix = " && ".join(f"engine heartbeat enable {shlex.quote(agent)}" for agent in off)
    return f"{said}, but switched off by name: {', '.join(off)}. Fix: {fix}"


def _whose(agent_id: object) -> str:
    return f"Heartbeat of {agent_id}" if agent_id else "Heartbeats of all agents"


COMMANDS: Final = (pause, resume)
