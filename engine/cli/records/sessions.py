"""`engine sessions`: conversations as the gateway keeps them (operations.md §1.1, §1.2)."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import click

from engine.cli.app import Group
from engine.cli.ask import Line, gateway_options
from engine.cli.ending import dumped
from engine.cli.render import facts, plain, relative, show_table, stamp
from engine.clock import SystemClock
from jobs.errors import NotFound, UsageError
from jobs.wallclock import zone


@click.group(cls=Group, name="sessions", epilog="Example: engine sessions list")
def group() -> None:
    """Conversations: list, read, export, begin anew."""


@group.command("list", epilog="Example: engine sessions list --agent main")
@click.option("--agent", "agent_id", metavar="ID", help="One agent's.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@gateway_options()
def listing(line: Line, agent_id: str | None, limit: int) -> None:
    """Every conversation, the newest first."""
    asked = {"limit": limit, **({"agentId": agent_id} if agent_id else {})}
    answer = line.call("sessions.list", asked)
    if line.as_json:
        click.echo(dumped(answer))
        return
    found = answer.get("sessions") or ()
    if not found:
        click.echo("No conversation yet. Begin one: engine chat")
        return
    now = SystemClock().now()
    rows = [
        (
            one["key"],
            one.get("agentId") or "-",
            one.get("model") or "-",
            one.get("totalTokens") or 0,
            relative(one.get("updatedAt"), now),
        )
        for one in found
    ]
    show_table(("SESSION", "AGENT", "MODEL", "TOKENS", "UPDATED"), rows, keep=1)
    if answer.get("hasMore"):
        click.echo(f"({answer['totalCount']} in all; --limit)")


@group.command(epilog="Example: engine sessions show main --limit 10")
@click.argument("key")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True)
@gateway_options()
def show(line: Line, key: str, limit: int) -> None:
    """One conversation: what is known of it, and what was said last."""
    with line.open() as client:
        found = client.call("sessions.describe", {"key": key}).get("session")
        if found is None:
            raise _unknown(key)
        said = client.call("chat.history", {"sessionKey": key, "limit": limit})
    answer = {"session": found, "messages": said.get("messages") or []}
    line.show(answer, lambda told: _words(told, line))


@group.command(epilog="Example: engine sessions export main --output main.jsonl")
@click.argument("key")
@click.option("--output", type=click.Path(dir_okay=False), metavar="FILE", help="0600; or stdout.")
@gateway_options(json=False)
def export(line: Line, key: str, output: str | None) -> None:
    """Everything that was said in one, a JSON object a line, oldest first."""
    with line.open() as client:
        found = client.call("sessions.describe", {"key": key}).get("session")
        if found is None:
            raise _unknown(key)
        said = client.call("chat.history", {"sessionKey": key, "limit": 1000})
    rows = [{"type": "session", **found}]
    rows += [{"type": "message", **one} for one in said.get("messages") or ()]
    text = "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)
    if output is None:
        click.echo(text, nl=False)
        return
    handle = os.open(Path(output), os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    sys.stderr.write(f"{len(rows) - 1} messages written to {output}\n")


@group.command(epilog="Example: engine sessions reset main")
@click.argument("key")
@gateway_options()
def reset(line: Line, key: str) -> None:
    """Let one begin anew: its agent remembers nothing of what was said. Jobs and routes stay."""
    _refuse_stranger(line, key)
    answer = line.call("sessions.reset", {"key": key, "idempotencyKey": str(uuid4())})
    line.show(answer, lambda told: f"{told['key']} begins anew.")


@group.command(epilog="Example: engine sessions compact main --keep 100")
@click.argument("key")
@click.option("--keep", type=click.IntRange(1, 100_000), default=200, show_default=True)
@gateway_options()
def compact(line: Line, key: str, keep: int) -> None:
    """Take the older lines out of one."""
    _refuse_stranger(line, key)
    params = {"key": key, "maxLines": keep, "idempotencyKey": str(uuid4())}
    answer = line.call("sessions.compact", params)
    line.show(answer, lambda told: f"{told['key']}: {told.get('removed', 0)} lines taken out.")


@group.command(epilog="Example: engine sessions delete agent:main:webchat:1 --yes")
@click.argument("key")
@click.option("--yes", is_flag=True, help="Do not ask.")
@gateway_options()
def delete(line: Line, key: str, yes: bool) -> None:
    """Delete one, with all that was said. A main session can only be reset."""
    _refuse_stranger(line, key)
    if not yes and not sys.stdin.isatty():
        raise UsageError("nothing was deleted", fix=f"engine sessions delete {key} --yes")
    if not yes:
        click.confirm(f"Delete {key} and all that was said in it?", abort=True, err=True)
    answer = line.call("sessions.delete", {"key": key, "idempotencyKey": str(uuid4())})
    line.show(answer, lambda told: f"{told['key']} is gone.")


def _refuse_stranger(line: Line, key: str) -> None:
    if line.call("sessions.describe", {"key": key}).get("session") is None:
        raise _unknown(key)


def _unknown(key: str) -> NotFound:
    return NotFound(f"there is no session {key}", fix="engine sessions list")


def _words(told: Mapping[str, Any], line: Line) -> str:
    from engine.cli.chat import text_of

    about, where = told["session"], zone(line.place.zone)
    rows: dict[str, object] = {
        "Session": about["key"],
        "Agent": about.get("agentId") or "-",
        "Model": about.get("model") or "the agent's own",
        "Tokens": f"{about.get('inputTokens', 0)} in, {about.get('outputTokens', 0)} out",
        "Updated": stamp(about.get("updatedAt"), where),
    }
    said = [
        f"{stamp(one.get('timestamp'), where)} {one.get('role')}> "
        + plain(text_of(one.get("content")))
        for one in told["messages"]
    ]
    return "\n".join([facts(rows), *said])
