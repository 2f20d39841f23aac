"""`engine completion`: a script for the shell, made by click."""

from __future__ import annotations

from typing import Final

import click
from click.shell_completion import get_completion_class

from engine.cli.app import cli
from jobs.errors import UsageError

VARIABLE: Final = "_ENGINE_COMPLETE"


@click.command(epilog='Example: eval "$(engine completion bash)"')
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Tab completion for your shell: put its output into the shell's start-up file."""
    made = get_completion_class(shell)
    if made is None:
        raise UsageError(f"there is no completion for {shell}", fix="engine completion bash")
    click.echo(made(cli, {}, "engine", VARIABLE).source())
