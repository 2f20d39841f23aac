"""`engine inbox`: what arrived on this machine, and what arrived nowhere.

channels.md §13 (the local inbox), heartbeat.md §25 row 11 (what was not delivered; its
commands are `engine.cli.kept`).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from threading import Event as Pause
from typing import Any, Final

import click

from engine.cli import at_rest, kept
from engine.cli.app import Group
from engine.cli.ask import Line, gateway_options
from engine.cli.ending import dumped
from engine.cli.render import plain, stamp
from gateway.client import Client
from jobs.errors import GatewayDown, Suspended
from jobs.wallclock import zone

_LOOK: Final = timedelta(seconds=1)  # how often a followed inbox is looked at when all is quiet
_STIRS: Final = frozenset({"chat", "cron", "heartbeat"})  # after these something may have arrived


@click.group(cls=Group, invoke_without_command=True, epilog="Example: engine inbox --follow")
@click.option("--follow", is_flag=True, help="Go on printing what arrives; Ctrl-C ends it.")
@click.option("--unseen", is_flag=True, help="Only what was not acknowledged yet.")
@click.option("--ack", is_flag=True, help="Mark what is printed as seen.")
@click.option("--agent", "agent_id", metavar="ID", help="One agent's messages.")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True)
@gateway_options()
@click.pass_context
def group(
    ctx: click.Context,
    line: Line,
    follow: bool,
    unseen: bool,
    ack: bool,
    agent_id: str | None,
    limit: int,
) -> None:
    """What arrived on this machine, oldest first; its commands: what arrived nowhere.

    Everything an agent said that was held back, refused or lost is kept with its reason:
    `engine inbox list`.
    """
    if ctx.invoked_subcommand is not None:
        return
    params: dict[str, Any] = {"limit": limit, "unseen": unseen}
    if agent_id:
        params["agentId"] = agent_id
    if not (follow or ack):  # only read: that works with the gateway down
        with at_rest.reading(line) as asked:
            _listed(line, asked.call("inbox.list", params, timeout=line.timeout), unseen=unseen)
        return
    with line.open() as client:
        answer = client.call("inbox.list", params)
        letters = [*reversed(answer.get("messages") or ())]
        if follow:
            _show(line, letters)
        else:
            _listed(line, answer, unseen=unseen, acked=True)
        _ack(client, letters, wanted=ack)
        if follow:
            _Follower(line, params, letters, ack=ack).go_on(client)


kept.join(group)


def _listed(line: Line, answer: Mapping[str, Any], *, unseen: bool, acked: bool = False) -> None:
    """A page, and how much of all there is nobody has acknowledged."""
    if line.as_json:
        click.echo(dumped(answer))
        return
    letters = [*reversed(answer.get("messages") or ())]
    if not letters:
        click.echo("Nothing unseen." if unseen else "The inbox is empty.")
    _show(line, letters)
    if letters and (count := answer.get("unseen")) and not acked:
        click.echo(f"({count} unseen; engine inbox --unseen --ack marks them as seen)")


def _show(line: Line, letters: list[Mapping[str, Any]]) -> None:
    """One message a line; JSON lines when it is followed by a program."""
    where = zone(line.place.zone)
    for letter in letters:
        if line.as_json:
            click.echo(json.dumps(letter, ensure_ascii=False))
            continue
        head = f"{stamp(letter_ms(letter), where)} {letter.get('agentId') or 'engine'}"
        kind = f" ({letter['kind']})" if letter.get("kind") else ""
        click.echo(f"{head}{kind}: {plain(letter.get('text') or '')}")


def letter_ms(letter: Mapping[str, Any]) -> int | None:
    """When a message arrived."""
    at = next((letter[key] for key in ("ts", "at", "atMs") if letter.get(key)), None)
    return int(at) if at is not None else None


def _ack(client: Client, letters: list[Mapping[str, Any]], *, wanted: bool) -> None:
    ids = [str(letter["id"]) for letter in letters]
    if wanted and ids:
        client.call("inbox.ack", {"ids": ids})


class _Follower:
    """Prints what arrives until the person has had enough, whatever becomes of the gateway."""

    def __init__(
        self,
        line: Line,
        params: Mapping[str, Any],
        letters: list[Mapping[str, Any]],
        *,
        ack: bool,
    ) -> None:
        self._line = line
        self._params = params
        self._ack = ack
        self._printed = {letter["id"] for letter in letters}
        self._newest = letters[-1]["id"] if letters else None

    def go_on(self, client: Client) -> None:
        """Follow over this connection, and over a new one each time the gateway comes back."""
        self._until_it_leaves(client)
        while True:
            Pause().wait(_LOOK.total_seconds())
            self._line.place.__dict__.pop("owner", None)  # the next one may have another port
            with suppress(GatewayDown), self._line.open() as again:
                sys.stderr.write("The gateway is back.\n")
                self._until_it_leaves(again)

    def _until_it_leaves(self, client: Client) -> None:
        try:
            while True:
                next(client.events(_STIRS, timeout=_LOOK), None)
                self._look(client)
        except GatewayDown as down:
            sys.stderr.write(f"The gateway has left; waiting for it ({down.why or down.what}).\n")

    def _look(self, client: Client) -> None:
        after = {} if self._newest is None else {"after": self._newest}
        try:
            answer = client.call("inbox.list", {**self._params, **after})
        except Suspended:
            return  # held by its host for a moment: nothing arrives meanwhile
        fresh = [m for m in reversed(answer.get("messages") or ()) if m["id"] not in self._printed]
        _show(self._line, fresh)
        sys.stdout.flush()
        _ack(client, fresh, wanted=self._ack)
        self._printed |= {letter["id"] for letter in fresh}
        self._newest = fresh[-1]["id"] if fresh else self._newest
