"""`engine help`: topics, and the help of any command."""

from __future__ import annotations

from difflib import get_close_matches
from shutil import get_terminal_size
from typing import Final

import click

from engine.cli.app import ALIASES, COMMANDS
from engine.cli.ending import dumped
from engine.cli.manual import pages
from jobs.errors import NotFound

_INTRO: Final = "Topics: engine help TOPIC. Commands: engine help COMMAND."


def words(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:  # noqa: ARG001 - click's promise
    """Topics and commands, for tab completion."""
    said = ctx.params.get("about") or ()
    if said:
        command = _command(ctx, tuple(said))
        known = command.list_commands(ctx) if isinstance(command, click.Group) else []
    else:
        known = list(dict.fromkeys([*pages.TOPICS, *COMMANDS]))
    return [one for one in known if one.startswith(incomplete)]


@click.command(epilog="Example: engine help schedules")
@click.argument("about", nargs=-1, metavar="[TOPIC | COMMAND ...]", shell_complete=words)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def command(ctx: click.Context, /, about: tuple[str, ...], as_json: bool) -> None:
    """Read about a topic, or what a command does: `engine help cron add`.

    Without a word it lists the topics. A topic that is a command as well has a page of its own;
    the command's flags are in its --help.
    """
    if not about:
        _index(as_json=as_json)
        return
    topic = pages.named(about[0]) if len(about) == 1 else None
    if topic is not None:
        text = pages.page(topic)
        width = min(get_terminal_size((100, 24)).columns, 100)
        shown = pages.plain(text, width)
        click.echo(dumped({"topic": topic, "text": text}) if as_json else shown, nl=as_json)
        return
    found = _command(ctx, about)
    if found is None:
        raise _unknown(ctx, about)
    text = _help_of(ctx, found, about)
    click.echo(dumped({"command": " ".join(about), "text": text}) if as_json else text)


def _index(*, as_json: bool) -> None:
    topics = {topic: pages.title(topic) for topic in pages.TOPICS}
    if as_json:
        click.echo(dumped({"topics": topics, "commands": {k: v[1] for k, v in COMMANDS.items()}}))
        return
    width = max(map(len, topics))
    for topic, about in topics.items():
        click.echo(f"  {topic.ljust(width)}  {about}")
    click.echo(_INTRO)


def _command(ctx: click.Context, about: tuple[str, ...]) -> click.Command | None:
    """The command these words name; None if they name none."""
    found: click.Command | None = ctx.find_root().command
    for word in about:
        if not isinstance(found, click.Group):
            return None
        found = found.get_command(click.Context(found), word)
    return found


def _help_of(ctx: click.Context, found: click.Command, about: tuple[str, ...]) -> str:
    above = ctx.find_root()
    for word in about[:-1]:
        group = _command(ctx, (*_path(above), word))
        if group is not None:
            above = click.Context(group, info_name=word, parent=above)
    made = click.Context(found, info_name=about[-1], parent=above, **found.context_settings)
    return found.get_help(made)


def _path(ctx: click.Context) -> tuple[str, ...]:
    return tuple(ctx.command_path.split()[1:])


def _unknown(ctx: click.Context, about: tuple[str, ...]) -> NotFound:
    *group, last = about
    found = _command(ctx, tuple(group))
    inside = found.list_commands(ctx) if group and isinstance(found, click.Group) else None
    known = [*pages.TOPICS, *pages.ALSO, *COMMANDS, *ALIASES] if inside is None else inside
    near = next(iter(get_close_matches(last if inside else about[0], known, 1, 0.6)), None)
    near = near and " ".join((*(group if inside else ()), near))
    return NotFound(
        f'"{" ".join(about)}" is no topic and no command',
        why=f"did you mean {near}?" if near else "",
        fix=f"engine help {near}" if near else "engine help",
    )
