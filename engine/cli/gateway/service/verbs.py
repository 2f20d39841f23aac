"""`engine gateway start`, `stop`, `restart` (operations.md §8.4)."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import click

from engine.cli.app import here
from engine.cli.ask import Line
from engine.cli.ending import dumped
from engine.cli.gateway.older import refuse_older
from engine.cli.gateway.service.waiting import READY_WITHIN, await_end, await_ready, boot, until
from engine.cli.place import Place
from engine.cli.service import Service, find, manager_of
from engine.clock import SystemClock
from engine.config import fast
from gateway import exits
from gateway.lock import Owner
from jobs.errors import EngineError, GatewayDown, TimedOut
from jobs.wallclock import at, zone

PID_FILE: Final = "gateway.pid"  # of one that was started with --detach
_DRAIN_MS: Final = 25_000
_BY: Final = "engine gateway restart"


@click.command(epilog="Example: engine gateway start")
@click.option("--detach", is_flag=True, help="Without a service: in the background, until stopped.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def start(ctx: click.Context, /, detach: bool, as_json: bool) -> None:
    """Start the service, and wait until the gateway is ready."""
    place = here(ctx)
    if place.owner is not None:
        pid = place.owner.pid
        said(as_json, {"running": True, "pid": pid, "changed": False}, f"it runs (pid {pid})")
        return
    refuse_older(place)
    service = find(place)
    if detach:
        _detached(place)
    elif service is not None:
        service.manager.start(service.name, service.file)
    else:
        raise not_installed(place)
    pid = await_ready(place)
    said(as_json, {"running": True, "pid": pid, "changed": True}, f"ready (pid {pid})")


@click.command(epilog="Example: engine gateway stop")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def stop(ctx: click.Context, /, as_json: bool) -> None:
    """Stop the gateway: turns end, words leave, then it goes."""
    place = here(ctx)
    service = find(place)
    if service is None and place.owner is None:
        raise not_installed(place)
    refuse_older(place)
    if place.owner is not None:
        exits.request_stop(place.paths.state, "engine gateway stop")
    if service is not None and service.manager.runtime(service.name).running:
        service.manager.stop(service.name)
    elif place.owner is not None:
        os.kill(place.owner.pid, signal.SIGTERM)
        await_end(place, within=_drain(place))
    (place.paths.state / PID_FILE).unlink(missing_ok=True)
    ended = exits.read(place.paths.state)
    words = "stopped"
    if ended is not None:
        words = f"stopped: {ended.at_local(zone(place.zone), SystemClock().now())}"
    last = None if ended is None else ended.to_json()
    said(as_json, {"running": False, "lastExit": last}, words)


@click.command(epilog="Example: engine gateway restart")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def restart(ctx: click.Context, /, as_json: bool) -> None:
    """Begin anew: what runs ends first, clients are told how long it takes."""
    place = here(ctx)
    service, owner = find(place), place.owner
    if service is None and owner is None:
        raise not_installed(place)
    refuse_older(place)
    if owner is None:
        if service is not None:
            service.manager.restart(service.name, service.file)
    else:
        _in_place(place, owner, service)
    pid = await_ready(place)
    said(as_json, {"running": True, "pid": pid, "changed": True}, f"ready again (pid {pid})")


def _in_place(place: Place, owner: Owner, service: Service | None) -> None:
    """Ask the gateway itself; its supervisor only where it does not come back."""
    try:
        answer = Line(place=place).call("gateway.restart.request", {"reason": _BY})
        wait = _until_made(place, answer)
        gone = "it did not come back"
        within = wait + _drain(place) + READY_WITHIN
        until(lambda: boot(place) not in (None, owner.boot_id), gone, place, within=within)
    except (GatewayDown, TimedOut) as lost:
        if service is None:
            raise
        sys.stderr.write(f"note: {lost.what}; {service.manager.kind} starts it anew\n")
        service.manager.restart(service.name, service.file)


def _until_made(place: Place, answer: Mapping[str, Any]) -> timedelta:
    """How long until the restart is made; told where that is not at once."""
    made, now = answer.get("at"), SystemClock().now()
    if not answer.get("coalesced") or not isinstance(made, int):
        return timedelta()
    when = at(made)
    local = when.astimezone(zone(place.zone))
    sys.stderr.write(f"note: the last restart was just now, so this one is made at {local:%X}\n")
    return max(when - now, timedelta())


def _drain(place: Place) -> timedelta:
    """How long the gateway may take to let what runs end, as the file says."""
    given = fast.get(place.values, "gateway.drainTimeoutMs")
    return timedelta(milliseconds=given if isinstance(given, int) else _DRAIN_MS)


def not_installed(place: Place) -> EngineError:
    """There is nothing the verbs could act on; where no service can be, another way."""
    missing = manager_of(place).missing()
    if missing is None:
        return EngineError(
            f"not installed; run: {place.program} gateway install",
            why="",
            fix=f"{place.program} gateway install",
        )
    return EngineError(
        "not installed, and no service can be here",
        why=missing,
        fix=f"{place.program} gateway run, or in the background:"
        f" {place.program} gateway start --detach",
    )


def _detached(place: Place) -> None:
    """Start it apart from this terminal; what it says before its log is open goes to a file."""
    place.paths.logs.mkdir(parents=True, exist_ok=True, mode=0o700)
    profile = () if place.paths.profile == "default" else ("--profile", place.paths.profile)
    out = str(place.paths.logs / "gateway.out")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    pid = os.posix_spawn(  # nobody waits for it here: it goes on when this command has ended
        sys.executable,
        [sys.executable, "-m", "engine", *profile, "gateway", "run"],
        dict(place.environ),
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, out, flags, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
    )
    _keep_pid(place.paths.state / PID_FILE, pid)


def _keep_pid(file: Path, pid: int) -> None:
    part = file.with_name(f".{file.name}.part")
    part.write_text(f"{pid}\n", "utf-8")
    part.replace(file)


def said(as_json: bool, facts: Mapping[str, Any], words: str) -> None:
    """Print how it is now."""
    click.echo(dumped(dict(facts)) if as_json else words)
