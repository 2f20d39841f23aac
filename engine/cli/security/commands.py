"""`engine security audit` (operations.md §12)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any, Final

import click

from engine.cli.app import Group, here
from engine.cli.ending import dumped
from engine.cli.place import Credentials, Place
from engine.clock import SystemClock
from engine.security import Report, Severity
from engine.security.facts import JobFact, Probe
from jobs.errors import AccessRefused, EngineError

_PATIENCE: Final = timedelta(seconds=5)


@click.group(cls=Group, name="security", epilog="Example: engine security audit")
def group() -> None:
    """What of this installation others can read, write or reach."""


@group.command(epilog="Example: engine security audit --fix")
@click.option("--deep", is_flag=True, help="Ask the running gateway, too.")
@click.option("--fix", is_flag=True, help="Mend what can be mended safely, and list what was done.")
@click.option("--yes", is_flag=True, help="With --fix: also what might lock somebody out.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option(
    "--fail-on", type=click.Choice(["warn", "critical"]), help="Exit 1 from this severity on."
)
@click.pass_context
def audit(
    ctx: click.Context, /, deep: bool, fix: bool, yes: bool, as_json: bool, fail_on: str | None
) -> int:
    """Look at permissions, the port, hooks, chats, tools, plugins, secrets and jobs.

    It works with the gateway down and with a config that is invalid, and prints no secret.
    Accept a finding with `security.audit.suppressions`, each with its reason.
    """
    at = here(ctx)
    report = look(at, deep=deep)
    actions: list[dict[str, Any]] = []
    if fix:
        from engine.cli.security.mending import mended

        actions = mended(at, report, yes=yes)
        report = look(at, deep=deep)
    if as_json:
        told = report.to_json()
        ok = all(one["ok"] for one in actions)
        click.echo(dumped({"fix": {"ok": ok, "actions": actions}, "report": told} if fix else told))
    else:
        click.echo("\n".join((*_done(actions), *_words(report))))
    return 1 if fail_on and _worst(report) >= Severity(fail_on).weight else 0


def look(at: Place, *, deep: bool = False) -> Report:
    """The audit of one home, with the jobs of its store where that can be read."""
    from engine.security import survey

    now = SystemClock().now()
    return survey(at.paths, at.environ, now, jobs=_jobs(at), probe=_probe(at) if deep else None)


def _jobs(at: Place) -> tuple[JobFact, ...]:
    from engine.cli import at_rest
    from engine.security.stored_jobs import stored

    if not at.paths.database.exists():
        return ()
    now = SystemClock().now()
    try:
        return at_rest.read(at, lambda tx, _: tuple(stored(tx, now)))
    except EngineError:
        return ()  # of a home whose config or store cannot be read the rest is told


def _probe(at: Place) -> Probe:
    """What came of asking the gateway that runs here."""
    from gateway.client import call

    address = at.address()
    known = Credentials()
    try:
        known = at.credentials(address)
        call(
            "health", None, url=address.url, token=known.token, password=known.password,
            timeout=_PATIENCE,
        )  # fmt: skip
    except AccessRefused as error:
        unread = known.source == "none"
        return Probe(ok=False, detail=str(error), credential_unresolved=unread)
    except EngineError as error:
        return Probe(ok=False, detail=str(error))
    return Probe(ok=True)


def _worst(report: Report) -> int:
    return max((one.severity.weight for one in report.findings), default=0)


def _done(actions: list[dict[str, Any]]) -> Iterator[str]:
    for one in actions:
        yield f"{'done' if one['ok'] else 'not done'}: {one['action']}" + (
            "" if one["ok"] else f" ({one['error']})"
        )


def _words(report: Report) -> Iterator[str]:
    for one in report.findings:
        yield f"{one.severity}  {one.check_id}  {one.title}"
        yield f"       {one.detail}"
        if one.severity is not Severity.INFO:
            yield f"       Fix: {one.remediation}"
    for one, why in report.suppressed:
        until = f" until {why.until}" if why.until else ""
        yield f"accepted{until}  {one.check_id}  {why.reason}"
    for line in report.secret_diagnostics:
        yield f"note: {line}"
    counts = [f"{report.count(one)} {one}" for one in Severity]
    yield ", ".join(counts)
