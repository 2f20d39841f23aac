"""The end of it: a service or a process, and a message with its receipt."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from dataclasses import replace
from datetime import timedelta
from io import StringIO
from threading import Event
from typing import Any, Final

import click

from engine.cli.ask import Line
from engine.cli.onboard.questions import say
from engine.cli.place import Place
from engine.clock import SystemClock
from jobs.errors import EngineError

_LOOK: Final = 0.1  # seconds between two looks
_WAITS: Final = "not in force yet"  # what `config.get` says of such a file
_PATIENCE: Final = timedelta(seconds=30)
_GRACE: Final = timedelta(seconds=10)
RUNNING, STARTED, RESTARTED = "running", "started", "restarted"


def no_service(ctx: click.Context, at: Place) -> EngineError | None:
    """Why this engine cannot be a service of this machine; None if it can."""
    from engine.cli.gateway import service
    from gateway.service.host import Systemd

    missing = None if sys.platform == "darwin" else Systemd(environ=at.environ).missing()
    if missing is not None:
        return EngineError("no service", why=missing, fix="give --no-service")
    if installed(at):
        return None
    try:
        with redirect_stdout(StringIO()):
            ctx.invoke(service.install, only_print=True)
    except EngineError as error:  # an interpreter that will not be there tomorrow
        return error
    return None


def installed(at: Place) -> bool:
    """Whether the service of this profile is there already."""
    from engine.cli.service import find

    return find(at) is not None


def install(ctx: click.Context, *, linger: bool) -> None:
    """Make it a service and wait until it is ready."""
    from engine.cli.gateway import service

    _quietly(ctx, service.install, no_linger=not linger)


def start(ctx: click.Context, at: Place) -> str:
    """Start the gateway of this home, as a service if it is one."""
    from engine.cli.gateway import service

    _quietly(ctx, service.start, detach=not installed(at))
    return STARTED


def stop(ctx: click.Context) -> None:
    """Stop the gateway that runs here, so that the service can take its place."""
    from engine.cli.gateway import service

    _quietly(ctx, service.stop)


def restart(ctx: click.Context) -> str:
    """Begin the running gateway anew: `.env` is read when it starts."""
    from engine.cli.gateway import service

    _quietly(ctx, service.restart)
    return RESTARTED


def taken_over(at: Place) -> bool:
    """Wait until the running gateway follows the file; False if it does not within ten seconds."""
    line = Line(place=Place(paths=at.paths, environ=at.environ))
    clock = SystemClock()
    end = clock.monotonic() + _GRACE
    while any(_WAITS in str(one) for one in line.call("config.get").get("warnings") or ()):
        if clock.monotonic() > end:
            return False
        Event().wait(_LOOK)  # there is no loop here that it could block
    return True


def _quietly(ctx: click.Context, command: click.Command, **given: Any) -> None:
    """Run another command of ours; what it prints is progress here."""
    with redirect_stdout(sys.stderr):
        ctx.invoke(command, **given)


def send_test(
    at: Place, agent: str, to: str | None, *, account: str | None = None
) -> dict[str, Any]:
    """Send the test message and wait for its receipt; what became of it, in one mapping."""
    fresh = Place(paths=at.paths, environ=at.environ)  # the lock tells the port by now
    line = replace(Line(place=fresh), timeout=_PATIENCE)
    asked: dict[str, Any] = {"agentId": agent, "timeoutMs": _PATIENCE // timedelta(milliseconds=1)}
    if to is not None:
        asked["to"] = to
    if account is not None:
        asked["accountId"] = account
    say("  Sending a test message …")
    told: dict[str, Any] = line.call("heartbeat.test", asked, timeout=_PATIENCE + _GRACE)
    return told
