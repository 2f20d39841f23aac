"""Steps by which stored jobs change, inside the caller's transaction."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final, assert_never

from engine.scheduling.watching import next_watch
from engine.store import audit
from jobs import chains
from jobs.audit import Gone
from jobs.codec import job_from_json, job_to_json, revision
from jobs.crash import crash_point
from jobs.declared import Act, Change, Declared, Plan
from jobs.due import NO_DAYS, Days, brought_forward, first_run
from jobs.errors import Conflict, InvalidJob, JobNotFound
from jobs.ledger import Run, SkipReason
from jobs.model import Job, JobState, Source, StoredJob
from jobs.schedule import Cron, Every
from jobs.store import jobs as job_rows, runs as run_rows
from jobs.store.base import Finish, JobQuery
from jobs.store.db import Tx
from jobs.wallclock import at, instant, ms
from jobs.written import whole_ms

_CLEARED: Final[Mapping[str, Any]] = {
    "retry_at": None,
    "consecutive_errors": 0,
    "consecutive_skipped": 0,
    "schedule_errors": 0,
    "auto_disabled": None,
}
REMOVALS: Final = ("cron.remove", "cron.config.delete")  # what the record calls them
_EVENT: Final = {Act.ADD: "added", Act.DELETE: "removed"}


def next_run(current: StoredJob, job: Job, now: datetime) -> datetime | None:
    """Return when a changed job is due next; with its old schedule its slot stands."""
    unmoved = job.schedule == current.job.schedule and current.job.enabled
    if job.enabled and unmoved and current.state.auto_disabled is None:
        return current.state.next_run_at
    return first_run(job, now)


def sync(tx: Tx, current: StoredJob | None, beat: Job, now: datetime) -> bool:
    """Store one job of the system as it should be; says whether anything changed."""
    if current is None:
        made = replace(beat, created_at=whole_ms(now), updated_at=whole_ms(now))
        job_rows.insert(tx, made, next_run_at=first_run(made, now), now=now)
        _watch(tx, made, JobState(schedule_activated_at=now), now)
        return True
    job = replace(beat, created_at=current.job.created_at, updated_at=whole_ms(now))
    if revision(job) == current.revision:
        return False
    anew = job.schedule != current.job.schedule or (job.enabled and not current.job.enabled)
    state: dict[str, Any] = {"schedule_activated_at": now} if anew else {}
    coming = next_run(current, job, now)
    job_rows.update(tx, job, next_run_at=coming, now=now, current=current, **state)
    _watch(tx, job, replace(current.state, **state), now)
    return True


def _watch(tx: Tx, job: Job, state: JobState, now: datetime) -> None:
    """Set when somebody must look after a beat: its dead man's switch."""
    at = next_watch(job, state, now)
    if at is not None or state.watch_at is not None:
        job_rows.set_state(tx, job.id, watch_at=at)


def converged(current: Job, wish: Job, params: Mapping[str, Any]) -> Job:
    """Return the wish with what only its creation would have chosen anew taken from before."""
    given = params.get("schedule")
    anchored = isinstance(given, Mapping) and bool({"anchor", "anchorMs"} & given.keys())
    before, after = current.schedule, wish.schedule
    if isinstance(before, Every) and isinstance(after, Every) and not anchored:
        wish = replace(wish, schedule=before if before.period == after.period else after)
    return replace(wish, created_at=current.created_at)


def declaration_key(params: Mapping[str, Any]) -> str | None:
    """Return the key under which a caller's `add` converges (cron.md §1)."""
    key = params.get("declarationKey")
    if isinstance(key, str) and key.strip().startswith("config:"):
        raise InvalidJob(
            f"declarationKey {key!r} was refused",
            why="config: is for jobs of the config file",
            fix="choose another key, or write the job under cron.jobs",
        )
    return key.strip() if isinstance(key, str) and key.strip() else None


def declared_as(tx: Tx, key: str | None) -> StoredJob | None:
    """Return the job that has this declaration key."""
    if key is None:
        return None
    try:
        found = job_rows.find(tx, key)
    except (JobNotFound, Conflict):
        return None
    return found if found.job.declaration_key == key else None


def note(
    tx: Tx, now: datetime, by: str, action: str, stored: StoredJob, **more: str | None
) -> None:
    """Write who did what to a job."""
    detail = {"name": stored.job.name, "revision": stored.revision, **more}
    audit.note(tx, now=now, actor=by, action=action, subject=stored.job.id, detail=detail)


def removed(tx: Tx, now: datetime, by: str, action: str, stored: StoredJob) -> None:
    """Write that a job went, with all that an audit of its slots asks for later."""
    state = stored.state
    detail = {
        "name": stored.job.name,
        "revision": stored.revision,
        "definition": job_to_json(stored.job),
        "activatedAtMs": ms(state.schedule_activated_at),
        "nextRunAtMs": ms(state.next_run_at),
    }
    audit.note(tx, now=now, actor=by, action=action, subject=stored.job.id, detail=detail)


def gone(tx: Tx, since: datetime) -> list[Gone]:
    """Return the jobs that were removed after an instant, as they were when they went."""
    found = []
    for line in audit.of(tx, REMOVALS, since):
        detail = line["detail"]
        if "definition" not in detail:  # nobody could read it any more
            continue
        state = JobState(
            schedule_activated_at=instant(detail.get("activatedAtMs")),
            next_run_at=instant(detail.get("nextRunAtMs")),
        )
        job = job_from_json(detail["definition"])
        stored = StoredJob(job=job, state=state, revision=str(detail["revision"]))
        found.append(Gone(stored, at(line["at"])))
    return found


def apply(
    tx: Tx,
    declared: Sequence[Declared],
    plan: Callable[[list[StoredJob]], Plan],
    now: datetime,
    days: Days,
) -> tuple[Plan, list[tuple[StoredJob, str]]]:
    """Write what ``plan`` makes of the stored jobs; returns it and what to tell of each job."""
    page = job_rows.select(tx, JobQuery(enabled=None, source=Source.CONFIG.value))
    found = {stored.job.id: stored for stored in page.jobs}
    for entry in declared:
        if entry.job.id not in found and entry.job.id not in page.unreadable:
            other = job_rows.get(tx, entry.job.id) or declared_as(tx, entry.job.declaration_key)
            if other is not None:
                found[other.job.id] = other
    made = plan(list(found.values()))
    told = []
    for change in made.changes:
        if change.act is Act.ADD and change.job.id in page.unreadable:
            job_rows.delete(tx, change.job.id)  # the config says it again, whole
        before = found.get(change.job.id)
        stored = _step(tx, change, now, days)
        if change.act is Act.DELETE and before is not None:
            removed(tx, now, "config", REMOVALS[1], before)
        else:
            note(tx, now, "config", f"cron.config.{change.act}", stored)
        told.append((stored, _EVENT.get(change.act, "updated")))
        crash_point("mid-apply")
    return made, told


def _step(tx: Tx, change: Change, now: datetime, days: Days) -> StoredJob:
    job = change.job
    match change.act:
        case Act.ADD:
            made = job_rows.insert(tx, job, next_run_at=change.next_run_at, now=now)
            return planned(tx, made, now, days)
        case Act.DELETE:
            job_rows.delete(tx, job.id)
            return StoredJob(job=job, state=JobState(), revision=revision(job))
        case Act.UPDATE | Act.REVIVE | Act.DISABLE:
            made = job_rows.update(tx, job, next_run_at=change.next_run_at, now=now, **change.state)
            return planned(tx, made, now, days)
        case _:
            assert_never(change.act)


def changed(
    tx: Tx,
    current: StoredJob,
    job: Job,
    *,
    now: datetime,
    by: str,
    days: Days = NO_DAYS,
    again: bool = False,
    off: bool = False,
) -> tuple[StoredJob, str | None]:
    """Give a stored job a new definition; its counters and last run stay.

    ``again`` and ``off``: somebody said in so many words that it shall be on, or off.
    """
    gave_up = current.state.auto_disabled is not None
    revived = again and (not current.job.enabled or gave_up)
    meant = off and gave_up  # it is off already, but from now on because somebody wants that
    if not revived and not meant and revision(job) == current.revision:
        return current, None
    rescheduled = job.schedule != current.job.schedule
    state: dict[str, Any] = {"auto_disabled": None} if meant else {}
    if revived:
        state |= _CLEARED
    if rescheduled:
        state["retry_at"] = None  # the old schedule's backoff ends with it
    if revived or rescheduled or (job.enabled and not current.job.enabled):
        state["schedule_activated_at"] = now
    stored = job_rows.update(
        tx,
        replace(job, created_at=current.job.created_at, updated_at=now),
        next_run_at=next_run(current, job, now),
        now=now,
        current=current,
        **state,
    )
    note(tx, now, by, "cron.update", stored, previous=current.revision)
    return planned(tx, stored, now, days), "updated"


def rezoned(tx: Tx, tz: str, now: datetime, days: Days) -> list[tuple[StoredJob, str]]:
    """Move the jobs to a zone that name none themselves; returns what to tell of each."""
    told = []
    for stored in job_rows.select(tx, JobQuery(enabled=None)).jobs:
        schedule = stored.job.schedule
        if not isinstance(schedule, Cron) or schedule.tz_given or schedule.tz == tz:
            continue
        if stored.job.source is Source.CONFIG:
            continue
        job = replace(stored.job, schedule=replace(schedule, tz=tz))
        moved, action = changed(tx, stored, job, now=now, by="the default zone", days=days)
        told.append((moved, action or "updated"))
    return told


def _refuse_circle(tx: Tx, job: Job) -> None:
    def find(ref: str) -> Job | None:
        try:
            return job_rows.find(tx, ref).job
        except (JobNotFound, Conflict):
            return None

    if names := chains.circle(job, find):
        raise InvalidJob(
            f"job {job.name} was not saved",
            why=f"after goes round in a circle: {chains.circle_words(names)}",
            fix="leave after out of one of them",
        )


def planned(tx: Tx, stored: StoredJob, now: datetime, days: Days = NO_DAYS) -> StoredJob:
    """Note when a job wants a look, and whether a calendar brings its next slot forward.

    Raises `InvalidJob` for one that would wait for itself.
    """
    _refuse_circle(tx, stored.job)
    state = stored.state
    coming = state.next_run_at
    if coming != state.retry_at:  # a retry waits for no calendar
        coming = brought_forward(stored.job, coming, now, days)
    wanted = replace(state, next_run_at=coming, watch_at=next_watch(stored.job, state, now))
    if wanted == state:
        return stored
    columns = {"next_run_at": wanted.next_run_at, "watch_at": wanted.watch_at}
    job_rows.set_state(tx, stored.job.id, **columns)
    return replace(stored, state=wanted)


def overtaken(tx: Tx, run: Run, other: str, now: datetime) -> None:
    """End a manual run that may not begin: its job began another way meanwhile."""
    end = run.skipped(SkipReason.OVERLAP_SKIP, f"run {other} had begun just before", now)
    run_rows.finish(tx, [Finish(run=end, counts=False)])
