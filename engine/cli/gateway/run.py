"""`engine gateway run`: its flags, and handing over to the gateway (operations.md §6)."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click

from engine.cli.ending import sentence
from engine.cli.gateway.force import ended
from engine.cli.gateway.older import refuse_older
from engine.cli.place import Place, shown
from engine.clock import SystemClock
from jobs.errors import EngineError, OwnershipRefused, UsageError

NO_USE: Final = 78  # exit status: another start would end the same way
LAUNCHD_PAUSE: Final = 60.0  # seconds
BINDS: Final = ("loopback", "lan", "tailnet", "custom", "auto")
_SEEN: Final = "a password in the call is seen by everybody on this machine: use --password-file"


def run_flags(command: Callable[..., Any]) -> Callable[..., Any]:
    """Flags of `engine gateway` and `engine gateway run`."""
    file = click.Path(path_type=Path, exists=True, dir_okay=False)
    flags = (
        click.option("--port", type=click.IntRange(0, 65535), help="Port; 0 takes a free one."),
        click.option("--bind", metavar="MODE", help=f"{', '.join(BINDS)}; loopback by default."),
        click.option("--token", help="Token to ask for; kept nowhere."),
        click.option("--password", help="Password to ask for; seen in the process list."),
        click.option("--password-file", type=file, help="The same, from a file."),
        click.option("--force", is_flag=True, help="End whoever holds the port first."),
        click.option("--kill", is_flag=True, help="With --force: whatever it is."),
        click.option("--verbose", is_flag=True, help="Tell more on the console."),
        click.option(
            "--ws-log",
            type=click.Choice(["auto", "compact", "full"]),
            default="auto",
            help="Log what clients ask: what is refused, each call, or each frame.",
        ),
        click.option(
            "--allow-unconfigured", is_flag=True, help="Start without gateway.mode in the config."
        ),
        click.option("--once", is_flag=True, help="Run what is due, then end."),
        click.option("--no-channels", is_flag=True, help="Connect no channel."),
        click.option("--no-scheduler", is_flag=True, help="Let nothing fire by itself."),
        click.option(
            "--tailscale", type=click.Choice(["off", "serve"]), default="off", hidden=True
        ),
        click.option("--dev-reload", is_flag=True, help="Anew after each change of its sources."),
        click.option("--reset", is_flag=True, help="With --dev: begin with an empty home."),
    )
    for flag in reversed(flags):
        command = flag(command)
    return command


def serve(place: Place, **given: Any) -> int:
    """Hand over to the gateway; its exit status."""
    if given.pop("dev_reload"):
        from engine.cli.gateway.dev_reload import watched

        return watched(sys.argv[1:])
    password = _password(given.pop("password"), given.pop("password_file"))
    force, kill, reset = given.pop("force"), given.pop("kill"), given.pop("reset")
    if kill and not force:
        raise UsageError("--kill was not understood", why="it goes with --force", fix="add --force")
    _refuse_tailscale(given.pop("tailscale"))
    token, bind = given["token"], given["bind"]
    place.credentials(place.address(), token=token, password=password)  # refuses a marker
    if bind is not None:
        _refuse_alias(bind)
    notes: tuple[str, ...] = ()
    if reset:
        notes += _reset(place)
        given["allow_unconfigured"] = True
    if force:
        refuse_older(place)
        port = given["port"] if given["port"] is not None else place.port()[0]
        notes += ended(place, port, kill=kill)
    from gateway.app.life import serve as served
    from gateway.runtime import run
    from gateway.settings import RunOptions

    options = RunOptions(paths=place.paths, password=password, notes=notes, **given)
    try:
        return run(served(options))
    except EngineError as refused:
        if refused.exit_status == NO_USE and _by_launchd(place):
            sys.stderr.write(f"{sentence(refused)}\n")
            threading.Event().wait(LAUNCHD_PAUSE)
        raise


def _by_launchd(place: Place) -> bool:
    """launchd starts again whatever the status was: it is slowed down by waiting (§8.3)."""
    label = place.environ.get("XPC_SERVICE_NAME", "")
    return label.startswith("ai.engine.") and "ENGINE_SERVICE_MARKER" in place.environ


def _password(given: str | None, file: Path | None) -> str | None:
    if file is None:
        if given:
            sys.stderr.write(f"note: {_SEEN}\n")
        return given
    if given:
        raise UsageError(
            "no password was taken",
            why="--password and --password-file are two",
            fix="give --password-file alone",
        )
    text = file.read_text("utf-8").strip()
    if not text:
        raise UsageError("no password was taken", why=f"{file} is empty", fix="write it there")
    return text


def _refuse_alias(bind: str) -> None:
    from engine.config.schema.gateway import BIND_ALIASES

    if bind in BINDS:
        return
    meant = BIND_ALIASES.get(bind)
    raise UsageError(
        f"--bind {bind} was not understood",
        why=f"that is an address, and the mode is called {meant}" if meant else "",
        fix=f"--bind {meant}" if meant else f"one of {', '.join(BINDS)}",
    )


def _refuse_tailscale(wish: str) -> None:
    if wish != "off":
        raise UsageError(
            "tailscale was not set up",
            why="the engine does not run tailscale",
            fix="tailscale serve --bg http://127.0.0.1:18789",
        )


def _reset(place: Place) -> tuple[str, ...]:
    """Put the home of the profile `dev` aside: an empty one is begun."""
    paths = place.paths
    if paths.profile != "dev":
        raise UsageError(
            "nothing was reset",
            why=f"this is the profile {paths.profile}, and only that of --dev is thrown away",
            fix="engine --dev gateway --reset",
        )
    if place.owner is not None:
        raise OwnershipRefused(
            "nothing was reset",
            why=f"a gateway runs in it (pid {place.owner.pid})",
            fix="engine --dev gateway stop",
        )
    if not paths.state.exists():
        return ()
    now = SystemClock().now().astimezone(UTC)
    aside = paths.state.with_name(f"{paths.state.name}.before-{_stamp(now)}")
    paths.state.rename(aside)
    note = f"the home of --dev is empty; what was in it lies in {shown(aside, paths)}"
    sys.stderr.write(f"{note}\n")
    return (note,)


def _stamp(now: datetime) -> str:
    return f"{now:%Y%m%dT%H%M%SZ}"
