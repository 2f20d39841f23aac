"""`engine secrets audit|configure|apply|reload` (operations.md §5)."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from engine.cli.app import Group, here
from engine.cli.ask import Line, gateway_options
from engine.cli.ending import dumped
from engine.cli.place import shown
from engine.clock import SystemClock
from jobs.errors import GatewayDown, InvalidInput, UsageError

_AUTH_CHANGED = "4001"  # the code with which a gateway closes whoever came in by an old secret


@click.group(cls=Group, name="secrets", epilog="Example: engine secrets audit --check")
def group() -> None:
    """Secrets: which stand in files as they are, and how references take their place."""


_allow_exec = click.option(
    "--allow-exec", is_flag=True, help="Run the programs that keep secrets, too."
)


@group.command(epilog="Example: engine secrets audit --check")
@click.option("--check", is_flag=True, help="Exit 1 if there is a finding, 2 if a reference fails.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@_allow_exec
@click.pass_context
def audit(ctx: click.Context, /, check: bool, as_json: bool, allow_exec: bool) -> int:
    """Find secrets in the config, its includes and backups and in .env, and broken references.

    It changes nothing, needs no gateway and prints no value.
    """
    from engine.security import secret_files
    from engine.security.plaintext import STATUS

    at = here(ctx)
    found = secret_files.audit(at.paths, at.environ, programs=allow_exec)
    if as_json:
        click.echo(dumped(found.to_json()))
    else:
        for one in found.flaws:
            click.echo(f"{one.code.severity}  {one.code}  {shown(Path(one.file), at.paths)}")
            click.echo(f"       {one.path}: {one.message}")
        click.echo(_verdict(found))
    return STATUS[found.status] if check else 0


def _verdict(found: Any) -> str:
    told = f"{found.status}: {len(found.flaws)} findings in {len(found.files)} files"
    told += f", {found.refs_checked} references followed"
    if found.skipped_exec_refs:
        told += f", {found.skipped_exec_refs} of programs not (--allow-exec runs them)"
    return told


@group.command(epilog="Example: engine secrets configure --plan-out plan.json")
@click.option("--plan-out", type=click.Path(path_type=Path), help="Write the plan, change nothing.")
@click.option("--apply", "now", is_flag=True, help="Carry the plan out at once.")
@click.option("--yes", is_flag=True, help="With --apply: do not ask once more.")
@click.option("--providers-only", is_flag=True, help="Only describe where secrets are kept.")
@_allow_exec
@click.pass_context
def configure(
    ctx: click.Context,
    /,
    plan_out: Path | None,
    now: bool,
    yes: bool,
    providers_only: bool,
    allow_exec: bool,
) -> int:
    """Ask, secret by secret, where it shall be kept, and make a plan of it."""
    from engine.cli.secrets import planner

    at = here(ctx)
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError(
            "nothing was planned",
            why="the questions need a terminal",
            fix="engine secrets apply --from PLAN takes a plan that is already written",
        )
    plan = planner.asked(at, providers_only=providers_only)
    if not plan.targets and not plan.providers:
        click.echo("nothing to do", err=True)
        return 0
    if plan_out is not None:
        planner.write(plan_out, plan, SystemClock().now())
        click.echo(f"plan written: {plan_out}", err=True)
    if now and (yes or click.confirm("Carry it out now?", err=True)):
        _tell(planner.carried_out(at, plan, programs=allow_exec))
    elif plan_out is None:
        click.echo(dumped(plan.to_json(SystemClock().now())))
    return 0


@group.command(epilog="Example: engine secrets apply --from plan.json --dry-run")
@click.option("--from", "source", required=True, type=click.Path(path_type=Path), help="The plan.")
@click.option("--dry-run", is_flag=True, help="Check everything and change nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@_allow_exec
@click.pass_context
def apply(
    ctx: click.Context, /, source: Path, dry_run: bool, as_json: bool, allow_exec: bool
) -> int:
    """Put references where secrets stand, and take those out of every backup.

    Every reference is followed first. What was there is not kept anywhere.
    """
    from engine.cli.secrets import planner
    from engine.security import moving

    at = here(ctx)
    plan = moving.read(_plan(source))
    done = planner.carried_out(at, plan, programs=allow_exec, dry_run=dry_run)
    if as_json:
        click.echo(dumped(done))
    else:
        _tell(done)
    return 0


def _plan(source: Path) -> Any:
    try:
        return json.loads(source.read_text("utf-8"))
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it is no JSON"
        raise InvalidInput(
            f"{source} was not read", why=str(why), fix="ls -l " + str(source)
        ) from None


def _tell(done: dict[str, Any]) -> None:
    verb = "would get" if done["dryRun"] else "got"
    for path in done["targets"]:
        click.echo(f"{path} {verb} a reference", err=True)
    for file in done["scrubbed"]:
        click.echo(f"secrets taken out of {file}", err=True)
    if done["dryRun"]:
        click.echo("valid; nothing was written", err=True)


@group.command("reload", epilog="Example: engine secrets reload --json")
@gateway_options()
def reload_(line: Line) -> int:
    """Let the running gateway read its secrets again: all of them, or none."""
    try:
        answer = line.call("secrets.reload")
    except GatewayDown as error:
        if _AUTH_CHANGED not in str(error):
            raise
        # It was taken over, and with it the word by which this command had come in.
        answer = {"ok": True, "warningCount": 0, "authChanged": True}
    line.show(answer, _reloaded)
    return 0


def _reloaded(answer: Any) -> str:
    count = int(answer.get("warningCount") or 0)
    own = "; the gateway's own credential is another one now" if answer.get("authChanged") else ""
    return f"secrets reloaded, {count} warning{'s' * (count != 1)}{own}"
