"""`engine heartbeat tasks`: what HEARTBEAT.md asks for, when it comes, how it went (§20)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import click

from engine.cli import at_rest
from engine.cli.ask import Line
from engine.cli.render import one_line, relative, show_table
from engine.clock import SystemClock


def tasks(
    line: Line, agent_id: str | None, *, run: str | None, skip: str | None, check: bool
) -> int:
    """List the tasks, or run or leave out one; with ``check`` what is wrong ends with 1.

    With the gateway down they are listed from the store.
    """
    params = {"agentId": agent_id, "run": run, "skip": skip}
    given = {key: one for key, one in params.items() if one}
    if run or skip:
        told = line.call("heartbeat.tasks", given)
        line.show(told, _done_words)
        return 0 if told.get("ok") and told.get("ran") is not False else 1
    with at_rest.reading(line) as asked:
        told = asked.call("heartbeat.tasks", given)
    if line.as_json:
        line.show(told, str)
    else:
        _show(told)
    found = [one for agent in told["agents"] for one in agent["warnings"]]
    return 1 if check and found else 0


def _done_words(told: Mapping[str, Any]) -> str:
    if told.get("ran") is False:
        return f"Task {told['task']} was not run: {told.get('reason')}."
    if told.get("skipped") is not None:
        return f"Task {told['task']} is left out once."
    run = f" (run {told['runId']})" if told.get("runId") else ""
    return f"Task {told['task']} runs now{run}. See: engine heartbeat tasks"


def _show(told: Mapping[str, Any]) -> None:
    now = SystemClock().now()
    rows = [_row(agent, task, now) for agent in told["agents"] for task in agent["tasks"]]
    if rows:
        show_table(("AGENT", "TASK", "WHEN", "NEXT", "LAST", "RUNS", "HOW"), rows, keep=2)
    else:
        click.echo("No HEARTBEAT.md has a tasks: block.")
    for agent in told["agents"]:
        for warning in agent["warnings"]:
            click.echo(f"{agent['agentId']}: {one_line(warning)}")


def _row(agent: Mapping[str, Any], task: Mapping[str, Any], now: datetime) -> tuple[str, ...]:
    window = f", {task['window']}" if task.get("window") else ""
    last = task.get("lastStatus")
    return (
        str(agent["agentId"]),
        one_line(task["name"]),
        f"{task.get('schedule') or '-'}{window if task['kind'] == 'beat' else ''}",
        relative(task.get("nextAtMs"), now) if task["enabled"] else "off",
        f"{last} {relative(task.get('lastAtMs'), now)}" if last else "-",
        str(task["runs"]),
        "with the beat" if task["kind"] == "beat" else "its own job",
    )
