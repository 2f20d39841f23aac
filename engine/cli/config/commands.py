"""`engine config`: read and change the config file (operations.md §3)."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import click

from engine import __version__
from engine.cli import complete
from engine.cli.app import Group, here
from engine.cli.ending import dumped
from engine.cli.place import Place, shown
from engine.clock import SystemClock
from engine.config import fast
from engine.config.keypath import parse_path
from engine.config.masks import masked
from jobs.errors import ConfigInvalid, InvalidInput, NotFound

if TYPE_CHECKING:
    from engine.config.load import JobsCheck, Loaded

_PROTECTED: Final = re.compile(
    r"channels\.\w+\.accounts|agents\.list|cron\.jobs|models\.providers|plugins\.entries"
)


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
            raise
        issues = error.detail.get("issues") or []
        answer = {"valid": False, "path": str(at.paths.config), "issues": issues, "notes": []}
        click.echo(dumped(answer))
        return error.exit_status
    from engine.cli.config.remarks import remarks

    found = (*loaded.notes, *remarks(at, loaded))
    notes = [note.to_json() for note in found]
    if as_json:
        answer = {"valid": True, "path": str(loaded.path), "issues": [], "notes": notes}
        click.echo(dumped(answer))
        return 0
    exists = "" if loaded.exists else " (no such file: the built-in defaults)"
    click.echo(f"valid: {shown(loaded.path, at.paths)}{exists}")
    for note in found:
        words = note.message.removeprefix(f"{note.path}: ")  # some name their place themselves
        click.echo(f"{note.level}: {note.path}: {words}", err=True)
    return 0


def check(at: Place, raw: bytes | None = None) -> Loaded:
    """Load the file, or ``raw`` in its stead, with its jobs; `ConfigInvalid` says what is wrong."""
    from engine.config.load import load

    return load(
        at.paths.config,
        at.environ,
        state=at.paths.state,
        home=at.paths.os_home,
        raw=raw,
        jobs_check=_jobs_check(at),
        credentials=True,
    )


def _jobs_check(at: Place) -> JobsCheck:
    from engine.config import jobs

    now = SystemClock().now()

    def judge(config: Any) -> list[tuple[Any, str]]:
        return [*jobs.judge(config, now, at.zone, at.paths.config.parent)]

    return judge


# -- reading ---------------------------------------------------------------------------------


@group.command(epilog="Example: engine config get agents.defaults.heartbeat.every --default")
@click.argument("path", shell_complete=complete.config_keys)
@click.option("--json", "as_json", is_flag=True, help="Print JSON for plain values too.")
@click.option("--default", "with_default", is_flag=True, help="The default, when it is not set.")
@click.pass_context
def get(ctx: click.Context, /, path: str, as_json: bool, with_default: bool) -> int:
    """The value in the file; secrets are hidden."""
    at = here(ctx)
    value = fast.get(at.values, path)
    if value is fast.MISSING:
        _refuse_unreadable(at)
        return _unset(at, path, with_default=with_default)
    names = [part for part in parse_path(path) if isinstance(part, str)]
    click.echo(_printed(masked(value, *names), as_json))
    return 0


def _refuse_unreadable(at: Place) -> None:
    """Of a file nobody can read it is not known what it sets."""
    from engine.config import json5, writing

    writing.applied(at.paths.config, lambda text: json5.parse(text or "{}").source.text, _text(at))


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


# -- changing --------------------------------------------------------------------------------


@group.command("set", epilog="Example: engine config set agents.defaults.heartbeat.target last")
@click.argument("path", shell_complete=complete.config_keys)
@click.argument("value")
@click.option("--strict-json", "--json", "strict", is_flag=True, help="VALUE must be JSON5.")
@click.option("--merge", is_flag=True, help="Merge an object into the one that is there.")
@click.option("--replace", is_flag=True, help="Allow it to drop entries.")
@click.option("--dry-run", is_flag=True, help="Check and write nothing.")
@click.pass_context
def set_value(
    ctx: click.Context,
    /,
    path: str,
    value: str,
    strict: bool,
    merge: bool,
    replace: bool,
    dry_run: bool,
) -> int:
    """Change one key; comments and everything else stay as they are."""
    from engine.config import edit, writing

    at = here(ctx)
    wish = edit.value_of(value, strict=strict)
    if not merge and not replace:
        _refuse_drops(at, path, wish)

    def changed(text: str, chosen: Any) -> str:
        how = edit.merge_text if merge else edit.set_text
        return writing.applied(at.paths.config, lambda old: how(old, path, chosen), text)

    chosen = wish if strict else _fitting(at, wish, value, changed)
    return _write(at, path, lambda text: changed(text, chosen), replace=replace, dry_run=dry_run)


def _fitting(at: Place, wish: Any, text: str, changed: Callable[[str, Any], str]) -> Any:
    """The value as JSON5, or as the text it was typed as, where only that is valid."""
    if isinstance(wish, str | dict | list):
        return wish
    try:
        check(at, changed(_text(at), wish).encode())
    except ConfigInvalid:
        try:
            check(at, changed(_text(at), text).encode())
        except ConfigInvalid:
            return wish
        return text
    return wish


def _text(at: Place) -> str:
    try:
        return at.paths.config.read_text("utf-8")
    except FileNotFoundError:
        return ""


def _refuse_drops(at: Place, path: str, wish: Any) -> None:
    """A protected map is not emptied by accident (operations.md §3)."""
    before = fast.get(at.values, path)
    if not _PROTECTED.fullmatch(path) or before is fast.MISSING:
        return
    lost = sorted(_entries(before) - _entries(wish))
    if lost:
        raise InvalidInput(
            f"{path} was not changed",
            why=f"it would drop {', '.join(lost)}",
            fix="repeat it with --merge to keep them, or with --replace to drop them",
        )


def _entries(value: Any) -> set[str]:
    if isinstance(value, dict):
        return {str(key) for key in value}
    if isinstance(value, list):
        return {str(v.get("id", v)) if isinstance(v, dict) else str(v) for v in value}
    return set()


@group.command(epilog="Example: engine config unset agents.defaults.heartbeat.target")
@click.argument("path", shell_complete=complete.config_keys)
@click.option("--replace", is_flag=True, help="Allow it to drop entries.")
@click.option("--dry-run", is_flag=True, help="Check and write nothing.")
@click.pass_context
def unset(ctx: click.Context, /, path: str, replace: bool, dry_run: bool) -> int:
    """Take one key out; its default holds again."""
    from engine.config import edit, writing

    at = here(ctx)
    try:
        edited = writing.applied(
            at.paths.config, lambda text: edit.unset_text(text, path), _text(at)
        )
    except NotFound as missing:
        click.echo(f"{missing.what}: nothing changed", err=True)
        return 1
    return _write(at, path, lambda _: edited, replace=replace, dry_run=dry_run)


def changed_text(at: Place, path: str, block: dict[str, Any]) -> str:
    """Return the file as it would be with these keys below a path; nothing is written."""
    from engine.config import edit, writing

    return writing.applied(
        at.paths.config, lambda text: edit.merge_text(text, path, block), _text(at)
    )


def change(at: Place, path: str, block: dict[str, Any]) -> None:
    """Set these keys below a path, as `engine config set --merge` does."""
    from engine.config import edit

    _write(at, path, lambda text: edit.merge_text(text, path, block), replace=False, dry_run=False)


def _write(
    at: Place, path: str, edited: Callable[[str], str], *, replace: bool, dry_run: bool
) -> int:
    from engine.config import writing

    if dry_run:
        new = edited(_text(at))
        try:
            check(at, new.encode())
        except ConfigInvalid as error:
            raise writing.unwritten(at.paths.config, error) from error
        click.echo("valid; nothing was written", err=True)
        return 0
    written = writing.write(
        at.paths.config,
        edited,
        validate=lambda raw: check(at, raw),
        now=SystemClock().now(),
        version=__version__,
        replace=replace,
    )
    sys.stderr.write(f"{written.line}\n")
    if written.changed:
        sys.stderr.write(f"{_effect(at, path)}\n")
    return 0


def _effect(at: Place, path: str) -> str:
    """When it takes effect: by the gateway that runs, and the class of the key."""
    if at.owner is None:
        return "Takes effect when the gateway starts."
    from engine.config.reload import Class, classify

    match classify(tuple(str(part) for part in parse_path(path))).kind:
        case Class.HOT:
            return f"The running gateway (pid {at.owner.pid}) takes it over by itself."
        case Class.RESTART:
            return f"Takes effect when the gateway (pid {at.owner.pid}) is restarted."
        case _:
            return "It changes nothing in the running gateway."
