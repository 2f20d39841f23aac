"""`engine heartbeat run`: a beat by hand, or a dry one (heartbeat.md §20, §25-4)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any, Final

import click

from engine.cli.ask import Line, gateway_options
from engine.cli.record import record_sentence
from engine.clock import SystemClock
from jobs.wallclock import MILLISECOND, zone

_GRACE: Final = timedelta(seconds=5)


@click.command("run", epilog="Example: engine heartbeat run --agent main --dry-run")
@click.option("--agent", "agent_id", metavar="ID", help="Another agent than the default one.")
@click.option("--dry-run", is_flag=True, help="Send and keep nothing; say what it comes to.")
@click.option("--prompt", is_flag=True, help="Print the prompt alone; no model is asked.")
@click.option("--no-deliver", is_flag=True, help="Keep what it says in the inbox of beats.")
@click.option("--wait", is_flag=True, help="Until it ends, and tell what it was.")
@gateway_options(timeout_ms=120_000)
def command(
    line: Line, agent_id: str | None, dry_run: bool, prompt: bool, no_deliver: bool, wait: bool
) -> int:
    """Run a beat now. It passes the active hours, an empty checklist and pauses.

    With --dry-run the same turn without any effect: prompt, tools, target, what the reply
    means and what would be sent. Its agent gets only tools that change nothing, and its model is
    asked; with --prompt it is not. Exit 1 if a gate stops it, or it fails, where that is told:
    with one of these or --wait.
    """
    params: dict[str, Any] = {"dryRun": dry_run or prompt, "ask": not prompt}
    params |= {"agentId": agent_id} if agent_id else {}
    params |= {"deliver": not no_deliver}
    params |= {"waitMs": line.timeout // MILLISECOND} if wait else {}
    told = line.call("heartbeat.run", params, timeout=line.timeout + _GRACE)
    line.show(told, lambda answer: "\n".join(_words(answer, line, prompt=prompt)))
    return 1 if told.get("runs") is False or told.get("outcome") == "failed" or _idle(told) else 0


def _idle(told: Mapping[str, Any]) -> bool:
    """Whether a beat that was waited for failed, or ended at a gate and asked no agent."""
    record = told.get("record") or {}
    stopped = record.get("status") == "skipped" and not record.get("preview")
    return stopped or record.get("status") == "failed"


def _words(told: Mapping[str, Any], line: Line, *, prompt: bool) -> Iterator[str]:
    if not told.get("dryRun"):
        yield _ran(told, line)
    elif not told["runs"]:
        yield f"{told['agentId']} would not run ({told['gate']}): {told['because']}."
    elif prompt:
        yield told["prompt"]
    else:
        yield from _rehearsed(told)


def _ran(told: Mapping[str, Any], line: Line) -> str:
    if not told["ended"]:
        return f"Asked {told['agentId']}. What came of it: engine heartbeat last"
    return record_sentence(told["record"], zone=zone(line.place.zone), now=SystemClock().now())


def _rehearsed(told: Mapping[str, Any]) -> Iterator[str]:
    """Say a dry run, part by part."""
    target = told["target"]
    where = f"{target['channel']} → {target.get('to')}" if target.get("channel") else "nowhere"
    yield f"Dry run of {told['agentId']}: nothing was sent, nothing is kept."
    yield f"Model: {told.get('model') or 'offline'}"
    withheld = f" (withheld: {', '.join(told['withheld'])})" if told["withheld"] else ""
    yield f"Tools: {', '.join(told['tools']) or 'none'}{withheld}"
    yield f"Target: {where}{'' if target.get('channel') else ': ' + str(target.get('because'))}"
    if told["outcome"] == "failed" and told.get("error"):
        yield f"The turn failed: {told['error']}"
    else:
        yield f"The reply means: {told['outcome']}"
        yield from (f"Would be sent: {text}" for text in told["wouldSend"])
        if told.get("reason"):
            yield f"Not sent ({told['reason']}): {told['text']}"
        if told.get("droppedText"):
            yield f"Dropped beside the token: {told['droppedText']}"
    yield "The prompt: engine heartbeat run --prompt"
