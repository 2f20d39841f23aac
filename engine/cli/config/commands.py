"""`engine config`: read and change the config file (operations.md §3)."""

from __future__ import annotations

from typing import Any

import click

from engine.cli import complete
from engine.cli.app import Group, here
from engine.cli.config import changing, copies
from engine.cli.config.file import check, composed, text_of
from engine.cli.ending import dumped
from engine.cli.place import Place, shown
from engine.config import fast
from engine.config.keypath import parse_path
from engine.config.masks import masked
from jobs.errors import ConfigInvalid, InvalidInput


@click.group(cls=Group, name="config", epilog="Example: engine config validate")
def group() -> None:
    """Read and change the config file."""


@group.command(epilog="Example: engine config file")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def file(ctx: click.Context, /, as_json: bool) -> None:
    """Where the config file is."""
    path = here(ctx).paths.config
    click.echo(dumped({"path": str(path), "exists": path.exists()}) if as_json else str(path))


@group.command(epilog="Example: engine config validate --json")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def validate(ctx: click.Context, /, as_json: bool) -> int:
    """Whether the file can be used; every finding with file, line and column."""
    at = here(ctx)
    try:
        loaded = check(at)
    except ConfigInvalid as error:
        if not as_json:
            click.echo(str(error), err=True)
            return 1
        issues = error.detail.get("issues") or []
        click.echo(
            dumped(
                {
                    "ok": False,
                    "valid": False,
                    "path": str(at.paths.config),
                    "issues": issues,
                    "error": {"type": "config_invalid", "message": str(error)},
                    "notes": [],
                }
            )
        )
        return 1
    from engine.cli.config.remarks import remarks

    found = (*loaded.notes, *remarks(at, loaded))
    notes = [note.to_json() for note in found]
    if as_json:
        answer = {"ok": True, "valid": True, "path": str(loaded.path), "issues": [], "notes": notes}
        click.echo(dumped(answer))
        return 0
    exists = "" if loaded.exists else " (no such file: the built-in defaults)"
    click.echo(f"valid: {shown(loaded.path, at.paths)}{exists}")
    for note in found:
        words = note.message.removeprefix(f"{note.path}: ")  # some name their place themselves
        click.echo(f"{note.level}: {note.path}: {words}", err=True)
    return 0


# -- reading ---------------------------------------------------------------------------------


@group.command(epilog="Example: engine config get agents.defaults.heartbeat.every --default")
@click.argument("path", shell_complete=complete.config_keys)
@click.option("--json", "as_json", is_flag=True, help="Print JSON for plain values too.")
@click.option("--default", "with_default", is_flag=True, help="The default, when it is not set.")
@click.option("--origin", is_flag=True, help="Which layer the value in force comes from.")
@click.option("--reveal", is_flag=True, help="Print secrets; this goes on record.")
@click.option("--yes", is_flag=True, help="Reveal on a terminal too.")
@click.pass_context
def get(
    ctx: click.Context,
    /,
    path: str,
    as_json: bool,
    with_default: bool,
    origin: bool,
    reveal: bool,
    yes: bool,
) -> int:
    """The value in the file; secrets are hidden."""
    at = here(ctx)
    if origin:
        from engine.cli.config.origin import told

        return told(at, path, as_json=as_json)
    value = fast.get(composed(at), path)
    if value is fast.MISSING:
        writing_refuses(at)
        return _unset(at, path, with_default=with_default)
    names = [part for part in parse_path(path) if isinstance(part, str)]
    shown = masked(value, *names)
    if reveal and shown != value:
        from engine.cli.config.revealing import reveal as revealed

        shown = revealed(at, path, value, yes=yes)
    click.echo(_printed(shown, as_json))
    return 0


def writing_refuses(at: Place) -> None:
    """Of a file nobody can read it is not known what it sets."""
    from engine.config import writing

    writing.refuse_unreadable(at.paths.config, text_of(at.paths.config))


def _printed(value: Any, as_json: bool) -> str:
    return value if isinstance(value, str) and not as_json else dumped(value)


def _unset(at: Place, path: str, *, with_default: bool) -> int:
    """A valid key that is not in the file; an unknown one is refused with the nearest."""
    from engine.config.docs import describe, nearest

    found = describe(path)
    if found is None:
        near = nearest(path)
        raise InvalidInput(
            f"{path} is not a key of the config",
            why=f"did you mean {near}?" if near else "",
            fix=f"engine config {'get' if with_default else 'schema'} {near}"
            if near
            else "engine config schema",
        )
    default = str(at.paths.default_port) if path == "gateway.port" else found.default
    if with_default and default is not None:
        click.echo(default.strip('"'))
        return 0
    told = "it has no default" if default is None else f"the default is {default}"
    click.echo(f"not set; {told}", err=True)
    return 1


@group.command(epilog="Example: engine config schema agents.defaults.heartbeat.every")
@click.argument("path", required=False, shell_complete=complete.config_keys)
@click.option("--json", "_as_json", is_flag=True, help="It is JSON with or without.")
@click.pass_context
def schema(ctx: click.Context, /, path: str | None, _as_json: bool) -> None:
    """JSON Schema of the file, or what is known about one key."""
    if path is None:
        from engine.config.schema import Config

        click.echo(dumped(Config.model_json_schema(by_alias=True)))
        return
    from engine.config.docs import describe

    found = describe(path)
    if found is None:
        _unset(here(ctx), path, with_default=False)
        return
    facts = {"path": found.path, "type": found.kind, "description": found.text}
    inside = {"keys": list(found.keys)} if found.keys else {}
    click.echo(dumped({**facts, "default": found.default, "reload": found.reload, **inside}))


changing.join(group)
copies.join(group)
