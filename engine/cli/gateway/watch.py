"""`engine gateway watch`: what happens, as it happens, over restarts (operations.md §1.6)."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from difflib import get_close_matches
from threading import Event as Pause
from typing import Any, Final

import click

from engine.cli.ask import Line, gateway_options
from engine.cli.render import one_line, stamp
from engine.clock import SystemClock
from gateway.client import Client, ServerEvent
from jobs.errors import GatewayDown, UsageError
from jobs.wallclock import ms, zone

_AGAIN: Final = timedelta(seconds=1)  # how often a gateway that left is looked for
_KEPT: Final = frozenset({"heartbeat", "cron"})  # told again by `events.since`
_WIDTH: Final = 160


@click.command(epilog="Example: engine gateway watch --events cron,heartbeat")
@click.option("--events", "kinds", metavar="KINDS", help="Only these, with commas; else all.")
@click.option("--count", type=click.IntRange(1), help="End after so many.")
@gateway_options()
def watch(line: Line, kinds: str | None, count: int | None) -> None:
    """Print events as they come; Ctrl-C ends it.

    It waits for a gateway that restarts, and tells beats and runs that were missed meanwhile.
    """
    wanted = tuple(dict.fromkeys(one.strip() for one in (kinds or "").split(",") if one.strip()))
    if kinds is not None and not wanted:
        raise UsageError("--events was not understood", why="it names none", fix="--events cron")
    watcher = _Watcher(line, wanted, count)
    with line.open(caps=watcher.caps) as client:
        _refuse_unknown(client, wanted)
        watcher.go_on(client)


def _refuse_unknown(client: Client, wanted: tuple[str, ...]) -> None:
    known = [str(name) for name in client.hello.get("features", {}).get("events", ())]
    for name in wanted:
        if known and name not in known:
            near = get_close_matches(name, known, 1)
            raise UsageError(
                f"unknown event {name!r}",
                fix=f"--events {near[0]}" if near else f"have: {', '.join(sorted(known))}",
            )


@dataclass(slots=True)
class _Watcher:
    """Prints until there were enough, or the person has had enough."""

    line: Line
    wanted: tuple[str, ...]
    count: int | None
    printed: int = 0
    cursor: int | None = None
    _clock: SystemClock = field(default_factory=SystemClock)

    @property
    def caps(self) -> tuple[str, ...]:
        """What the gateway is told, so that it sends nothing else (protocol.md §14)."""
        return (f"engine.events:{','.join(self.wanted)}",) if self.wanted else ()

    def go_on(self, client: Client) -> None:
        """Over this connection, and over a new one each time the gateway comes back."""
        self.cursor = _cursor(client)
        self._until_it_leaves(client)
        while not self._enough():
            Pause().wait(_AGAIN.total_seconds())
            self.line.place.__dict__.pop("owner", None)  # the next one may have another port
            with suppress(GatewayDown), self.line.open(caps=self.caps) as again:
                sys.stderr.write("The gateway is back.\n")
                self._missed(again)
                self._until_it_leaves(again)

    def _until_it_leaves(self, client: Client) -> None:
        try:
            for event in client.events(self.wanted or None):
                self._print(event)
                if self._enough():
                    return
        except GatewayDown as down:
            sys.stderr.write(f"The gateway has left; waiting for it ({down.why or down.what}).\n")

    def _missed(self, client: Client) -> None:
        """Beats and runs of the time without a connection; a new process knows its own only."""
        kinds = sorted(_KEPT & set(self.wanted or _KEPT))
        if kinds:
            told = client.call("events.since", {"cursor": self.cursor, "kinds": kinds})
            if not told.get("complete"):
                sys.stderr.write("It began anew; older ones: engine cron runs, heartbeat history\n")
            for one in told.get("events") or ():
                self._print(ServerEvent(str(one["event"]), one["payload"], None))

    def _enough(self) -> bool:
        return self.count is not None and self.printed >= self.count

    def _print(self, event: ServerEvent) -> None:
        payload = event.payload
        if isinstance(payload, Mapping) and isinstance(payload.get("cursor"), int):
            if (
                self.cursor is not None
                and event.seq is not None
                and payload["cursor"] <= self.cursor
            ):
                return
            self.cursor = payload["cursor"]
        if self._enough():
            return
        self.printed += 1
        at = ms(self._clock.now())
        if self.line.as_json:
            told = {"ts": at, "event": event.name, "seq": event.seq, "payload": payload}
            click.echo(json.dumps(told, ensure_ascii=False))
        else:
            head = f"{stamp(at, zone(self.line.place.zone), self._clock.now())} {event.name}"
            click.echo(one_line(f"{head}: {words(event.name, payload)}", _WIDTH))
        sys.stdout.flush()


def _cursor(client: Client) -> int | None:
    found = client.hello.get("snapshot", {}).get("eventCursor")
    return found if isinstance(found, int) else None


def words(name: str, payload: Any) -> str:
    """What an event says, in a line."""
    if not isinstance(payload, Mapping):
        return json.dumps(payload, ensure_ascii=False)
    return " ".join(part for part in _WORDS.get(name, _as_it_is)(payload) if part)


def _as_it_is(payload: Mapping[str, Any]) -> Iterator[str]:
    yield json.dumps(payload, ensure_ascii=False)


def _beat(payload: Mapping[str, Any]) -> Iterator[str]:
    yield str(payload.get("agentId") or "")
    yield str(payload.get("status") or "")
    if reason := payload.get("skipReason") or payload.get("reason"):
        yield f"({reason})"
    yield str(payload.get("preview") or payload.get("because") or "")


def _job(payload: Mapping[str, Any]) -> Iterator[str]:
    yield str(payload.get("action") or "")
    yield str(payload.get("jobId") or "")
    yield str(payload.get("status") or "")
    yield str(payload.get("error") or payload.get("summary") or "")


def _presence(payload: Mapping[str, Any]) -> Iterator[str]:
    entries = payload.get("presence") or ()
    yield f"{len(entries)} around:"
    yield ", ".join(str(one.get("host") or one.get("mode") or "?") for one in entries)


def _health(payload: Mapping[str, Any]) -> Iterator[str]:
    failing = payload.get("failing") or {}
    yield "ok" if payload.get("ok") else f"failing: {', '.join(map(str, failing))}"


def _tick(payload: Mapping[str, Any]) -> Iterator[str]:
    yield str(payload.get("ts") or "")


_WORDS: Final[Mapping[str, Callable[[Mapping[str, Any]], Iterator[str]]]] = {
    "heartbeat": _beat,
    "cron": _job,
    "presence": _presence,
    "health": _health,
    "tick": _tick,
}
