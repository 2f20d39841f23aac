"""`engine cron`: jobs and their runs (cron.md §16)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from threading import Event as Pause
from typing import Any, Final

import click

from engine.cli import at_rest, complete, simulate
from engine.cli.app import Group
from engine.cli.ask import Line, gateway_options
from engine.cli.cron import (
    audit as cron_audit,
    config as cron_config,
    control as cron_control,
    doctor as cron_doctor,
    explain as cron_explain,
    flags as cron_flags,
    importing as cron_import,
    judged as cron_judged,
    remarks as cron_remarks,
    spoken as cron_spoken,
    timeline as cron_timeline,
)
from engine.cli.cron.words import (
    JOB_HEAD,
    JOB_SPARE,
    RUN_HEAD,
    job_facts,
    job_row,
    paused_words,
    run_row,
    status_facts,
)
from engine.cli.ending import dumped
from engine.cli.render import duration, facts, show_table
from engine.cli.why import commands as why
from engine.clock import SystemClock
from engine.config.masks import job_shown
from gateway.client import Client
from jobs.duration import parse_duration
from jobs.errors import EngineError, GatewayDown, NotFound, TimedOut
from jobs.wallclock import zone

PAGE: Final = 200
_HIDDEN: Final = "note: `engine cron list` hides it; `engine cron list --all` shows it"
_RAN: Final = frozenset({"ok", "succeeded"})


@click.group(cls=Group, name="cron", epilog='Example: engine cron add "0 7 * * *" "Good morning"')
def group() -> None:
    """Scheduled jobs and their runs."""


# -- changing --------------------------------------------------------------------------------


@group.command(epilog='Example: engine cron add "0 7 * * *" "What is on today?" --to 123456')
@click.argument("schedule", required=False)
@click.argument("message_text", metavar="[MESSAGE]", required=False)
@cron_flags.add_flags
@gateway_options()
def add(line: Line, schedule: str | None, message_text: str | None, **given: Any) -> None:
    """Add a job: a schedule, and what to do.

    SCHEDULE is a cron expression, `every 10m`, `20m` or an instant; or words, English or
    Chinese: "every weekday at 9", "工作日早上9点". What was understood is said back.
    """
    job = cron_flags.new_job(given, _meant(line, schedule, given.get("tz")), message_text)
    _warn_of_shell(job["payload"])
    try:
        with line.open() as client:
            stored = client.call("cron.add", job, timeout=line.timeout)
            click.echo(dumped(stored))
            added = stored.get("job", stored)
            _remarks(client, added, asked=job)
            _remark_on_name(client, added)
    except GatewayDown:
        cron_judged.refuse_bad(line, job)
        raise


def _meant(line: Line, schedule: str | None, tz: str | None) -> str | dict[str, Any] | None:
    """Return the schedule that was written, or what words mean in the zone jobs have there."""

    def default_zone() -> str:
        try:
            with line.open() as client:
                return str(client.call("cron.status", {})["tz"])
        except GatewayDown:
            return cron_judged.zone_of(line)  # the words are looked at first

    if schedule is None:
        return None
    return cron_spoken.schedule(schedule, SystemClock().now(), default_zone, asked=tz)


group.add_command(add, "create")


@group.command(epilog="Example: engine cron edit morning --cron '0 8 * * *' --tz Europe/Berlin")
@click.argument("job", shell_complete=complete.jobs)
@cron_flags.edit_flags
@gateway_options()
def edit(line: Line, job: str, **given: Any) -> None:
    """Change a job; what is not named stays as it is."""
    changes = cron_flags.patch(given)
    _warn_of_shell(changes.get("payload") or {})
    with line.open() as client:
        stored = client.call("cron.update", {"id": _id(client, job), "patch": changes})
        click.echo(dumped(stored))
        _remarks(client, stored, asked=changes)


@group.command(epilog="Example: engine cron enable morning")
@click.argument("job", shell_complete=complete.jobs)
@gateway_options()
def enable(line: Line, job: str) -> None:
    """Switch a job on."""
    _switch(line, job, on=True)


@group.command(epilog="Example: engine cron disable morning")
@click.argument("job", shell_complete=complete.jobs)
@gateway_options()
def disable(line: Line, job: str) -> None:
    """Switch a job off; it keeps its history."""
    _switch(line, job, on=False)
    click.echo(_HIDDEN, err=True)


def _switch(line: Line, job: str, *, on: bool) -> None:
    with line.open() as client:
        params = {"id": _id(client, job), "patch": {"enabled": on}}
        stored = client.call("cron.update", params, timeout=line.timeout)
        click.echo(dumped(stored))
        _remarks(client, stored, asked={})


@group.command("rm", epilog="Example: engine cron rm morning")
@click.argument("job", shell_complete=complete.jobs)
@gateway_options()
def remove(line: Line, job: str) -> int:
    """Remove a job; its runs stay on record."""
    with line.open() as client:
        known = _quietly(lambda: _find(client, job), default={})
        answer = client.call("cron.remove", {"id": job}, timeout=line.timeout)
        click.echo(dumped(answer))
        for remark in cron_remarks.of_removal(known):
            click.echo(remark, err=True)
        _warn_if_off(client)
    return 0 if answer.get("removed", answer.get("ok")) else 1


group.add_command(remove, "remove")
group.add_command(remove, "delete")


@group.command(epilog="Example: engine cron run morning --wait")
@click.argument("job", shell_complete=complete.jobs)
@click.option("--due", is_flag=True, help="Only if it is due.")
@click.option("--wait", is_flag=True, help="Wait for the end; status 0 only if it succeeded.")
@click.option("--wait-timeout", metavar="SPAN", default="10m", show_default=True)
@click.option("--poll-interval", metavar="SPAN", default="2s", show_default=True)
@gateway_options()
def run(line: Line, job: str, due: bool, wait: bool, wait_timeout: str, poll_interval: str) -> int:
    """Run a job now; its schedule stays as it is."""
    limit, pause = parse_duration(wait_timeout), parse_duration(poll_interval)
    with line.open() as client:
        job_id = _id(client, job)
        params = {"id": job_id, "mode": "due" if due else "force"}
        answer = client.call("cron.run", params, timeout=line.timeout)
        started = bool(answer.get("enqueued") or answer.get("ran"))
        _warn_if_off(client)
        if not wait or not started:
            click.echo(dumped(answer))
            return 0 if started else 1
        entry = _awaited(client, job_id, str(answer["runId"]), limit, pause)
    click.echo(dumped(entry))
    # What it did, and what became of its words by now, if that is known (cron.md §10.3).
    unheard = entry.get("completionStatus") == "failed"
    return 0 if entry.get("status") in _RAN and not unheard else 1


def _awaited(
    client: Client, job_id: str, run_id: str, limit: timedelta, pause: timedelta
) -> Mapping[str, Any]:
    """The run's row once it has ended."""
    clock = SystemClock()
    end = clock.monotonic() + limit
    while True:
        page = client.call("cron.runs", {"id": job_id, "runId": run_id, "limit": 1})
        for entry in page.get("entries") or ():
            if entry.get("runId") == run_id and entry.get("action") == "finished":
                return dict(entry)
        left = end - clock.monotonic()
        if left <= timedelta():
            raise TimedOut(
                f"run {run_id} has not ended",
                why=f"waited {duration(limit / timedelta(milliseconds=1))}",
                fix=f"engine cron runs --run-id {run_id}",
            )
        Pause().wait(min(pause, left).total_seconds())


for _command in (
    *cron_control.COMMANDS,
    *cron_config.COMMANDS,
    *cron_import.COMMANDS,
    cron_explain.command,
    cron_timeline.command,
    cron_audit.command,
    cron_doctor.command,
    simulate.command,
):
    group.add_command(_command)


# -- reading ---------------------------------------------------------------------------------


@group.command("list", epilog="Example: engine cron list --all")
@click.option("--all", "everything", is_flag=True, help="Disabled jobs and heartbeats too.")
@click.option("--agent", "agent_id", metavar="ID", help="One agent's jobs.")
@gateway_options()
def listing(line: Line, everything: bool, agent_id: str | None) -> None:
    """Jobs, the next one first."""
    params: dict[str, Any] = {"includeDisabled": everything, "includeDeliveryPreviews": True}
    if everything:
        params["includeSystem"] = True
    if agent_id:
        params["agentId"] = agent_id
    with at_rest.reading(line) as client:
        answer = _whole_list(client, params)
    answer["jobs"] = [job_shown(job) for job in answer["jobs"]]
    if line.as_json:
        click.echo(dumped(answer))
        return
    for job_id in answer.get("unreadable") or ():
        click.echo(f"warning: job {job_id} cannot be read: engine cron show {job_id}", err=True)
    if not answer["jobs"]:
        click.echo("No cron jobs.")
        return
    now = SystemClock().now()
    previews = answer.get("deliveryPreviews") or {}
    rows = [job_row(job, previews, now) for job in answer["jobs"]]
    show_table(JOB_HEAD, rows, keep=1, spare=JOB_SPARE)
    where = zone(line.place.zone)
    for job in answer["jobs"]:
        if told := paused_words(job, where):
            click.echo(f"{job.get('name')}: paused {told}")


def _whole_list(client: at_rest.Asked, params: Mapping[str, Any]) -> dict[str, Any]:
    """All pages as one; a list that changes meanwhile is still each job once."""
    jobs: dict[str, Any] = {}
    previews: dict[str, Any] = {}
    unreadable: list[str] = []
    offset, page = 0, dict[str, Any]()
    while True:
        page = dict(client.call("cron.list", {**params, "limit": PAGE, "offset": offset}))
        jobs |= {str(job["id"]): job for job in page["jobs"]}
        previews |= page.get("deliveryPreviews") or {}
        unreadable += page.get("unreadable") or ()
        if not page.get("hasMore") or not page["jobs"]:
            break
        offset += len(page["jobs"])
    whole = {"offset": 0, "limit": max(PAGE, len(jobs)), "hasMore": False, "nextOffset": None}
    answer = {**page, **whole, "jobs": [*jobs.values()], "total": len(jobs)}
    if unreadable:
        answer["unreadable"] = sorted(set(unreadable))
    return {**answer, "deliveryPreviews": previews} if previews else answer


@group.command(epilog="Example: engine cron show morning")
@click.argument("job", shell_complete=complete.jobs)
@gateway_options()
def show(line: Line, job: str) -> None:
    """One job in words; an exact name does too."""
    with at_rest.reading(line) as client:
        stored = _find(client, job)
    now, where = SystemClock().now(), zone(line.place.zone)
    line.show(job_shown(stored), lambda _: facts(job_facts(stored, where, now)))


@group.command(epilog="Example: engine cron get morning")
@click.argument("job", shell_complete=complete.jobs)
@gateway_options()
def get(line: Line, job: str) -> None:
    """One job as stored, in JSON."""
    with at_rest.reading(line) as client:
        click.echo(dumped(job_shown(_find(client, job))))


@group.command(epilog="Example: engine cron runs morning --limit 5")
@click.argument("job", required=False, shell_complete=complete.jobs)
@click.option("--id", "flag_job", metavar="JOB", help="The same as the argument.")
@click.option("--run-id", metavar="ID", help="One run.")
@click.option("--limit", type=click.IntRange(1, 200), default=50, show_default=True)
@click.option("--offset", type=click.IntRange(min=0))
@click.option("--status", metavar="WORD", help="ok, error, skipped or running.")
@click.option("--delivery-status", metavar="WORD")
@click.option("--query", metavar="TEXT")
@click.option("--sort", "sort_dir", type=click.Choice(["asc", "desc"]))
@click.option("--human", is_flag=True, help="A table instead of JSON.")
@gateway_options()
def runs(line: Line, job: str | None, flag_job: str | None, human: bool, **given: Any) -> None:
    """Runs, newest first; with their reasons. JSON unless --human."""
    ref = job or flag_job
    spelled = {
        "run_id": "runId",
        "delivery_status": "deliveryStatus",
        "sort_dir": "sortDir",
    }
    params = {spelled.get(k, k): v for k, v in given.items() if v is not None}
    with at_rest.reading(line) as client:
        params |= {"id": _log_id(client, ref)} if ref else {"scope": "all"}
        answer = client.call("cron.runs", params, timeout=line.timeout)
    if line.as_json or not human:
        click.echo(dumped(answer))
        return
    entries = answer.get("entries") or ()
    if not entries:
        click.echo("No runs.")
        return
    now, where = SystemClock().now(), zone(line.place.zone)
    show_table(RUN_HEAD, [run_row(entry, where, now) for entry in entries], keep=1)


@group.command("explain-run", epilog="Example: engine cron explain-run morning")
@click.argument("run", metavar="RUN|JOB", shell_complete=complete.jobs)
@gateway_options()
def explain_run(line: Line, run: str) -> int:
    """Why a run of a job ended as it did, link by link, from its slot to the receipt.

    RUN is its id or the start of it; of a JOB the newest run is meant. Works with the gateway
    down. Exit 1 if something is broken.
    """
    return why.explain_run(line, run)


@group.command(epilog="Example: engine cron status --human")
@click.option("--human", is_flag=True, help="Words instead of JSON.")
@gateway_options()
def status(line: Line, human: bool) -> None:
    """The scheduler: on or off, how many jobs, the next one. JSON unless --human."""
    told = line.call("cron.status")
    if line.as_json or not human:
        click.echo(dumped(told))
        return
    click.echo(facts(status_facts(told, zone(line.place.zone), SystemClock().now())))


@group.command(
    "next",
    context_settings={"ignore_unknown_options": True},
    epilog='Example: engine cron next "0 7 * * 1-5" --tz Europe/Berlin --count 3',
)
@click.argument("what", metavar="JOB|EXPR|-", shell_complete=complete.jobs)
@click.option(
    "--tz",
    metavar="ZONE",
    help="Zone of the expression; the host's otherwise.",
    shell_complete=complete.zones,
)
@click.option("--from", "begin", metavar="WHEN", help="Slots after it; now otherwise.")
@click.option("--until", metavar="WHEN", help="Slots up to and including it.")
@click.option("--count", metavar="N", help="How many; 5, or all of them with --until.")
@gateway_options()
def coming(
    line: Line,
    what: str,
    begin: str | None,
    until: str | None,
    count: str | None,
    tz: str | None,
) -> int:
    """When an expression or a job fires: local time, UTC, and what a change of clocks does to it.

    EXPR is a cron expression (quote it), or "@every 5m"; it needs no gateway and no config.
    JOB is an id or a config key.

    With "-" every line of standard input is one JSON object {"expr": "0 9 * * *", "tz":
    "Europe/London", "from": "2026-03-28", "until": null, "count": 3} and is answered by one
    line: {"slots": [...]} or {"error": "..."}. Options hold for the lines that do not say
    otherwise.
    """
    from engine.cli.cron.next import names_a_job, run as cron_next

    if names_a_job([what]):
        cron_explain.coming(line, what, begin=begin, until=until, count=count, tz=tz)
        return 0
    words = [what]
    for name, value in {"from": begin, "until": until, "count": count, "tz": tz}.items():
        if value is not None:
            words += [f"--{name}", value]
    return cron_next([*words, "--json"] if line.as_json else words)


# -- parts -----------------------------------------------------------------------------------


def _id(client: at_rest.Asked, ref: str) -> str:
    """The id behind an id, a config key or an exact name; the gateway knows all three."""
    return str(_find(client, ref)["id"])


def _find(client: at_rest.Asked, ref: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = client.call("cron.get", {"id": ref})
    return found


def _log_id(client: at_rest.Asked, ref: str) -> str:
    """As `_id`; a removed job still has a log under its id."""
    try:
        return _id(client, ref)
    except NotFound:
        return ref


def _warn_of_shell(payload: Mapping[str, Any]) -> None:
    for remark in cron_remarks.of_payload(payload):
        click.echo(remark, err=True)


def _remarks(client: Client, job: Mapping[str, Any], *, asked: Mapping[str, Any]) -> None:
    status = _quietly(lambda: client.call("cron.status"), default={})
    for remark in cron_remarks.of_job(job, asked, status, SystemClock().now()):
        click.echo(remark, err=True)
    missing = [ref for ref in cron_remarks.others(asked) if not _known(client, ref)]
    for remark in cron_remarks.of_missing(asked, missing):
        click.echo(remark, err=True)


def _known(client: Client, ref: str) -> bool:
    """Whether there is such a job; also where several have the name, or nobody can tell."""
    try:
        return bool(_find(client, ref))
    except EngineError as error:
        return not isinstance(error, NotFound)


def _warn_if_off(client: Client) -> None:
    for remark in cron_remarks.of_status(_quietly(lambda: client.call("cron.status"), default={})):
        click.echo(remark, err=True)


def _remark_on_name(client: Client, added: Mapping[str, Any]) -> None:
    params = {"query": added.get("name"), "includeDisabled": True, "compact": True}
    page = _quietly(lambda: client.call("cron.list", params), default={})
    for remark in cron_remarks.of_name(added, page.get("jobs") or ()):
        click.echo(remark, err=True)


def _quietly(ask: Callable[[], Any], *, default: Any) -> Any:
    try:
        return ask()
    except EngineError:
        return default
