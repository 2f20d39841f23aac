"""`engine gateway`: run it, ask how it is, call a method (operations.md §6, §9.1)."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any, Final

import click

from engine.cli.app import Group, here
from engine.cli.ask import GREETING_MS, Line, gateway_options
from engine.cli.ending import dumped
from engine.cli.gateway.health import health
from engine.cli.gateway.probe import PROBE_MS, discover, probe
from engine.cli.gateway.run import run_flags, serve
from engine.cli.gateway.service import install, restart, start, stop, uninstall
from engine.cli.gateway.watch import watch
from engine.clock import SystemClock
from jobs.errors import UsageError

_MS: Final = timedelta(milliseconds=1)
_JUST_STARTED: Final = timedelta(minutes=10)


@click.group(
    cls=Group, name="gateway", invoke_without_command=True, epilog="Example: engine gateway"
)
@run_flags
@click.pass_context
def group(ctx: click.Context, /, **given: Any) -> int:
    """Run the gateway here, until Ctrl-C; or ask how it is.

    Without a subcommand it is `engine gateway run`.
    """
    return 0 if ctx.invoked_subcommand is not None else serve(here(ctx), **given)


@group.command("run", epilog="Example: engine gateway run --port 19001")
@run_flags
@click.pass_context
def run_here(ctx: click.Context, /, **given: Any) -> int:
    """Run the gateway in this terminal, until Ctrl-C."""
    return serve(here(ctx), **given)


# -- how it is -------------------------------------------------------------------------------


@group.command(epilog="Example: engine gateway status --json")
@click.option("--deep", is_flag=True, help="Other services, programs and processes too.")
@click.option("--no-probe", is_flag=True, help="Open no connection.")
@click.option("--require-rpc", is_flag=True, help="Exit 1 unless reading works as well.")
@click.option("--exit-zero", is_flag=True, help="Exit status 0 whatever is found.")
@gateway_options(timeout_ms=PROBE_MS, greeting_ms=GREETING_MS)
def status(line: Line, deep: bool, no_probe: bool, require_rpc: bool, exit_zero: bool) -> int:
    """What stands in the way, if anything; works with a broken config. Exit 1 if unhealthy."""
    from engine.cli.gateway.report import look, words

    if no_probe and require_rpc:
        raise UsageError(
            "--require-rpc was refused",
            why="it reads from the gateway, and --no-probe opens no connection",
            fix="leave one of the two out",
        )
    report = look.report(line, probe=not no_probe, deep=deep)
    now = SystemClock().now()
    click.echo(dumped(report) if line.as_json else words.told(report, line.place, now))
    well = report["ok"] and (not require_rpc or report["rpc"]["ok"])
    return 0 if well or exit_zero else 1


@group.command("call", epilog="Example: engine gateway call cron.list --params '{\"limit\": 5}'")
@click.argument("method")
@click.option("--params", metavar="JSON", default="{}", show_default=True)
@click.option("--final", is_flag=True, help="Wait for the second answer of `agent`.")
@gateway_options()
def call_method(line: Line, method: str, params: str, final: bool) -> None:
    """Call one method and print its answer."""
    try:
        values = json.loads(params)
    except ValueError as error:
        raise UsageError(
            "--params was not understood", why=f"it is not JSON ({error})", fix="--params '{}'"
        ) from error
    if not isinstance(values, dict):
        raise UsageError(
            "--params was not understood", why="it is not an object", fix="--params '{}'"
        )
    click.echo(dumped(line.call(method, values, final=final)))


for command in (health, install, uninstall, start, stop, restart):
    group.add_command(command)
group.add_command(probe)
group.add_command(discover)
group.add_command(watch)
