"""`engine plugins`: channels of other packages, and whether they may be used (operations.md §1.1).

Installing one is pip's work: `pip install PACKAGE==VERSION` into the engine's environment.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from engine.cli import at_rest
from engine.cli.app import Group, here
from engine.cli.ending import dumped
from engine.cli.place import Place
from engine.cli.render import show_table
from engine.messages import plugged
from jobs.errors import EngineError


@click.group(cls=Group, name="plugins", epilog="Example: engine plugins list")
def group() -> None:
    """Channels that come with other packages."""


@group.command("list", epilog="Example: engine plugins list --json")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def listing(ctx: click.Context, as_json: bool) -> None:
    """Which are installed, and whether the config lets them in. Nothing of them is imported."""
    found = _listed(here(ctx))
    if as_json:
        click.echo(dumped({"plugins": found}))
    elif not found:
        click.echo("No package brings a channel. Add one with pip, at a version you chose.")
    else:
        rows = [
            (one["id"], one["package"] or "-", one["version"] or "-", one["state"]) for one in found
        ]
        show_table(("CHANNEL", "PACKAGE", "VERSION", "STATE"), rows, keep=1)


@group.command(epilog="Example: engine plugins doctor")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def doctor(ctx: click.Context, as_json: bool) -> int:
    """Load each that may be used, and say what is wrong. Exit status 1 if one cannot be loaded."""
    place = here(ctx)
    findings = [*_findings(place)]
    if as_json:
        click.echo(dumped({"ok": not findings, "findings": findings}))
    elif not findings:
        click.echo("Nothing is wrong with the plugins.")
    for one in findings if not as_json else ():
        click.echo(f"{one['severity']} {one['id']}: {one['message']}\n  Fix: {one['fix']}")
    return 1 if any(one["severity"] == "error" for one in findings) else 0


@group.command(
    epilog="Example: engine plugins install my-channel --pin 1.2.0",
)
@click.argument("spec")
@click.option("--pin", metavar="VERSION", help="The version you chose.")
def install(spec: str, pin: str | None) -> None:
    """Say how: the engine installs nothing itself."""
    wish = spec if pin is None else f"{spec.partition('=')[0]}=={pin}"
    raise EngineError(
        "nothing was installed",
        why="packages are pip's work, in the environment of the engine",
        fix=f"pip install {wish}, then: engine config set plugins.allow[] '\"CHANNEL\"'",
    )


def _listed(place: Place) -> list[dict[str, Any]]:
    config = at_rest.loaded(place).config
    configured = config.channels.model_extra or {}
    rows = []
    for name, where in sorted(plugged.installed().items()):
        package, version = plugged.origin(name)
        barred = config.plugins.bars(name)
        state = barred or ("configured" if name in configured else "not configured")
        rows.append(
            {
                "id": name,
                "object": where,
                "package": package,
                "version": version,
                "allowed": not barred,
                "configured": name in configured,
                "state": state,
            }
        )
    return rows


def _findings(place: Place) -> list[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = []
    rows = _listed(place)
    if rows and not at_rest.loaded(place).config.plugins.allow:
        found.append(
            {
                "severity": "warn",
                "id": "plugins.allow_empty",
                "message": plugged.open_words([one["id"] for one in rows]),
                "fix": f"engine config set plugins.allow[] '\"{rows[0]['id']}\"'",
            }
        )
    for one in rows:
        if not one["allowed"]:
            continue
        try:
            plugged.load(one["id"])
        except plugged.NotLoaded as error:
            found.append(
                {
                    "severity": "error",
                    "id": "plugins.broken",
                    "message": f"{one['id']} cannot be loaded: {error}",
                    "fix": f"pip install --upgrade {one['package'] or one['id']}",
                }
            )
    return found
