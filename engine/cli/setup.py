"""`engine setup`: the first config, the token, the workspace (operations.md §1.1). Idempotent."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Final

import click

from engine.cli.app import here
from engine.cli.place import Place, shown
from engine.config import fast
from engine.config.setup import minimal_config_text
from engine.config.variables import expand
from engine.config.writing import put

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
    _file(at, at.paths.config, minimal_config_text(channel=channel))
    at.__dict__.pop("values", None)  # the file may be new
    if _needs_token(at):
        _file(at, at.paths.token_file, f"{secrets.token_hex(24)}\n")
    workspace = _workspace(at)
    _directory(at, workspace)
    _file(at, workspace / "HEARTBEAT.md", CHECKLIST)
    if channel == "telegram":
        click.echo(f"Next: put TELEGRAM_BOT_TOKEN=… into {shown(at.paths.env_file, at.paths)}")
    click.echo(f"Next: {at.program} gateway")


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
