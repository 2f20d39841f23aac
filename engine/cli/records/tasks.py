"""`engine tasks`: runs of jobs, under the name newer clients have for them (operations.md §1.1)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import click

from engine.cli.app import Group
from engine.cli.ask import Line, gateway_options
from engine.cli.ending import dumped
from engine.cli.render import facts, one_line, relative, show_table, stamp
from engine.clock import SystemClock
from jobs.errors import EngineError, NotFound
from jobs.wallclock import zone

_STATES: Final = ("running", "succeeded", "failed", "cancelled")


@click.group(cls=Group, name="tasks", epilog="Example: engine tasks list --status failed")
def group() -> None:
    """Runs of jobs: what runs, what became of it; engine cron runs tells more."""


@group.command("list", epilog="Example: engine tasks list --status running")
@click.option("--status", type=click.Choice(_STATES), help="Only these.")
@click.option("--agent", "agent_id", metavar="ID", help="One agent's.")
@click.option("--limit", type=click.IntRange(1, 200), default=20, show_default=True)
@gateway_options()
def listing(line: Line, status: str | None, agent_id: str | None, limit: int) -> None:
    """The newest runs."""
    wanted = {"status": status, "agentId": agent_id, "limit": limit}
    answer = line.call("tasks.list", {key: value for key, value in wanted.items() if value})
    if line.as_json:
        click.echo(dumped(answer))
        return
    now = SystemClock().now()
    rows = [
        (
            one["id"],
            one.get("title") or "-",
            one["status"],
            relative(one.get("createdAt"), now),
            one_line(one.get("error") or one.get("terminalSummary") or "", 60),
        )
        for one in answer.get("tasks") or ()
    ]
    if rows:
        show_table(("ID", "JOB", "STATUS", "BEGAN", "WHAT CAME OF IT"), rows, keep=1)
    else:
        click.echo("No run.")


@group.command(epilog="Example: engine tasks show 01a2b3c4d5e6f708192a3b4c")
@click.argument("ident", metavar="ID")
@gateway_options()
def show(line: Line, ident: str) -> None:
    """One run."""
    try:
        answer = line.call("tasks.get", {"taskId": ident})
    except EngineError as error:
        if "task not found" not in str(error):
            raise
        raise NotFound(f"there is no run {ident}", fix="engine tasks list") from error
    line.show(answer, lambda told: _words(told["task"], line))


@group.command(epilog="Example: engine tasks cancel 01a2b3c4d5e6f708192a3b4c")
@click.argument("ident", metavar="ID")
@gateway_options()
def cancel(line: Line, ident: str) -> int:
    """End a run that goes on."""
    answer = line.call("tasks.cancel", {"taskId": ident})
    if not answer.get("found"):
        raise NotFound(f"there is no run {ident}", fix="engine tasks list --status running")
    line.show(
        answer,
        lambda told: (
            "Cancelled." if told["cancelled"] else str(told.get("reason") or "It is over.")
        ),
    )
    return 0 if answer["cancelled"] else 1


def _words(task: Mapping[str, Any], line: Line) -> str:
    where = zone(line.place.zone)
    return facts(
        {
            "Run": task["id"],
            "Job": task.get("title") or task.get("sourceId") or "-",
            "Agent": task.get("agentId") or "-",
            "Status": task["status"],
            "Began": stamp(task.get("createdAt"), where),
            "Ended": stamp(task.get("endedAt"), where),
            "What came of it": task.get("error") or task.get("terminalSummary") or "-",
        }
    )
