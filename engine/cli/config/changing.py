"""`engine config set`, `unset`, `patch`: one key or many, in one write (operations.md §3)."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Final

import click

from engine import __version__
from engine.cli import complete
from engine.cli.app import here
from engine.cli.config import ops as edits
from engine.cli.config.effect import effect
from engine.cli.config.file import check, composed, text_of
from engine.cli.config.ops import How, Op
from engine.cli.place import Place
from engine.clock import SystemClock
from engine.config import fast
from jobs.errors import ConfigInvalid, InvalidInput, NotFound, UsageError

_PROTECTED: Final = re.compile(
    r"channels\.\w+\.accounts|agents\.list|cron\.jobs|models\.providers|plugins\.entries"
)


def join(group: click.Group) -> None:
    """Put the commands that change the file into a group."""
    for command in (set_value, unset, patch):
        group.add_command(command)


Options = Callable[[Callable[..., Any]], Callable[..., Any]]


def _provider_flags(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--ref-*` and `--provider-*`."""
    kinds = click.Choice(["env", "file", "exec"])
    options: list[Options] = [
        click.option("--ref-source", type=kinds, help="The value is a reference: where to."),
        click.option("--ref-provider", metavar="ALIAS", help="Its provider; else the default."),
        click.option("--ref-id", metavar="ID", help="What it is called there."),
        click.option("--provider-source", type=kinds, help="The value is a provider of secrets."),
        click.option("--provider-allowlist", multiple=True, metavar="NAME", help="env: names."),
        click.option("--provider-path", metavar="FILE", help="file: where it lies."),
        click.option("--provider-mode", type=click.Choice(["json", "singleValue"])),
        click.option("--provider-max-bytes", type=click.IntRange(1), help="file: largest."),
        click.option("--provider-timeout-ms", type=click.IntRange(1), help="Limit of a request."),
        click.option("--provider-command", metavar="FILE", help="exec: the program."),
        click.option("--provider-arg", "provider_args", multiple=True, help="exec: an argument."),
        click.option("--provider-env", multiple=True, metavar="NAME=VALUE", help="exec."),
        click.option("--provider-pass-env", multiple=True, metavar="NAME", help="exec."),
        click.option("--provider-trusted-dir", "provider_trusted_dirs", multiple=True),
        click.option("--provider-no-output-timeout-ms", type=click.IntRange(1)),
        click.option("--provider-max-output-bytes", type=click.IntRange(1)),
        click.option("--provider-json-only/--provider-text", default=None, help="exec: answer."),
        click.option("--provider-allow-insecure-path", is_flag=True),
        click.option("--provider-allow-symlink-command", is_flag=True),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def _dry_flags(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--dry-run` and what belongs to it."""
    options: list[Options] = [
        click.option("--replace", is_flag=True, help="Allow it to drop entries."),
        click.option("--dry-run", is_flag=True, help="Check, show the difference, write nothing."),
        click.option("--allow-exec", is_flag=True, help="A dry run may call programs for secrets."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@click.command("set", epilog="Example: engine config set agents.defaults.heartbeat.target last")
@click.argument("path", required=False, shell_complete=complete.config_keys)
@click.argument("value", required=False)
@click.option("--strict-json", "--json", "strict", is_flag=True, help="VALUE must be JSON5.")
@click.option("--merge", is_flag=True, help="Merge an object into the one that is there.")
@click.option("--batch-json", metavar="LIST", help="[{path, value|ref|provider}], one write.")
@click.option("--batch-file", type=click.File("r", encoding="utf-8"), help="The same from a file.")
@_provider_flags
@_dry_flags
@click.pass_context
def set_value(ctx: click.Context, /, **given: Any) -> int:
    """Change one key, or several at once; comments and everything else stay as they are."""
    at = here(ctx)
    wishes = _wishes(given)
    if not given["replace"]:
        for op in wishes:
            _refuse_drops(at, op)
    return perform(at, wishes, **_how(given, as_json=bool(given["strict"])))


def _how(given: Mapping[str, Any], *, as_json: bool) -> dict[str, Any]:
    return {
        "replace": given["replace"],
        "dry_run": given["dry_run"],
        "allow_exec": given["allow_exec"],
        "as_json": as_json,
    }


def _wishes(given: Mapping[str, Any]) -> list[Op]:
    """The edits these flags and words ask for; each way of saying it excludes the others."""
    how = How.MERGE if given["merge"] else How.SET
    path, value, strict = given["path"], given["value"], bool(given["strict"])
    flags = {
        _camel(name.removeprefix("provider_")): found
        for name, found in given.items()
        if name.startswith("provider_")
    }
    ref = edits.reference(given["ref_source"], given["ref_provider"], given["ref_id"])
    provider = edits.provider(flags)
    lists = [given["batch_json"], given["batch_file"]]
    ways = [value, ref, provider, *lists]
    if sum(one is not None for one in ways) != 1 or (path is None) != any(
        one is not None for one in lists
    ):
        raise UsageError(
            "nothing was changed",
            why="give PATH and one of VALUE, --ref-*, --provider-*; or --batch-json,"
            " or --batch-file",
            fix="engine config set gateway.port 19001",
        )
    if given["batch_json"] is not None:
        return edits.batch(given["batch_json"], "--batch-json", how=how)
    if given["batch_file"] is not None:
        return edits.batch(given["batch_file"].read(), given["batch_file"].name, how=how)
    if ref is not None or provider is not None:
        return [Op(path, ref or provider, how, "ref" if ref else "provider")]
    from engine.config.edit import value_of

    return [Op(path, value_of(value, strict=strict), how, typed=None if strict else value)]


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(word.capitalize() for word in rest)


def _refuse_drops(at: Place, op: Op) -> None:
    """A protected map is not emptied by accident (operations.md §3)."""
    if op.how is How.MERGE or not _PROTECTED.fullmatch(op.path):
        return
    before = fast.get(composed(at), op.path)
    lost = [] if before is fast.MISSING else edits.lost(before, op.value)
    if lost:
        raise InvalidInput(
            f"{op.path} was not changed",
            why=f"it would drop {', '.join(lost)}",
            fix=edits.REPLACE_MEANS,
        )


@click.command(epilog="Example: engine config unset agents.defaults.heartbeat.target")
@click.argument("path", shell_complete=complete.config_keys)
@_dry_flags
@click.option("--json", "as_json", is_flag=True, help="Report a dry run as JSON.")
@click.pass_context
def unset(ctx: click.Context, /, path: str, as_json: bool, **given: Any) -> int:
    """Take one key out; its default holds again."""
    at = here(ctx)
    try:
        return perform(at, [Op(path, None, How.UNSET)], **_how(given, as_json=as_json))
    except NotFound as missing:
        click.echo(f"{missing.what}: nothing changed", err=True)
        return 1


@click.command(epilog="Example: engine config patch --stdin < changes.json5")
@click.option("--file", "source", type=click.File("r", encoding="utf-8"), help="The patch.")
@click.option("--stdin", "from_stdin", is_flag=True, help="The patch comes on standard input.")
@click.option("--replace-path", multiple=True, metavar="PATH", help="Replace, not merge, here.")
@_dry_flags
@click.option("--json", "as_json", is_flag=True, help="Report a dry run as JSON.")
@click.pass_context
def patch(
    ctx: click.Context,
    /,
    source: IO[str] | None,
    from_stdin: bool,
    replace_path: tuple[str, ...],
    as_json: bool,
    **given: Any,
) -> int:
    """Merge an object into the file: objects merge, null takes out, the rest is replaced."""
    if (source is None) is not from_stdin:
        raise UsageError(
            "nothing was changed",
            why="give --file or --stdin, one of the two",
            fix="engine config patch --file changes.json5",
        )
    at = here(ctx)
    text = sys.stdin.read() if source is None else source.read()
    wishes = edits.patch(text, composed(at), replace_path)
    if not wishes:
        click.echo("No change", err=True)
        return 0
    if not given["replace"]:
        for op in wishes:
            if op.path not in replace_path and op.how is How.SET:
                _refuse_drops(at, op)
    return perform(at, wishes, **_how(given, as_json=as_json))


# -- one write ---------------------------------------------------------------------------------


def perform(
    at: Place,
    wishes: Sequence[Op],
    *,
    replace: bool = False,
    dry_run: bool = False,
    allow_exec: bool = False,
    as_json: bool = False,
    warn: bool = True,
) -> int:
    """Make the edits in the file they belong to, all or none; say when they count.

    ``warn``: tell first which agents begin or cease to beat by it.
    """
    from engine.config import writing

    file, paths = placed(at, wishes)
    wishes = [_fitting(at, op, file, path) for op, path in zip(wishes, paths, strict=True)]

    def edit(text: str) -> str:
        return writing.applied(file, lambda old: edits.edited(old, wishes, paths), text)

    if dry_run:
        from engine.cli.config.rehearsal import rehearse

        return rehearse(at, wishes, file, edit, allow_exec=allow_exec, as_json=as_json)
    written = writing.write(
        file,
        edit,
        validate=lambda raw: _judged(at, file, raw, warn=warn),
        now=SystemClock().now(),
        version=__version__ if file == at.paths.config else None,
        replace=replace,
    )
    sys.stderr.write(f"{written.line}\n")
    if written.changed:
        sys.stderr.write(f"{effect(at, [op.path for op in wishes])}\n")
    return 0


def _judged(at: Place, file: Path, raw: bytes, *, warn: bool) -> None:
    """Refuse what cannot be used; tell what it would do to the beats (§16 L14)."""
    from engine.cli.config.fan_out import warned

    after = check(at, {file: raw})
    if not warn:
        return
    try:
        before = check(at)
    except ConfigInvalid:
        return  # this change mends it: what beat before it is nobody's guess
    for line in warned(at, before, after):
        sys.stderr.write(f"{line}\n")


def placed(at: Place, wishes: Sequence[Op]) -> tuple[Path, list[str]]:
    """The file these edits belong to, and their paths in it."""
    main, text = at.paths.config, text_of(at.paths.config)
    names = [op.path for op in wishes]
    if "$include" not in text:
        return main, names
    from engine.config import writing
    from engine.config.keeping import guard, through

    guard.refuse_older(at.values, at.environ)
    if [op.how for op in wishes] == [How.UNSET]:
        target = through.target(main, text, names[0])
        return (target.file, [target.path]) if target.path else (main, names)
    writing.refuse_unreadable(main, text)
    return through.common(main, text, names)


def _fitting(at: Place, op: Op, file: Path, path: str) -> Op:
    """The value as JSON5, or as the text it was typed as, where only that is valid."""
    if op.typed is None or isinstance(op.value, str | dict | list) or op.how is How.UNSET:
        return op
    as_text = Op(op.path, op.typed, op.how)
    if _is_valid(at, op, file, path) or not _is_valid(at, as_text, file, path):
        return op
    return as_text


def _is_valid(at: Place, op: Op, file: Path, path: str) -> bool:
    from engine.config import writing

    new = writing.applied(file, lambda old: op.on(old, path), text_of(file))
    try:
        check(at, {file: new.encode()})
    except ConfigInvalid:
        return False
    return True


def changed_text(at: Place, path: str, block: dict[str, Any]) -> str:
    """Return the file as it would be with these keys below a path; nothing is written."""
    from engine.config import edit, writing

    return writing.applied(
        at.paths.config,
        lambda text: edit.merge_text(text, path, block),
        text_of(at.paths.config),
    )


def change(at: Place, path: str, block: dict[str, Any]) -> None:
    """Set these keys below a path, as `engine config set --merge` does."""
    perform(at, [Op(path, block, How.MERGE)], warn=False)
