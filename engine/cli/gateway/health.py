"""`engine health`: what the gateway says of itself (operations.md §9.7)."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

import click

from engine.cli.ask import GREETING_MS, Line, gateway_options
from engine.cli.heartbeat.commands import every_words
from engine.cli.render import duration, facts, relative, size
from engine.clock import SystemClock
from jobs.errors import GatewayDown

_PAUSE: Final = 0.1  # seconds between two tries


@click.command(epilog="Example: engine health --json")
@click.option("--verbose", is_flag=True, help="Measure now instead of taking the last snapshot.")
@click.option("--wait", type=click.IntRange(min=0), metavar="S", help="Wait so long for a gateway.")
@gateway_options(timeout_ms=10_000, greeting_ms=GREETING_MS * 2)
def health(line: Line, verbose: bool, wait: int | None) -> int:
    """The gateway's own health; exit status 3 at once when it is down."""
    line = replace(line, greeting=None) if wait else line  # one that starts may greet late
    answer = _asked(line, {"probe": True} if verbose else {}, timedelta(seconds=wait or 0))
    line.show(answer, told)
    return 0 if answer.get("ok", True) else 1


def _asked(line: Line, params: Mapping[str, Any], patience: timedelta) -> Mapping[str, Any]:
    """Ask once, or until somebody answers: a connection that is refused is no wait by itself."""
    clock = SystemClock()
    end = clock.monotonic() + patience
    while True:
        try:
            found: Mapping[str, Any] = line.call("health", params)
        except GatewayDown:
            if clock.monotonic() >= end:
                raise
            line.place.__dict__.pop("owner", None)  # who starts now tells its port there
            threading.Event().wait(_PAUSE)
        else:
            return found


def told(answer: Mapping[str, Any]) -> str:
    """Return it in words."""
    return facts(dict(_rows(answer)))


def _rows(answer: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    gateway, scheduler = answer.get("gateway") or {}, answer.get("scheduler") or {}
    now = SystemClock().now()
    failing = answer.get("failing") or {}
    word = "not well" if failing else "ok"
    yield "Gateway", f"{word}, {gateway.get('version') or answer.get('version') or 'running'}"
    for part, why in failing.items():
        yield f"Failing {part}", why
    if gateway.get("uptimeMs") is not None:
        yield "Up for", duration(gateway["uptimeMs"])
    config = answer.get("config") or {}
    if config.get("valid") is False:
        yield "Config", "the file is not valid: the one before stays in force"
    elif config.get("restored"):
        yield "Config", "restored from the last good one"
    if waits := config.get("pendingRestart"):
        yield "Restart pending", ", ".join(waits)
    yield "Agents", ", ".join(str(a.get("agentId")) for a in answer.get("agents") or ()) or "none"
    yield "Channels", ", ".join(answer.get("channels") or ()) or "none"
    if scheduler:
        armed = "armed" if scheduler.get("armed") else "not armed"
        soonest = relative(scheduler.get("nextWakeAt"), now)
        missed = scheduler.get("missed24h")
        late = f", {missed} missed in 24 h" if missed else ""
        yield "Scheduler", f"{armed}, next wake {soonest}, lag {scheduler.get('lagMs')} ms{late}"
    for beat in answer.get("heartbeats") or ():
        yield f"Heartbeat {beat.get('agentId')}", _beat(beat, now)
    if (answer.get("secrets") or {}).get("degraded"):
        yield "Secrets", "degraded: engine config validate"
    disk = answer.get("disk") or {}
    if disk.get("freeBytes") is not None:
        yield "Disk", f"{size(disk['freeBytes'])} free, database {size(disk.get('dbBytes') or 0)}"


def _beat(beat: Mapping[str, Any], now: Any) -> str:
    if not beat.get("enabled"):
        return "off"
    last = beat.get("last") or {}
    ended = f"; last: {last['status']}" if last.get("status") else ""
    every = beat.get("every") or every_words(beat)
    return f"every {every}, {relative(beat.get('nextDueAt'), now)}{ended}"
