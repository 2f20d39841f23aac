"""`engine heartbeat`: the last beat, the history, who beats, on and off (heartbeat.md §20)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

import click

from engine.cli import kept, offline
from engine.cli.app import Group, here
from engine.cli.ask import Line, gateway_options
from engine.cli.heartbeat import (
    cost as heartbeat_cost,
    history as heartbeat_history,
    hold as heartbeat_hold,
    last as heartbeat_last,
    next as heartbeat_next,
    replay as heartbeat_replay,
    run as heartbeat_run,
    simulate as heartbeat_simulate,
    tasks as heartbeat_tasks,
)
from engine.cli.record import record_sentence
from engine.cli.render import duration, one_line, relative, show_table, way_words
from engine.cli.why import commands as why
from engine.clock import SystemClock
from engine.messages.fault import remedy
from jobs.wallclock import MILLISECOND, zone

_ON_ITS_WAY: Final = ("queued", "sending", "held")
_GRACE: Final = timedelta(seconds=5)
_FROM_AFAR: Final = ("url", "port", "token", "password")


@click.group(cls=Group, name="heartbeat", epilog="Example: engine heartbeat last")
def group() -> None:
    """Beats: the last one, the history, on and off."""


for _command in (
    heartbeat_history.history,
    heartbeat_history.slo,
    heartbeat_next.command,
    heartbeat_replay.command,
    heartbeat_run.command,
    heartbeat_simulate.command,
):
    group.add_command(_command)


@group.command(epilog="Example: engine heartbeat last --agent main --json")
@click.option("--agent", "agent_id", metavar="ID", help="One agent; without it the newest of all.")
@gateway_options()
@click.pass_context
def last(ctx: click.Context, line: Line, agent_id: str | None) -> int:
    """What the last beat did and why, in one sentence; works with the gateway down.

    Read from this machine's store. With --url or --port the gateway there is asked, and so is
    the gateway of this home if a server keeps its store.
    """
    asked_there = any(ctx.params.get(name) for name in _FROM_AFAR)
    paths = here(ctx).paths
    file = offline.database(paths)
    if file is not None and not asked_there and line.address.source != "env":
        wish = heartbeat_last.Wish(agent_id=agent_id, as_json=line.as_json)
        return heartbeat_last.answer(paths, file, wish)
    record = line.call("last-heartbeat", {"agentId": agent_id} if agent_id else {})
    line.show(record, lambda told: _last_words(told, line))
    return 0


def _last_words(record: Mapping[str, Any] | None, line: Line) -> str:
    if record is None:
        return "No heartbeat has run yet. Next: engine heartbeat list"
    return record_sentence(record, zone=zone(line.place.zone), now=SystemClock().now())


@group.command("explain", epilog="Example: engine heartbeat explain --agent main --at -2h")
@click.option("--agent", "agent_id", metavar="ID", help="Another agent than the default one.")
@click.option("--at", "moment", metavar="WHEN", help='Another instant: -2h, "yesterday 09:00" …')
@gateway_options()
def explain_silence(line: Line, agent_id: str | None, moment: str | None) -> int:
    """Why no message came; the same as `engine why`."""
    return why.explain(line, agent_id, moment)


@group.command(epilog="Example: engine heartbeat tasks --run inbox-triage")
@click.option("--agent", "agent_id", metavar="ID", help="One agent; without it all of them.")
@click.option("--run", metavar="NAME", help="Run this task now.")
@click.option("--skip", metavar="NAME", help="Leave this task out once.")
@click.option("--check", is_flag=True, help="End with 1 if anything in a file is wrong.")
@gateway_options()
def tasks(line: Line, agent_id: str | None, run: str | None, skip: str | None, check: bool) -> int:
    """The tasks of HEARTBEAT.md: when they come next, how they went, what is wrong in the file.

    A task with cron, model, target, budget or retry is a job of its own: engine cron runs.
    """
    return heartbeat_tasks.tasks(line, agent_id, run=run, skip=skip, check=check)


@group.command(epilog="Example: engine heartbeat test --agent main")
@click.option("--agent", "agent_id", metavar="ID", help="Another agent than the default one.")
@click.option("--dry-run", is_flag=True, help="Say where it would go, and send nothing.")
@gateway_options()
def test(line: Line, agent_id: str | None, dry_run: bool) -> int:
    """Send a marked message to where an alert would go, and wait for its receipt.

    No model is asked. Exit 1 if it goes nowhere or did not arrive, 5 if its outcome is not known
    in time.
    """
    return tested(line, {"dryRun": dry_run} | ({"agentId": agent_id} if agent_id else {}))


def tested(line: Line, asked: Mapping[str, Any]) -> int:
    """Ask for a test message, tell what became of it; returns the exit status."""
    params = {**asked, "timeoutMs": line.timeout // MILLISECOND}
    told = line.call("heartbeat.test", params, timeout=line.timeout + _GRACE)
    line.show(told, tested_words)
    if told["ok"]:
        return 0
    return 5 if (told.get("receipt") or {}).get("status") in _ON_ITS_WAY else 1


def tested_words(told: Mapping[str, Any]) -> str:
    """What became of a test message, and what to do about it."""
    route, what = told["route"], told.get("receipt") or {}
    agent = told["agentId"]
    if not route.get("channel"):
        why = route.get("because") or route.get("reason")
        return f"A message of {agent} goes nowhere: {why}. Fix: {told.get('fix')}"
    where = f"{way_words(route)} ({route.get('via')})"
    if not told["sent"]:
        return f"A message of {agent} would go to {where}. Nothing was sent."
    if told["ok"]:
        ids = ", ".join(map(str, what.get("messageIds") or ()))
        took = duration(what.get("latencyMs"))
        return f"Test message of {agent} delivered to {where} in {took}, receipt {ids}."
    return _not_arrived(where, route, what)


def _not_arrived(where: str, route: Mapping[str, Any], what: Mapping[str, Any]) -> str:
    kind = what.get("class") or what.get("reason")
    detail = f" ({kind}{': ' + str(what['detail']) if what.get('detail') else ''})" if kind else ""
    mends = remedy(str(kind), str(route["channel"]), str(route.get("accountId") or ""))
    if what["status"] in _ON_ITS_WAY:
        way_out = mends or "engine why"
        return f"The test message to {where} is still {what['status']}{detail}. Fix: {way_out}"
    way_out = mends or "engine channels status --probe"
    return f"The test message to {where}: {what['status']}{detail}. Fix: {way_out}"


@group.command("list", epilog="Example: engine heartbeat list")
@gateway_options()
def listing(line: Line) -> None:
    """Every agent: how often, the next beat, where its words would go, the last outcome."""
    answer = line.call("heartbeat.list")
    if line.as_json:
        line.show(answer, str)
        return
    beats = answer.get("heartbeats") or ()
    if not beats:
        click.echo("No agents.")
        return
    now = SystemClock().now()
    rows = [_beat_row(beat, now) for beat in beats]
    show_table(("AGENT", "EVERY", "NEXT", "TARGET", "LAST", "STATE"), rows, keep=1)
    for beat in beats:
        health = beat.get("routeHealth") or {}
        if health.get("state") == "failing":
            click.echo(f"{beat.get('agentId')}: its way fails: {one_line(health['because'])}")
        sign = beat.get("ping") or {}
        if sign.get("error"):
            why_not = f"{sign['error']} {one_line(sign.get('detail') or '')}".strip()
            click.echo(f"{beat.get('agentId')}: its ping fails: {why_not}")
        for warning in ((beat.get("last") or {}).get("file") or {}).get("warnings") or ():
            click.echo(f"{beat.get('agentId')}: {one_line(warning)}")


def _beat_row(beat: Mapping[str, Any], now: datetime) -> tuple[str, ...]:
    last_one = beat.get("last") or {}
    told = last_one.get("skipReason") or last_one.get("status")
    return (
        str(beat.get("agentId")),
        every_words(beat),
        relative(next_beat(beat), now),
        target_words(beat, now),
        f"{told} {relative(last_one.get('ts'), now)}" if told else "-",
        state_words(beat, now),
    )


def state_words(beat: Mapping[str, Any], now: datetime) -> str:
    """On, off or held, and until when."""
    if not beat.get("enabled"):
        return one_line(beat.get("because") or "off")
    held = beat.get("paused")
    if held:
        return f"paused, ends {relative(held['untilMs'], now)}" if held.get("untilMs") else "paused"
    if beat.get("suspended"):
        return "suspended"
    waits = beat.get("backoffUntilMs")
    return f"waits, {beat.get('failures')} failures, till {relative(waits, now)}" if waits else "on"


def every_words(beat: Mapping[str, Any]) -> str:
    """How often an agent beats, and if it rests, how often then."""
    told = str(beat.get("every") or duration(beat.get("everyMs")))
    slack = beat.get("adaptive") or {}
    return f"{told} (rests: {duration(slack['maxMs'])})" if slack.get("restsUntilMs") else told


def next_beat(beat: Mapping[str, Any]) -> int | None:
    """When it beats next; nobody knows for one that is off."""
    found = beat.get("nextDueAtMs") or beat.get("nextDueAt")
    return int(found) if found and beat.get("enabled") else None


def target_words(beat: Mapping[str, Any], now: datetime) -> str:
    """`last → telegram 42 (2h ago)`, or why it leads nowhere (operations.md §16 L12)."""
    wish, route = str(beat.get("target") or "-"), beat.get("route")
    if not isinstance(route, Mapping):
        return f"{wish} → {route}" if route else wish
    if not route.get("channel"):
        because = str(route.get("because") or route.get("reason") or "nothing")
        return because if because.startswith(f"{wish} ") else f"{wish} → {because}"
    account = route.get("accountId")
    whose = f"/{account}" if account not in (None, "", "default") else ""
    learnt = f" ({relative(route['learntAt'], now)})" if route.get("learntAt") else ""
    return f"{wish} → {route['channel']}{whose} {route.get('to') or ''}{learnt}"


group.add_command(kept.listing, "inbox")
group.add_command(kept.ack)
group.add_command(kept.snooze)
group.add_command(kept.feedback)


@group.command(epilog="Example: engine heartbeat enable main")
@click.argument("agent_id", metavar="[AGENT]", required=False)
@click.option("--every", metavar="SPAN", help="Also write how often into the agent's own block.")
@click.option("--target", metavar="TARGET", help="Also write where its alerts go: last, owner …")
@gateway_options()
def enable(line: Line, agent_id: str | None, every: str | None, target: str | None) -> None:
    """Switch beats on, all or one agent's; kept through restarts.

    With --every or --target the agent gets a block of its own, and what that means for the
    others and for the bill is shown before it is written.
    """
    given = (("every", every), ("target", target))
    block = {key: value for key, value in given if value is not None}
    if not block:
        switch(line, agent_id, on=True)
        return
    from engine.cli.heartbeat import enable as heartbeat_enable

    heartbeat_enable.enable(line, agent_id, block)


@group.command(epilog="Example: engine heartbeat disable main")
@click.argument("agent_id", metavar="[AGENT]", required=False)
@gateway_options()
def disable(line: Line, agent_id: str | None) -> None:
    """Switch beats off, all or one agent's; kept through restarts."""
    switch(line, agent_id, on=False)


def switch(line: Line, agent_id: str | None, *, on: bool) -> None:
    """Tell the gateway, and say what is so now."""
    params: dict[str, Any] = {"enabled": on}
    if agent_id is not None:
        params["agentId"] = agent_id
    answer = line.call("set-heartbeats", params)
    line.show(answer, lambda told: heartbeat_hold.switched(told, agent_id, on=on))


for _command in (*heartbeat_hold.COMMANDS, heartbeat_cost.cost):
    group.add_command(_command)
