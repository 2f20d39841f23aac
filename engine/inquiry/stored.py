"""What the store alone tells, with no config at all: beats as they stand, and what is on record."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta, tzinfo
from typing import Any, Final

from engine import why
from engine.decisions import heartbeat
from engine.decisions.troubles import ALL
from engine.store import events, outbox
from engine.store.holds import switched_on
from engine.upkeep.housekeeping import KEEP_BEATS
from engine.why import Facts, Gap, Recorded
from jobs.errors import Conflict, InvalidJob, JobNotFound, NotFound
from jobs.ledger import Run, RunStatus, SkipReason
from jobs.model import StoredJob
from jobs.store import jobs as job_rows, runs as run_rows, signs
from jobs.store.base import RunQuery
from jobs.store.db import Tx
from jobs.wallclock import MILLISECOND, zone

COUNTED: Final = timedelta(hours=24)
NEAR: Final = timedelta(minutes=1)  # of a slot: what beats were farther from it are others
ZoneOf = Callable[[str | None], tzinfo]  # the person's, by agent
_ASKED: Final = (RunStatus.OK, RunStatus.FAILED)


def stored_facts(tx: Tx, agent_id: str, now: datetime) -> Facts:
    """Return what the store alone tells; enough where no config can be read."""
    stored, unreadable = _stored(tx, agent_id)
    asked = RunQuery(kind="heartbeat", agent_id=agent_id, statuses=_ASKED, limit=2)
    beats = run_rows.page(tx, asked).entries
    told = [run for run in beats if run.reason is not SkipReason.INTERRUPTED]
    return Facts(
        agent_id=agent_id,
        now=now,
        off=_off(tx, agent_id),
        scheduled=stored is not None and stored.state.next_run_at is not None,
        unreadable=unreadable,
        last=told[0] if told else None,
        counts=run_rows.skips(tx, agent_id, now - COUNTED),
        delivery=outbox.newest(tx, agent_id),
    )


def _stored(tx: Tx, agent_id: str) -> tuple[StoredJob | None, str]:
    """The agent's beats as the store has them, or why nobody can read them."""
    try:
        return job_rows.get(tx, heartbeat.job_id(agent_id)), ""
    except InvalidJob as error:
        return None, error.why


def _off(tx: Tx, agent_id: str) -> str | None:
    if not switched_on(tx):
        return ALL
    return None if switched_on(tx, agent_id) else agent_id


# -- what is on record -----------------------------------------------------------------------


def told_of_past(
    tx: Tx, agent_id: str, at: datetime, *, now: datetime, where: tzinfo, live: bool
) -> dict[str, Any]:
    """Tell of the beat nearest to an instant of the past; if there is none, why."""
    job_id = heartbeat.job_id(agent_id)
    before, after = run_rows.around(tx, job_id, at)
    stored, _ = _stored(tx, agent_id)
    expected = _expected(stored, before, at, now)
    reach = NEAR if expected is None else abs(expected - at) + NEAR
    found = _nearest([run for run in (before, after) if run is not None], at, reach)
    if found is not None and not (found is before and _lacks(before, at)):
        return why.told_of_run(recorded(tx, found, where), at)
    anew = before is not None and after is not None and before.boot_id != after.boot_id
    state = stored.state if stored is not None else None
    return why.told_of_gap(
        Gap(
            agent_id=agent_id,
            at=at,
            zone=where,
            kept_since=now - KEEP_BEATS,
            counts_since=state.schedule_activated_at if state is not None else None,
            next_run_at=state.next_run_at if state is not None else None,
            before=before,
            after=after,
            silent_since=signs.sign_before(tx, after) if anew and after else None,
            off=_off(tx, agent_id),
            live=live,
        )
    )


def _expected(
    stored: StoredJob | None, before: Run | None, at: datetime, now: datetime
) -> datetime | None:
    """Return the slot nearest to an instant that should have a row; None if there was none.

    By the schedule while it counts; of the time before, what the row before knew was to come.
    """
    since = stored.state.schedule_activated_at if stored is not None else None
    slots: list[datetime | None] = []
    if stored is not None and since is not None and at >= since:
        schedule = stored.job.schedule
        near = (schedule.previous(at + MILLISECOND), schedule.next_after(at))
        slots += [slot for slot in near if slot is not None and since < slot <= now]
    if not slots and before is not None:
        slots += [before.slot_to or before.slot or before.claimed_at, before.next_due_at]
    known = [slot for slot in slots if slot is not None and slot <= now]
    return min(known, key=lambda slot: abs(slot - at), default=None)


def _lacks(before: Run, at: datetime) -> bool:
    """Whether a beat that row knew to come lies before an instant, and is not on record."""
    return before.next_due_at is not None and before.next_due_at + NEAR < at


def _nearest(runs: Sequence[Run], at: datetime, reach: timedelta) -> Run | None:
    """Return the run whose slots lie nearest, if no slot without a row may lie nearer."""

    def far(run: Run) -> timedelta:
        first = run.slot or run.claimed_at or at
        last = run.slot_to or first
        return max(first - at, at - last, timedelta())

    found = min(runs, key=far, default=None)
    if found is None or far(found) > reach:
        return None
    return found


def told_of_run(tx: Tx, ref: str, *, zone_of: ZoneOf) -> dict[str, Any]:
    """Tell of a run, by its id, the start of it, or its job (its newest run).

    Raises `NotFound`, or `Conflict` if several runs begin so.
    """
    run = run_meant(tx, ref)
    return why.told_of_run(recorded(tx, run, zone(run.tz) if run.tz else zone_of(run.agent_id)))


def run_meant(tx: Tx, ref: str) -> Run:
    """Return the run somebody names."""
    if (run := run_rows.get(tx, ref)) is not None:
        return run
    job_id = _job_meant(tx, ref)
    newest = run_rows.page(tx, RunQuery(job_id=job_id, limit=1)).entries if job_id else ()
    if newest:
        return newest[0]
    some = run_rows.beginning(tx, ref, 3)
    if len(some) == 1:
        return some[0]
    if some:
        raise Conflict(
            f"run {ref!r} is not one run",
            why=f"several begin so: {', '.join(run.id for run in some[:2])}",
            fix=f"engine cron explain-run {some[0].id}",
        )
    if job_id is not None:
        raise NotFound(
            f"no run of {ref} was explained",
            why="it has none on record",
            fix=f"engine cron show {job_id}",
        )
    raise NotFound(
        f"run {ref!r} was not explained",
        why="no run and no job has that id, name or beginning",
        fix="engine cron runs --human",
    )


def _job_meant(tx: Tx, ref: str) -> str | None:
    """Return the id of a job, also of one that is gone or cannot be read."""
    try:
        return job_rows.find(tx, ref).job.id
    except InvalidJob:
        return ref
    except JobNotFound:
        return run_rows.last_named(tx, ref)


def recorded(tx: Tx, run: Run, where: tzinfo) -> Recorded:
    """Return a run with what belongs to it."""
    delivery = outbox.get(tx, run.delivery_key) if run.delivery_key else None
    before = None
    if run.reason in (SkipReason.BACKOFF, SkipReason.SUSPENDED):
        asked = RunQuery(
            job_id=run.job_id, statuses=_ASKED, until=run.claimed_at or run.slot, limit=1
        )
        before = next(iter(run_rows.page(tx, asked).entries), None)
    event, beat = None, None
    if (event_id := run.reply.get("eventId")) is not None:
        event = events.get(tx, str(event_id))
        taken = run_rows.get(tx, event.seen_by_run) if event and event.seen_by_run else None
        beat = recorded(tx, taken, where) if taken is not None else None
    missed = run.reason in (SkipReason.MISSED_DOWNTIME, SkipReason.MISSED_GRACE_EXCEEDED)
    return Recorded(
        run=run,
        zone=where,
        delivery=delivery,
        before=before,
        event=event,
        beat=beat,
        silent_since=signs.sign_before(tx, run) if missed else None,
    )
