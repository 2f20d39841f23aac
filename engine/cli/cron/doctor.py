"""`engine cron doctor`: what is wrong with the jobs, and the command that mends it (cron.md §16).

Looks at what is stored and at what the gateway says of itself; mends nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import click

from engine.cli import at_rest
from engine.cli.ask import Line, gateway_options
from engine.cli.cron import audit as cron_audit
from engine.cli.ending import dumped
from engine.clock import SystemClock
from jobs.audit import Audit, Window
from jobs.errors import GatewayDown
from jobs.wallclock import at

if TYPE_CHECKING:
    from engine.config.load import Loaded
    from jobs.store.db import Tx

SOMETHING_WRONG: Final = 1  # exit status
_WEEK: Final = timedelta(days=7)
_PAGE: Final = 200
_LATE: Final = timedelta(minutes=1)  # the loop looks every 30 s at the latest
_TIMED: Final = frozenset({"every", "cron"})


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, and the way out."""

    what: str
    fix: str
    job_id: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return it as `--json` prints it."""
        told = {"what": self.what, "fix": self.fix}
        return told if self.job_id is None else {"jobId": self.job_id, **told}


@click.command("doctor", epilog="Example: engine cron doctor")
@gateway_options()
def command(line: Line) -> int:
    """What is wrong with the jobs, and the command that mends it. Status 1: something is."""
    now = SystemClock().now()
    with at_rest.reading(line) as asked:
        jobs = all_jobs(asked)
    try:
        status: Mapping[str, Any] | None = line.call("cron.status")
    except GatewayDown:
        status = None
    audit = at_rest.read(line.place, _audited) if line.at_home else None
    found = [*_of_scheduler(status), *_of_ledger(audit)]
    found += [one for job in jobs for one in of_job(job, now, runs=status is not None)]
    if line.as_json:
        told = [one.to_json() for one in found]
        click.echo(dumped({"ok": not found, "jobs": len(jobs), "findings": told}))
    else:
        click.echo("\n".join(_words(found, len(jobs))))
    return SOMETHING_WRONG if found else 0


def all_jobs(asked: at_rest.Asked) -> list[Mapping[str, Any]]:
    """Return every job as the wire shows it, with where its words would go."""
    jobs: list[Mapping[str, Any]] = []
    params: dict[str, Any] = {
        "includeDisabled": True,
        "includeDeliveryPreviews": True,
        "limit": _PAGE,
    }
    offset: int | None = 0
    while offset is not None:
        page = asked.call("cron.list", {**params, "offset": offset})
        ways = page.get("deliveryPreviews") or {}
        jobs += [{**job, "deliveryPreview": ways.get(job["id"])} for job in page["jobs"]]
        offset = page.get("nextOffset")
    return jobs


def _audited(tx: Tx, config: Loaded) -> Audit:
    now = SystemClock().now()
    return cron_audit.audited(tx, config, Window(since=now - _WEEK, until=now))


# -- findings ------------------------------------------------------------------------------------


def _of_scheduler(status: Mapping[str, Any] | None) -> Iterator[Finding]:
    if status is None:
        yield Finding("the gateway is not running: nothing fires", "engine gateway")
        return
    if not status.get("enabled", True):
        yield Finding("the scheduler is off: no job fires", "engine config set cron.enabled true")
    for text in status.get("configErrors") or ():
        yield Finding(f"the config's jobs are not as the file says: {text}", "engine cron plan")


def _of_ledger(audit: Audit | None) -> Iterator[Finding]:
    if audit is None:
        return
    for job_id in audit.unreadable:
        what = f"{job_id}: its definition cannot be read, it is set aside"
        yield Finding(what, f"engine cron rm {job_id}", job_id)
    for job in audit.jobs:
        if not job.clean:
            lacks = job.missing + job.duplicates + job.strays
            what = f"{job.title}: {lacks} rows of its slots are missing or too many"
            yield Finding(what, f"engine cron audit {job.job_id}", job.job_id)


def of_job(job: Mapping[str, Any], now: datetime, *, runs: bool) -> Iterator[Finding]:
    """Tell what is wrong with one job as the wire shows it; ``runs``: a gateway looks after it."""
    job_id, state = str(job["id"]), job.get("state") or {}

    def found(what: str, fix: str) -> Finding:
        return Finding(f"{job.get('name') or job_id}: {what}", fix, job_id)

    if off := state.get("autoDisabled"):
        last = f" ({state['lastError']})" if state.get("lastError") else ""
        yield found(
            f"it was switched off: {off.get('reason')}{last}", f"engine cron enable {job_id}"
        )
    if not job.get("enabled", True):
        return
    if waits := _waits_wrongly(job, state, now, runs=runs):
        yield found(waits, f"engine cron disable {job_id} && engine cron enable {job_id}")
    errors = int(state.get("consecutiveErrors") or 0)
    if errors:
        words = f"it failed {errors} times in a row: {state.get('lastError') or 'no words'}"
        yield found(words, f"engine cron runs {job_id} --human")
    for what, fix in of_words(job):
        yield found(what, fix)
    if state.get("lastFailureNotificationStatus") == "not-delivered":
        why = state.get("lastFailureNotificationError") or "no words"
        yield found(f"nobody heard of its trouble: {why}", f"engine cron show {job_id}")


def of_words(job: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Tell what became of a job's words, or would, if nobody hears them; each with the way out."""
    job_id, state = str(job["id"]), job.get("state") or {}
    if state.get("lastDeliveryStatus") == "not-delivered":
        why = state.get("lastDeliveryError") or "no words"
        yield f"its last words did not arrive: {why}", f"engine cron explain-run {job_id}"
    elif state.get("lastDeliveryStatus") == "unknown" and state.get("lastDeliveryError"):
        why = state["lastDeliveryError"]
        yield (
            f"its last words may not have arrived: {why}",
            "in the chat: look whether it has arrived",
        )
    nowhere = job.get("deliveryPreview") or {}
    if nowhere.get("fix"):
        yield f"its words would reach nobody: {nowhere['detail']}", str(nowhere["fix"])
    elif reason := _unheard(state):
        yield f"its last words went nowhere: {reason}", f"engine cron explain-run {job_id}"


def _waits_wrongly(
    job: Mapping[str, Any], state: Mapping[str, Any], now: datetime, *, runs: bool
) -> str:
    """Return why a job that is switched on will not run as it should; empty if it will."""
    if state.get("paused"):
        return ""
    due = state.get("nextRunAtMs")
    ended = job.get("maxRuns") is not None or job.get("until") is not None
    if due is None:
        timed = (job.get("schedule") or {}).get("kind") in _TIMED
        return "it is switched on and has no next run" if timed and not ended else ""
    late = now - at(due) > _LATE and not state.get("runningAtMs")
    return f"it was due at {at(due):%Y-%m-%d %H:%M}Z and nothing looked at it" * (runs and late)


def _unheard(state: Mapping[str, Any]) -> str:
    reason = state.get("deliverySuppressionReason")
    return "" if reason in (None, "silent", "duplicate", "target-none") else str(reason)


def _words(found: list[Finding], jobs: int) -> Iterator[str]:
    if not found:
        yield f"{jobs} job{'s' * (jobs != 1)}: nothing is wrong."
    for one in found:
        yield f"{one.what}\n  Fix: {one.fix}"
