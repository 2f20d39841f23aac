"""`engine setup`: the first config, the token, the workspace (operations.md §1.1). Idempotent."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click

from engine import __version__
from engine.cli.app import here
from engine.cli.place import Place, shown
from engine.clock import SystemClock
from engine.config import fast
from engine.config.load import load
from engine.config.setup import VARIABLE, minimal_config_text, with_telegram
from engine.config.variables import expand
from engine.config.writing import put, write

PRIVATE: Final = 0o700
CHECKLIST: Final = """\
# What to watch

<!-- Write one line per thing the agent should look at, for example:
     - If a build on the main branch is red, say which one and since when.
     Headings, comments and empty list items cost nothing: as long as only those are in this
     file, the model is not called. -->
"""


@click.command(epilog="Example: engine setup --channel telegram")
@click.option("--channel", type=click.Choice(["telegram"]), help="Put this channel into it.")
@click.pass_context
def command(ctx: click.Context, /, channel: str | None) -> None:
    """Make what a gateway needs to start; what is there already stays as it is."""
    at = here(ctx)
    for path in (at.paths.state, at.paths.logs):
        _directory(at, path)
    if channel is not None and at.paths.config.exists():
        _added(at, channel)
    else:
        _file(at, at.paths.config, minimal_config_text(channel=channel))
    for known in ("values", "variables"):  # the file may be new, or another
        at.__dict__.pop(known, None)
    if _needs_token(at):
        _file(at, at.paths.token_file, f"{secrets.token_hex(24)}\n")
    workspace = _workspace(at)
    _directory(at, workspace)
    _file(at, workspace / "HEARTBEAT.md", CHECKLIST)
    for step in _next_steps(at):
        click.echo(f"Next: {step}")


def _added(at: Place, channel: str) -> None:
    """Put a channel into a file that is there; its comments stay."""
    # The token may be put into .env later, as a new file's may.
    environ = {VARIABLE: "0:not-there-yet", **at.variables}
    written = write(
        at.paths.config,
        with_telegram,
        validate=lambda raw: load(at.paths.config, environ, state=at.paths.state, raw=raw),
        now=SystemClock().now(),
        version=__version__,
    )
    name = shown(at.paths.config, at.paths)
    click.echo(f"changed {name} (channels.{channel})" if written.changed else f"kept    {name}")


def _next_steps(at: Place) -> Iterator[str]:
    """What is still missing before the first message."""
    telegram = fast.get(at.values, "channels.telegram")
    if isinstance(telegram, dict):
        if telegram.get("botToken") == f"${{{VARIABLE}}}" and not at.variables.get(VARIABLE):
            yield f"put {VARIABLE}=… (from @BotFather) into {shown(at.paths.env_file, at.paths)}"
        if not telegram.get("allowFrom") and not telegram.get("accounts"):
            path = "channels.telegram.allowFrom"
            yield f"{at.program} config set {path} '[\"YOUR_ID\"]' (@userinfobot tells you yours)"
    if at.owner is None:
        yield f"{at.program} gateway"
    elif isinstance(telegram, dict):
        yield "start the gateway again if you changed .env: it reads that file when it starts"


def _needs_token(at: Place) -> bool:
    """Without any credential of its own the gateway asks for the token in this file (§6.1)."""
    mode = fast.get(at.values, "gateway.auth.mode")
    configured = any(fast.configured(at.values, at.environ, k) for k in ("token", "password"))
    return mode in (fast.MISSING, "token") and not configured


def _workspace(at: Place) -> Path:
    shared = fast.get(at.values, "agents.defaults.workspace")
    text = expand(shared, at.environ) if isinstance(shared, str) else None
    return at.paths.workspace("main", own=None, shared=text, default=True)


def _directory(at: Place, path: Path) -> None:
    if path.is_dir():
        click.echo(f"kept    {shown(path, at.paths)}/")
        return
    path.mkdir(mode=PRIVATE, parents=True)
    path.chmod(PRIVATE)  # whatever the umask
    click.echo(f"created {shown(path, at.paths)}/")


def _file(at: Place, path: Path, text: str) -> None:
    """Write a file that is not there, for its owner only."""
    if path.exists():
        click.echo(f"kept    {shown(path, at.paths)}")
        return
    path.parent.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
    put(path, text.encode())
    click.echo(f"created {shown(path, at.paths)}")
