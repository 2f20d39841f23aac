"""`engine token`: the gateway's own secret, found and replaced without copying."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Any, Final

import click

from engine.cli.app import Group, here
from engine.cli.ending import dumped
from engine.cli.place import Place, shown
from engine.config import fast
from jobs.errors import NotFound, OwnershipRefused

_BYTES: Final = 32
_PATH: Final = "gateway.auth.token"


@click.group(cls=Group, name="token", epilog="Example: engine token status")
def group() -> None:
    """The gateway's token: where it is, what it is, a new one."""


def _json(command: Any) -> Any:
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)


@group.command(epilog="Example: engine token show")
@_json
@click.pass_context
def show(ctx: click.Context, /, as_json: bool) -> None:
    """Print the token itself, and nothing else."""
    at = here(ctx)
    token, source = _found(at)
    if token is None:
        raise NotFound(
            "there is no token yet",
            why="the gateway makes one at its first start",
            fix="engine setup, or: engine token rotate",
        )
    click.echo(dumped({"token": token, "source": source}) if as_json else token)


@group.command(epilog="Example: engine token status --json")
@_json
@click.pass_context
def status(ctx: click.Context, /, as_json: bool) -> None:
    """Where the token lies and which auth mode asks for it; the token is not shown."""
    at = here(ctx)
    token, source = _found(at)
    mode = fast.get(at.values, "gateway.auth.mode")
    facts = {
        "source": source,
        "present": token is not None,
        "length": len(token) if token else 0,
        "place": _place(at, source),
        "mode": mode if isinstance(mode, str) else None,
        "rotatable": source in ("file", "none") or _plain(at, source),
    }
    click.echo(dumped(facts) if as_json else _words(facts))


@group.command(epilog="Example: engine token rotate")
@_json
@click.pass_context
def rotate(ctx: click.Context, /, as_json: bool) -> None:
    """Write a new token where the old one lies; a running gateway takes it over at once."""
    at = here(ctx)
    _, source = _found(at)
    made = secrets.token_hex(_BYTES)
    if source in ("file", "none"):
        _write(at.paths.token_file, made)
    elif _plain(at, source):
        from engine.cli.config.changing import change

        change(at, "gateway.auth", {"token": made})
    else:
        raise _not_ours(at, source)
    place = _place(at, "file" if source == "none" else source)
    facts = {"ok": True, "source": source, "place": place, "gatewayRunning": at.owner is not None}
    after = (
        "The running gateway takes it over; who came in by the old one has to come again."
        if at.owner is not None
        else "The gateway uses it from its next start on."
    )
    click.echo(dumped(facts) if as_json else f"A new token is in {place}. {after}")


def _found(at: Place) -> tuple[str | None, str]:
    return fast.credential(at.paths, at.values, at.variables, "token")


def _plain(at: Place, source: str) -> bool:
    """Whether the config holds the token itself, not a reference to it."""
    given = fast.get(at.values, _PATH)
    return source == "config" and isinstance(given, str) and "${" not in given


def _place(at: Place, source: str) -> str:
    match source:
        case "env":
            return "ENGINE_GATEWAY_TOKEN"
        case "config":
            return f"{shown(at.paths.config, at.paths)} ({_PATH})"
        case "file":
            return shown(at.paths.token_file, at.paths)
        case _:
            return "nowhere yet"


def _not_ours(at: Place, source: str) -> OwnershipRefused:
    if source == "env":
        return OwnershipRefused(
            "the token was not rotated",
            why="it comes from ENGINE_GATEWAY_TOKEN, which no command can change for good",
            fix="unset ENGINE_GATEWAY_TOKEN, then: engine token rotate",
        )
    return OwnershipRefused(
        "the token was not rotated",
        why=f"{_PATH} refers to a secret kept elsewhere: {fast.get(at.values, _PATH)}",
        fix="change it there; the gateway reads it at its next start",
    )


def _write(path: Path, token: str) -> None:
    """Replace the file at once: whoever reads it meanwhile has the old or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    file = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(file, "w", encoding="utf-8") as out:
        os.fchmod(out.fileno(), 0o600)
        out.write(f"{token}\n")
        out.flush()
        os.fsync(out.fileno())
    aside.replace(path)


def _words(facts: dict[str, Any]) -> str:
    if not facts["present"]:
        return "No token yet: the gateway makes one at its first start."
    return f"Token: {facts['length']} characters, in {facts['place']}. To see it: engine token show"
