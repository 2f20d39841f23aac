"""The commands by name, loaded when used; errors become sentences and exit statuses.

operations.md §14.1 (statuses), §14.2 (what goes where).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from importlib import import_module
from typing import Any, Final

import click

from engine.cli.ending import guarded, refuse, version
from engine.cli.place import Place, place
from engine.cli.words import split
from jobs.errors import EngineError, StoreUnavailable, UsageError

_HELP: Final = {"help_option_names": ["-h", "--help"], "max_content_width": 100}

# name → where the command lives, what it is for. Nothing is imported to print this list.
COMMANDS: Final[Mapping[str, tuple[str, str]]] = {
    "setup": ("engine.cli.setup:command", "Make the first config, the token and the workspace."),
    "onboard": (
        "engine.cli.onboard.commands:command",
        "Agent, model, channel, beats, service: from nothing to a message.",
    ),
    "gateway": ("engine.cli.gateway.commands:group", "Run the gateway; ask how it is."),
    "status": ("engine.cli.status.commands:status", "The whole engine at a glance."),
    "health": ("engine.cli.gateway.health:health", "The gateway's own health."),
    "dashboard": ("engine.cli.dashboard:command", "The status page, for a browser."),
    "why": ("engine.cli.why.commands:command", "Why no message came, and what mends it."),
    "doctor": ("engine.cli.doctor.command:command", "What is wrong here, and what mends it."),
    "logs": ("engine.cli.logs.commands:command", "What the gateway wrote down."),
    "heartbeat": (
        "engine.cli.heartbeat.commands:group",
        "Beats: the last one, the history, on and off.",
    ),
    "cron": ("engine.cli.cron.commands:group", "Scheduled jobs and their runs."),
    "system": ("engine.cli.system:group", "Wake an agent, see who is around."),
    "chat": ("engine.cli.chat:chat", "Talk to an agent."),
    "agent": ("engine.cli.chat:agent", "One turn of an agent."),
    "message": ("engine.cli.chat:message", "Send a message to a person."),
    "inbox": ("engine.cli.inbox:group", "What arrived on this machine, and what arrived nowhere."),
    "outbox": ("engine.cli.outbox:group", "Messages on their way, and what became of them."),
    "approvals": ("engine.cli.approvals:group", "Commands that wait for your yes."),
    "pairing": ("engine.cli.pairing:group", "Strangers who ask to be let in."),
    "devices": ("engine.cli.devices:group", "Devices that connect, and their tokens."),
    "token": ("engine.cli.token:group", "The gateway's token: show it, replace it."),
    "channels": ("engine.cli.channels.commands:group", "Chat channels and their accounts."),
    "config": ("engine.cli.config.commands:group", "Read and change the config file."),
    "secrets": (
        "engine.cli.secrets.commands:group",
        "Which secrets lie in the open, and a way out.",
    ),
    "security": ("engine.cli.security.commands:group", "What of this home is open to others."),
    "import": ("engine.cli.moving.commands:group", "Take over the home of another engine."),
    "sessions": ("engine.cli.records.sessions:group", "Conversations: list, read, begin anew."),
    "tasks": ("engine.cli.records.tasks:group", "Runs of jobs, as newer clients name them."),
    "models": ("engine.cli.edges.models:models", "Where answers come from."),
    "infer": ("engine.cli.edges.models:infer", "Ask a model directly."),
    "hooks": ("engine.cli.edges.hooks:group", "Requests from outside that wake an agent."),
    "plugins": ("engine.cli.edges.plugins:group", "Channels that come with other packages."),
    "sandbox": ("engine.cli.edges.sandbox:group", "Which tools agents have, and where they run."),
    "nodes": ("engine.cli.edges.absent:nodes", "Other machines of yours: none can be paired yet."),
    "browser": ("engine.cli.edges.absent:browser", "A browser for agents: not built in."),
    "dns": ("engine.cli.edges.absent:dns", "Being found beyond the local network."),
    "reset": ("engine.cli.edges.reset:command", "Begin anew; what was there is moved aside."),
    "docs": ("engine.cli.edges.docs:command", "Pages of the documentation."),
    "env": ("engine.cli.config.variables:command", "Which variables are set, and where."),
    "backup": ("engine.cli.backup:group", "Pack this home into one file, and put it back."),
    "simulate": ("engine.cli.simulate:command", "What would happen in the coming days."),
    "demo": ("engine.cli.demo:command", "See it work, in a throwaway home."),
    "protocol": ("engine.cli.protocol:group", "The wire contract as JSON Schema."),
    "help": ("engine.cli.manual.commands:command", "Read about a topic or a command."),
    "completion": ("engine.cli.completion:command", "Tab completion for your shell."),
}
ALIASES: Final = {
    "automations": "cron",
    "configure": "onboard",
    "daemon": "gateway",
    "webhooks": "hooks",
}


class Group(click.Group):
    """A group that names the nearest command when it is asked for one it does not have."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command, or refuse with what was probably meant."""
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-"):
            near = get_close_matches(name, self.list_commands(ctx), 1, 0.5)
            path = ctx.command_path
            raise UsageError(
                f'"{name}" is not a command of {path}',
                why=f"did you mean {near[0]}?" if near else "",
                fix=f"{path} {near[0]}" if near else f"{path} --help",
            )
        return super().resolve_command(ctx, args)


class LazyGroup(Group):
    """The top: names and sentences from the table, modules only for the command that runs."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's promise
        """Return the names in the order of the table."""
        return list(COMMANDS)

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's promise
        cmd_name: str,
    ) -> click.Command | None:
        """Import and return one command."""
        name = ALIASES.get(cmd_name, cmd_name)
        if name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[name][0].partition(":")
        command = getattr(import_module(module), attribute)
        if not isinstance(command, click.Command):
            raise AssertionError(f"{COMMANDS[name][0]} is no command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][1]) for name in self.list_commands(ctx)])


@click.group(
    cls=LazyGroup,
    context_settings=_HELP,
    invoke_without_command=True,
    epilog="Example: engine onboard. To read: engine help",
)
@click.option("--profile", metavar="NAME", help="Another home: ~/.engine-NAME. Anywhere.")
@click.option("--dev", is_flag=True, help="The same as --profile dev.")
@click.option("--no-color", is_flag=True, help="Plain text on a terminal too.")
@click.option("--version", is_flag=True, help="Print the version.")
@click.pass_context
def cli(ctx: click.Context, /, **_options: Any) -> None:
    """Wakes AI agents on schedule and says what became of it."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def run(words: Sequence[str]) -> int:
    """Run one command line and return its exit status; errors are printed here."""
    options, rest = split(words)
    return guarded(lambda: _run(options, rest))


def _run(options: Mapping[str, str], rest: list[str]) -> int:
    as_json = "--json" in rest
    try:
        return _called(options, rest)
    except EngineError as error:
        return refuse(error, as_json=as_json)
    except click.ClickException as error:
        return refuse(_usage(error), as_json=as_json)
    except click.Abort:
        raise KeyboardInterrupt from None
    except OSError as error:
        if error.filename is None:
            raise
        return refuse(_no_disk(error), as_json=as_json)


def _called(options: Mapping[str, str], rest: list[str]) -> int:
    if "version" in options:
        return version()
    if "no-color" in options:
        os.environ["NO_COLOR"] = "1"
    here = place(profile=options.get("profile"), dev="dev" in options)
    if here.paths.notice:
        sys.stderr.write(f"{here.paths.notice}\n")
    status = cli.main(args=rest, prog_name="engine", standalone_mode=False, obj=here)
    return status if isinstance(status, int) else 0


def _no_disk(error: OSError) -> StoreUnavailable:
    """What the disk refuses is a fact to be told, wherever it was met."""
    place = os.fsdecode(error.filename)
    return StoreUnavailable(
        f"{place} cannot be used",
        why=error.strerror or str(error),
        fix=f"ls -ld {os.path.dirname(place) or place}",  # noqa: PTH120 - a text to paste
    )


def _usage(error: click.ClickException) -> UsageError:
    context = getattr(error, "ctx", None)
    fix = f"{context.command_path} --help" if context is not None else "engine --help"
    return UsageError(error.format_message().rstrip("."), fix=fix)


def here(ctx: click.Context) -> Place:
    """The place of a command that does not call the gateway."""
    found = ctx.find_object(Place)
    if found is None:
        raise AssertionError("the place is set before any command runs")
    return found
