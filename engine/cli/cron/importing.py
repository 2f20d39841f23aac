"""`engine cron import` and `engine cron export`: jobs from elsewhere, and back (cron.md §22-11)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

import click

from engine.cli.ask import Line, gateway_options
from engine.cli.ending import dumped
from engine.cli.render import one_line, relative, show_table
from engine.clock import SystemClock
from gateway.client import Client
from jobs.errors import GatewayDown, InvalidInput

KINDS: Final = ("crontab", "systemd", "openclaw", "nanobot", "engine")
_PAGE: Final = 200
_PATIENCE_MS: Final = 600_000
_PART: Final = 8_000_000  # bytes of one call; the wire takes three times that
_WHOLE: Final = 20_000_000  # of definitions, which are never taken apart
_LOST: Final = 1  # exit status: something was not brought over


@click.command("import", epilog="Example: engine cron import ~/.openclaw --from openclaw --dry-run")
@click.argument("file", metavar="FILE|DIR|-")
@click.option(
    "--from", "kind", type=click.Choice(KINDS), help="What it is; an export is recognised."
)
@click.option(
    "--user-column/--no-user-column",
    default=None,
    help="Whether a crontab names a user on each line; it is looked at otherwise.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@gateway_options(timeout_ms=_PATIENCE_MS)
def bring_in(
    line: Line, file: str, kind: str | None, user_column: bool | None, dry_run: bool
) -> int:
    """Bring jobs over from cron, systemd, OpenClaw, nanobot or another home.

    `-` reads standard input: `crontab -l`, or `systemctl cat` of a timer and its service.
    Importing the same again changes nothing. Status 1: something was not brought over.
    """
    from engine.cli import sources

    source = sources.Source(
        path=file, now=SystemClock().now(), zone=line.place.zone, user_column=user_column
    )
    report = sources.read(kind, source)
    entries = [entry.to_json() for entry in report.entries]
    answer = _brought(line, {"kind": report.kind, "dryRun": dry_run}, entries)
    answer = {
        **answer,
        "kind": report.kind,
        "remarks": [*(one.to_json() for one in report.remarks), *answer.get("remarks", ())],
    }
    if line.as_json:
        click.echo(dumped(answer))
    else:
        _show(answer)
    lost = any(remark["weight"] == "left-out" for remark in answer["remarks"])
    return _LOST if lost or answer["counts"]["refused"] else 0


def _brought(line: Line, how: Mapping[str, Any], entries: list[dict[str, Any]]) -> dict[str, Any]:
    """Ask the gateway; where none runs on this home, write with its lock in hand."""
    from engine.cli.progress import Progress

    try:
        with line.open() as client:
            first, *later = _parts(entries)
            with Progress("importing", total=1 + len(later)) as progress:
                answer = dict(client.call("cron.import", {**how, "entries": first}))
                progress.advance()
                for part in later:
                    if not how["dryRun"]:
                        told = client.call("cron.import", {**how, "entries": part})
                        answer = _added(answer, told)
                    progress.advance()
            return answer
    except GatewayDown:
        if not line.at_home:
            raise
    import asyncio

    from engine.cli.home_desk import bring_in as written

    return asyncio.run(written(line.place, {**how, "entries": entries}))


def _parts(entries: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Return all definitions with as much history as fits, then the rest of the history.

    The jobs are one transaction whatever their number; history that comes later finds them.
    """
    first = [{**entry, "runs": []} for entry in entries]
    size = len(json.dumps(first))
    if size > _WHOLE:
        raise InvalidInput(
            "the jobs were not imported",
            why=f"their definitions are {size // 1_000_000} MB, too much for one call",
            fix="stop the gateway and import again: they are written in one transaction then",
        )
    parts = [first]
    into = dict(enumerate(first))  # where the history of each entry goes
    for number, entry in enumerate(entries):
        for run in entry.get("runs", ()):
            length = len(json.dumps(run))
            if size + length > _PART:
                parts.append([])
                into, size = {}, 0
            if number not in into:
                into[number] = {"key": entry["key"], "where": entry["where"], "runs": []}
                parts[-1].append(into[number])
            into[number]["runs"].append(run)
            size += length
    return parts


def _added(answer: dict[str, Any], told: Mapping[str, Any]) -> dict[str, Any]:
    """Add what a later part says to what the first said: only its history is new."""
    if not answer:
        return dict(told)
    counts = {**answer["counts"], "runs": answer["counts"]["runs"] + told["counts"]["runs"]}
    more = {one["key"]: one.get("runs", 0) for one in told["results"]}
    results = [
        {**one, "runs": one.get("runs", 0) + more[one["key"]]} if more.get(one["key"]) else one
        for one in answer["results"]
    ]
    remarks = [*answer.get("remarks", ()), *told.get("remarks", ())]
    return {**answer, "counts": counts, "results": results, "remarks": remarks}


# -- words ---------------------------------------------------------------------------------------


def _show(answer: Mapping[str, Any]) -> None:
    counts, now = answer["counts"], SystemClock().now()
    jobs = len(answer["results"])
    told = [f"{counts[act]} {word}" for act, word in _DONE if counts[act]]
    dry = "Dry run: " if answer["dryRun"] else ""
    history = f"; {counts['runs']} runs of their history" if counts["runs"] else ""
    click.echo(f"{dry}{jobs} jobs from {answer['kind']}: {', '.join(told) or 'none'}{history}.")
    rows = [
        [
            one["act"],
            one.get("name", one["key"]),
            relative(one.get("nextRunAtMs"), now) if one.get("enabled") else "off",
            str(one.get("runs", 0)),
            one["where"],
            one.get("why", ""),
        ]
        for one in answer["results"]
    ]
    if rows:
        show_table(
            ("ACT", "NAME", "NEXT", "RUNS", "FROM", "WHY"), rows, keep=1, spare=("RUNS", "FROM")
        )
    for remark in answer["remarks"]:
        click.echo(_remark(remark), err=True)


_DONE: Final = (
    ("add", "added"),
    ("update", "updated"),
    ("unchanged", "unchanged"),
    ("refused", "refused"),
)


def _remark(remark: Mapping[str, str]) -> str:
    fix = f". Fix: {remark['fix']}" if remark.get("fix") else ""
    text = f" ({one_line(remark['text'], 80)})" if remark.get("text") else ""
    return f"{remark['weight']}: {remark['where']}: {remark['why']}{fix}{text}"


# -- export --------------------------------------------------------------------------------------


@click.command("export", epilog="Example: engine cron export > jobs.json")
@click.option(
    "--format",
    "form",
    type=click.Choice(["json", "crontab", "config"]),
    default="json",
    show_default=True,
    help="For import here, for cron, or for cron.jobs in the config.",
)
@gateway_options()
def export(line: Line, form: str) -> int:
    """Print all jobs: to import them elsewhere, for cron, or for the config.

    Status 1: something cannot be said in that format; it is told on standard error.
    """
    jobs, unreadable = _jobs(line)
    for ident in unreadable:
        click.echo(f"left-out: job {ident} cannot be read. Fix: engine cron rm {ident}", err=True)
    match form:
        case "crontab":
            lost = _crontab(line, jobs)
        case "config":
            lost = _config(line, jobs)
        case _:
            from jobs.exporting.document import document

            click.echo(dumped(document(jobs)))
            lost = False
    return _LOST if lost or unreadable else 0


def _jobs(line: Line) -> tuple[list[dict[str, Any]], list[str]]:
    """Every job, from the gateway, or from the store of a home where none runs."""
    try:
        with line.open() as client:
            return _pages(client)
    except GatewayDown:
        if not line.at_home:
            raise
    import asyncio

    from engine.cli.home_desk import listing

    return asyncio.run(listing(line.place))


def _pages(client: Client) -> tuple[list[dict[str, Any]], list[str]]:
    jobs: dict[str, Any] = {}
    unreadable: set[str] = set()
    params: dict[str, Any] = {
        "includeDisabled": True,
        "sortBy": "name",
        "limit": _PAGE,
        "reveal": True,
    }
    offset = 0
    while True:
        page = client.call("cron.list", {**params, "offset": offset})
        jobs |= {str(job["id"]): job for job in page["jobs"]}
        unreadable |= set(page.get("unreadable") or ())
        if not page.get("hasMore") or not page["jobs"]:
            return [*jobs.values()], sorted(unreadable)
        offset += len(page["jobs"])


def _crontab(line: Line, jobs: list[dict[str, Any]]) -> bool:
    from jobs.exporting.crontab import crontab
    from jobs.importing.report import Weight

    made = crontab(jobs)
    told = [remark.to_json() for remark in made.remarks]
    if line.as_json:
        click.echo(dumped({"crontab": made.text, "remarks": told}))
    else:
        click.echo(made.text, nl=False)
        for remark in told:
            click.echo(_remark(remark), err=True)
    return any(remark.weight is Weight.LEFT_OUT for remark in made.remarks)


def _config(line: Line, jobs: list[dict[str, Any]]) -> bool:
    from engine.config import json5
    from jobs.exporting import config

    wanted = {"cron": {"jobs": config.entries(jobs)}}
    click.echo(dumped(wanted) if line.as_json else json5.render(wanted))
    return False


COMMANDS: Final = (bring_in, export)
