"""`engine setup`: the first config, the token, the workspace (operations.md §1.1). Idempotent."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import click

from engine import __version__
from engine.cli.app import here
from engine.cli.place import Place, shown
from engine.clock import SystemClock
from engine.config import fast
from engine.config.load import load
from engine.config.setup import minimal_config_text
from engine.config.starters import SAMPLES, STARTERS, placeholder, with_channel
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
@click.option("--channel", type=click.Choice([*STARTERS]), help="Put this channel into it.")
@click.pass_context
def command(ctx: click.Context, /, channel: str | None) -> None:
    """Make what a gateway needs to start; what is there already stays as it is."""
    at = here(ctx)
    _folders(at, click.echo)
    if channel is not None and at.paths.config.exists():
        _added(at, channel)
    else:
        _file(at, at.paths.config, minimal_config_text(channel=channel), click.echo)
    furnish(at, click.echo)
    for step in _next_steps(at):
        click.echo(f"Next: {step}")


def furnish(at: Place, tell: Callable[[str], object]) -> None:
    """Make what a gateway needs beside its config: folders, token, workspace, checklist."""
    for known in ("values", "variables"):  # the file may be new, or another
        at.__dict__.pop(known, None)
    _folders(at, lambda _: None)
    if _needs_token(at):
        _file(at, at.paths.token_file, f"{secrets.token_hex(24)}\n", tell)
    workspace = _workspace(at)
    _directory(at, workspace, tell)
    _file(at, workspace / "HEARTBEAT.md", CHECKLIST, tell)


def _folders(at: Place, tell: Callable[[str], object]) -> None:
    for path in (at.paths.state, at.paths.logs):
        _directory(at, path, tell)


def _added(at: Place, channel: str) -> None:
    """Put a channel into a file that is there; its comments stay."""
    # What is secret may be put into .env later, as a new file's may.
    environ = {**SAMPLES, **at.variables}
    written = write(
        at.paths.config,
        lambda text: with_channel(text, channel),
        validate=lambda raw: load(at.paths.config, environ, state=at.paths.state, raw=raw),
        now=SystemClock().now(),
        version=__version__,
    )
    name = shown(at.paths.config, at.paths)
    click.echo(f"changed {name} (channels.{channel})" if written.changed else f"kept    {name}")


def _next_steps(at: Place) -> Iterator[str]:
    """What is still missing before the first message."""
    configured = [name for name in STARTERS if isinstance(_section(at, name), dict)]
    for name in configured:
        yield from _missing(at, name)
    if at.owner is None:
        yield f"{at.program} gateway"
    elif configured:
        yield "start the gateway again if you changed .env: it reads that file when it starts"


def _section(at: Place, name: str) -> Any:
    return fast.get(at.values, f"channels.{name}")


def _missing(at: Place, name: str) -> Iterator[str]:
    """What a channel of the table still needs."""
    section = _section(at, name)
    for need in STARTERS[name].needs:
        given = section.get(need.key)
        if need.variable and given == placeholder(need) and not at.variables.get(need.variable):
            where = need.hint.partition(";")[0]
            yield f"put {need.variable}=… ({where}) into {shown(at.paths.env_file, at.paths)}"
        path = f"channels.{name}.{need.key}"
        if not need.variable and need.needed and given == need.sample:
            yield f"{at.program} config set {path} {need.sample} ({need.hint})"
        if not need.needed and not given and not section.get("accounts"):
            whose = need.hint.partition("; ")[2]
            yield f"{at.program} config set {path} '[\"YOUR_ID\"]' ({whose})"


def _needs_token(at: Place) -> bool:
    """Without any credential of its own the gateway asks for the token in this file (§6.1)."""
    mode = fast.get(at.values, "gateway.auth.mode")
    configured = any(
        fast.configured(at.values, at.variables, k, at.paths.config.parent)
        for k in ("token", "password")
    )
    return mode in (fast.MISSING, "token") and not configured


def _workspace(at: Place) -> Path:
    shared = fast.get(at.values, "agents.defaults.workspace")
    text = expand(shared, at.environ) if isinstance(shared, str) else None
    return at.paths.workspace("main", own=None, shared=text, default=True)


def _directory(at: Place, path: Path, tell: Callable[[str], object]) -> None:
    if path.is_dir():
        tell(f"kept    {shown(path, at.paths)}/")
        return
    path.mkdir(mode=PRIVATE, parents=True)
    path.chmod(PRIVATE)  # whatever the umask
    tell(f"created {shown(path, at.paths)}/")


def _file(at: Place, path: Path, text: str, tell: Callable[[str], object]) -> None:
    """Write a file that is not there, for its owner only."""
    if path.exists():
        tell(f"kept    {shown(path, at.paths)}")
        return
    path.parent.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
    put(path, text.encode())
    tell(f"created {shown(path, at.paths)}")
