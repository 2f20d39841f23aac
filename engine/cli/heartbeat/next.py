"""`engine heartbeat next`: slots to come, each with the gate that would stop it (heartbeat.md §20).

With the gateway down it is worked out from the store and the config.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

import click

from engine.cli import at_rest
from engine.cli.ask import Line, gateway_options
from engine.cli.render import duration, relative, table, width
from jobs.wallclock import at, zone


@click.command("next", epilog="Example: engine heartbeat next --agent main --count 48")
@click.option("--agent", "agent_id", metavar="ID", help="One agent; without it all.")
@click.option(
    "--count",
    "--n",
    "-n",
    type=click.IntRange(1, 200),
    default=10,
    show_default=True,
    help="How many slots of each.",
)
@gateway_options()
def command(line: Line, agent_id: str | None, count: int) -> None:
    """The coming beats: when, whether anything known stands in the way, what they may cost.

    Pauses, active hours, budgets, tasks and an empty checklist are known ahead; whether the
    agent will be busy is not. The same gate again and again is one line.
    """
    params: dict[str, Any] = {"count": count, **({"agentId": agent_id} if agent_id else {})}
    with at_rest.reading(line) as asked:
        told = asked.call("heartbeat.next", params, timeout=line.timeout)
    line.show(told, lambda answer: "\n".join(lines(answer)))


def lines(told: Mapping[str, Any]) -> Iterator[str]:
    """Say what comes, agent by agent."""
    for n, agent in enumerate(told["agents"]):
        if n:
            yield ""
        yield from _agent(agent, told["fromMs"])


def _agent(agent: Mapping[str, Any], now_ms: int) -> Iterator[str]:
    name = agent["agentId"]
    if not agent["slots"]:
        yield f"{name} has no beats to come: {agent.get('because') or 'none is planned'}."
        return
    hours = f", active {agent['activeHours']}" if agent.get("activeHours") else ""
    yield f"{name}: every {duration(agent['everyMs'])}{hours} (times in {agent['tz']})"
    rows = [_row(list(same)) for _, same in groupby(agent["slots"], key=_alike)]
    yield table(("WHEN", "GATE", ""), rows, room=max(width(), 60))
    yield from _first(agent, now_ms)
    cost = agent.get("cost")
    if cost and cost["beats"]:
        usd = "" if cost["usd"] is None else f", ${cost['usd']:.4f}"
        yield (
            f"{_many(round(cost['beats']), 'turn')} would take about {cost['tokens']:.0f}"
            f" tokens{usd}, as the last ones did."
        )
    yield from (f"Note: {note}" for note in agent["notes"])


def _first(agent: Mapping[str, Any], now_ms: int) -> Iterator[str]:
    first = agent["nextRunMs"]
    if first is None:
        yield "None that runs is in sight. Next: engine why"
    elif not any(slot["runs"] for slot in agent["slots"]):
        local = at(first).astimezone(zone(agent["tz"]))
        yield f"The next that runs: {local:%a %Y-%m-%d %H:%M} ({relative(first, at(now_ms))})."


def _alike(slot: Mapping[str, Any]) -> tuple[Any, ...]:
    """What neighbours have in common that are told as one; those that run are told each."""
    if slot["runs"]:
        return ("runs", slot["atMs"])
    return (slot["gate"], slot.get("note"))


def _row(same: Sequence[Mapping[str, Any]]) -> tuple[str, str, str]:
    first, last = same[0], same[-1]
    when = _wall(first)
    if len(same) > 1:
        when = f"{when} to {_wall(last)[-8:]} ({len(same)})"
    said = [first.get("because") or ", ".join(first.get("tasks") or ()), first.get("note")]
    note = "; ".join(part for part in said if part)
    return when, "runs" if first["runs"] else str(first["gate"]), note or " "


def _wall(slot: Mapping[str, Any]) -> str:
    return str(slot["local"]).replace("T", " ")


def _many(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
