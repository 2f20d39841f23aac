"""`engine cron pause`, `resume`, `skip`, `cancel`, `backfill`: what lies over a definition."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from threading import Event as Pause
from typing import Any, Final

import click

from engine.cli import complete
from engine.cli.ask import Line, gateway_options
from engine.cli.render import stamp
from engine.clock import SystemClock
from gateway.client import Client
from jobs.duration import parse_duration
from jobs.errors import UsageError
from jobs.wallclock import ms, zone
from jobs.written import is_relative, parse_at

_POLL_SECONDS: Final = 0.5
_ENDED: Final = "finished"


def _chosen(job: str | None, tag: str | None, everything: bool) -> dict[str, Any]:
    if (job is not None) + (tag is not None) + everything != 1:
        raise UsageError("no job was named", fix="give a job, --tag TAG or --all")
    if everything:
        return {"all": True}
    return {"id": job} if job is not None else {"tag": tag}


def _instant(text: str, line: Line, now: datetime) -> int:
    return ms(parse_at(text, now=now, tz=line.place.zone))


def _past(text: str, line: Line, now: datetime) -> int:
    """An instant of a past range: `7d` is seven days ago there."""
    if is_relative(text) and text.strip()[0].isdigit():
        return ms(now - parse_duration(text))
    return _instant(text, line, now)


@click.command(epilog="Example: engine cron pause morning --until 2026-12-27 --note holidays")
@click.argument("job", required=False, shell_complete=complete.jobs)
@click.option("--tag", metavar="TAG", help="All jobs with this tag.")
@click.option("--all", "everything", is_flag=True, help="All jobs.")
@click.option("--note", metavar="TEXT", help="Why; it stands in `cron show` and on the slots.")
@click.option("--until", metavar="WHEN", help="It goes on by itself then: an instant, or 3d.")
@gateway_options()
def pause(
    line: Line,
    job: str | None,
    tag: str | None,
    everything: bool,
    note: str | None,
    until: str | None,
) -> None:
    """Hold a job; a reload of the config leaves it held."""
    params = _chosen(job, tag, everything)
    if note:
        params["note"] = note
    if until:
        params["untilMs"] = _instant(until, line, SystemClock().now())
    answer = line.call("cron.pause", params)
    line.show(answer, lambda told: _names("Paused", told, "Nothing to pause: it is paused."))


@click.command(epilog="Example: engine cron resume morning")
@click.argument("job", required=False, shell_complete=complete.jobs)
@click.option("--tag", metavar="TAG", help="All jobs with this tag.")
@click.option("--all", "everything", is_flag=True, help="All jobs.")
@gateway_options()
def resume(line: Line, job: str | None, tag: str | None, everything: bool) -> None:
    """Let a paused or switched-off job go on; what it missed follows its misfire policy."""
    answer = line.call("cron.resume", _chosen(job, tag, everything))
    line.show(answer, lambda told: _names("Resumed", told, "Nothing to resume."))


def _names(what: str, told: Mapping[str, Any], nothing: str) -> str:
    jobs = told.get("jobs") or ()
    return f"{what}: {', '.join(str(job['name']) for job in jobs)}" if jobs else nothing


@click.command(epilog="Example: engine cron skip morning --note 'public holiday'")
@click.argument("job", shell_complete=complete.jobs)
@click.option("--count", type=click.IntRange(1, 100), default=1, show_default=True)
@click.option("--note", metavar="TEXT", help="Why; it stands on the slot.")
@click.option("--undo", is_flag=True, help="Leave nothing out after all.")
@gateway_options()
def skip(line: Line, job: str, count: int, note: str | None, undo: bool) -> None:
    """Leave out the next slots once; the schedule stays as it is."""
    params = {"id": job, "count": count, "undo": undo, **({"note": note} if note else {})}
    answer = line.call("cron.skip", params)
    line.show(answer, lambda told: _slots(told, line))


def _slots(told: Mapping[str, Any], line: Line) -> str:
    where = zone(line.place.zone)
    slots = told.get("skipped") or told.get("restored") or ()
    what = "Left out" if "skipped" in told else "Back in"
    times = ", ".join(stamp(slot, where) for slot in slots)
    return f"{what}: {times} ({where.key})" if slots else "Nothing was left out."


@click.command(epilog="Example: engine cron cancel 0190f0c1a2b3c4d5e6f70809")
@click.argument("run_id")
@gateway_options()
def cancel(line: Line, run_id: str) -> int:
    """End a run that goes on or waits; its row says who did it."""
    answer = line.call("cron.cancel", {"runId": run_id})
    line.show(answer, _cancelled)
    return 0 if answer.get("cancelled") else 1


def _cancelled(told: Mapping[str, Any]) -> str:
    if told.get("cancelled"):
        return f"Cancelled run {told['runId']}."
    return f"Run {told['runId']} had ended already ({told.get('reason')})."


@click.command(epilog="Example: engine cron backfill report --from 2026-11-01 --to 2026-11-07")
@click.argument("job", shell_complete=complete.jobs)
@click.option(
    "--from", "begin", metavar="WHEN", required=True, help="First instant, or 7d: so long ago."
)
@click.option(
    "--to", "end", metavar="WHEN", help="Last instant, or 1d: so long ago; now otherwise."
)
@click.option("--policy", type=click.Choice(["missing", "all"]), default="missing")
@click.option("--rate", metavar="N/SPAN", help="So many begin in a span at most: 10/1h.")
@click.option("--dry-run", is_flag=True, help="Only say which slots.")
@click.option("--detach", is_flag=True, help="Do not wait for the runs.")
@gateway_options()
def backfill(
    line: Line,
    job: str,
    begin: str,
    end: str | None,
    policy: str,
    rate: str | None,
    dry_run: bool,
    detach: bool,
) -> int:
    """Run the slots of a past range, one after the other; {{scheduledFor}} is each slot's time."""
    now = SystemClock().now()
    params = {
        "id": job,
        "fromMs": _past(begin, line, now),
        "toMs": ms(now) if end is None else _past(end, line, now),
        "policy": policy,
        "dryRun": dry_run,
        **({} if rate is None else {"rate": rate}),
    }
    with line.open() as client:
        answer = dict(client.call("cron.backfill", params, timeout=line.timeout))
        if answer["runIds"] and not detach:
            answer["results"] = _awaited(client, answer)
    line.show(answer, lambda told: _filled(told, line))
    return 0 if set(answer.get("results", {})) <= {"ok"} else 1


def _awaited(client: Client, answer: Mapping[str, Any]) -> dict[str, int]:
    """Wait for all runs, with a bar or lines on standard error; how many ended how."""
    from engine.cli.progress import Progress

    open_ = list(answer["runIds"])
    results: dict[str, int] = {}
    with Progress("backfill", total=len(open_)) as progress:
        while open_:
            params = {"id": answer["jobId"], "runId": open_[0], "limit": 1}
            entries = client.call("cron.runs", params).get("entries") or ()
            if entries and entries[0].get("action") == _ENDED:
                word = str(entries[0].get("status"))
                results[word] = results.get(word, 0) + 1
                open_.pop(0)
                progress.advance()
            else:
                Pause().wait(_POLL_SECONDS)
    return results


def _filled(told: Mapping[str, Any], line: Line) -> str:
    slots = told["slots"]
    if not slots:
        return "No slot of the range is missing."
    where = zone(line.place.zone)
    if told["dryRun"]:
        return "\n".join(f"{stamp(slot, where)} {where.key}" for slot in slots)
    ended = ", ".join(f"{count} {word}" for word, count in (told.get("results") or {}).items())
    return f"{len(slots)} slots: {ended or 'started; engine cron runs shows them'}"


COMMANDS: Final = (pause, resume, skip, cancel, backfill)
