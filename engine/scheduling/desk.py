"""The one desk at which jobs change: RPC, command line, config and the agents' tool.

Every change is one transaction of job and audit row; the `cron` event and the re-armed
timer follow the commit. No other job is ever recomputed (cron.md §6). What a definition may
say is decided by `jobs.edit`, what the config's jobs become by `jobs.declared`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import uuid4

from engine.clock import Clock
from engine.config.json5 import Place
from engine.events import Bus, Event
from engine.scheduling import reading, writing
from engine.scheduling.config_jobs import ConfigJobs
from engine.scheduling.importing import Imports
from engine.store import audit, meta
from jobs import edit, pages
from jobs.calendar import Calendar
from jobs.checks import Faults
from jobs.claims import claimed
from jobs.declared import Act, Plan
from jobs.due import Days, brought_forward, coming_slot, first_run, not_beyond
from jobs.errors import Conflict, InvalidInput, InvalidJob
from jobs.ledger import REMOVED, Run, Trigger
from jobs.model import SYSTEMS_OWN, Errand, Job, Misfire, Source, StoredJob
from jobs.schedule import At
from jobs.store import jobs as job_rows, runs as run_rows
from jobs.store.base import Claim, JobQuery
from jobs.store.db import Database, Tx
from jobs.wallclock import ms

log = logging.getLogger(__name__)

_ZONE: Final = "cron.zone"  # the default one when the scheduler ran last
_COUNTED_FOR: Final = timedelta(seconds=5)
_MODES: Final = ("force", "due", "if-enabled")


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulingSettings:
    """What the config says to this desk."""

    tz: str
    enabled: bool = True  # cron.enabled and ENGINE_SKIP_CRON
    default_agent: str = "main"
    agents: tuple[str, ...] = ()  # empty: any
    channels: tuple[str, ...] | None = None  # configured ones; None: nobody knows
    faults: Faults | None = None  # which chats and models of a job there are not
    misfire: Misfire = field(default_factory=Misfire)
    config_removal: str = "disable"  # disable | delete
    orphan_retention: timedelta = timedelta(days=30)
    calendars: Mapping[str, Calendar] = field(default_factory=dict)
    way: reading.Way = reading.unknown_way  # where the words of a job would go

    @property
    def days(self) -> Days:
        """What the calendars of a job are asked with."""
        return Days(self.calendars, self.tz)


class Scheduling:
    """Jobs and their runs in the wire shapes of cron.md §14.

    ``ref`` is an id, a config key or an exact unique name; an unknown one is `JobNotFound`.
    """

    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        bus: Bus,
        settings: Callable[[], SchedulingSettings],
        dispatch: Callable[[Job, Run], None],
        active: Callable[[str], str | None],
        cancel: Callable[[str, str], None],
        withdraw: Callable[[str, str], None] = lambda _job, _because: None,
        poke: Callable[[], None],
        boot_id: str,
    ) -> None:
        self._database = database
        self._clock = clock
        self._bus = bus
        self._settings = settings
        self._dispatch = dispatch
        self._active = active
        self._cancel = cancel
        self._withdraw = withdraw  # runs of a job that wait
        self._poke = poke
        self._boot_id = boot_id
        self._config_jobs = ConfigJobs()
        self._starting: set[str] = set()  # manual runs between the question and the dispatch
        self._counted: tuple[datetime, int | None, dict[str, Any]] | None = None
        self._imports = Imports(
            database=database,
            clock=clock,
            rules=self._rules,
            refuse_owned=self._config_jobs.refuse_owned,
            tell=self._tell_all,
        )
        bus.listen(self._noticed)

    # -- reading -------------------------------------------------------------------------

    async def status(self) -> dict[str, Any]:
        """`cron.status`; counted at most once in five seconds while nothing is written."""
        now, changes = self._clock.now(), self._database.changes
        settings = self._settings()
        counted = self._counted
        stands = counted is not None and counted[1] == changes
        if counted is None or not (stands and timedelta() <= now - counted[0] < _COUNTED_FOR):
            found = await self._database.read(lambda tx: reading.counts(tx, now))
            counted = self._counted = (now, changes, found)
        where = self._database.path
        return {
            "enabled": settings.enabled,
            "storePath": "" if where is None else str(where),
            "storage": "sqlite",
            "tz": settings.tz,
            "processInstanceId": self._boot_id,
            **self._config_jobs.status(),
            **counted[2],
        }

    @property
    def remarks(self) -> tuple[object, ...]:
        """What `status` tells that stands in no row and no settings."""
        return self._config_jobs.remarks

    async def list(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """`cron.list`: one page, enabled jobs only unless asked, next run first."""
        asked = self._settings()
        return await self._database.read(
            lambda tx: reading.listing(tx, params, asked.default_agent, asked.way)
        )

    async def get(self, ref: str) -> dict[str, Any]:
        """`cron.get`."""
        asked = self._settings()

        def work(tx: Tx) -> dict[str, Any]:
            stored = job_rows.find(tx, ref)
            told = reading.wire(tx, stored, asked.default_agent)
            return {**told, "deliveryPreview": reading.preview(tx, stored, asked.way)}

        return await self._database.read(work)

    async def runs(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """`cron.runs`: one page of the run log, newest first (cron.md §11.4)."""
        reading.check_log(params)
        return await self._database.read(lambda tx: reading.run_log(tx, params))

    # -- changing ------------------------------------------------------------------------

    async def add(self, params: Mapping[str, Any], *, by: str) -> dict[str, Any]:
        """`cron.add`: the job; with a ``declarationKey`` ``{created, updated, job}`` (§1).

        The same key again converges: the job it names takes the new definition.
        """
        now = self._clock.now()
        rules, days = self._strict(now), self._settings().days
        key = writing.declaration_key(params)
        new = str(uuid4())

        def work(tx: Tx) -> tuple[StoredJob, str | None]:
            current = writing.declared_as(tx, key)
            if current is None:
                job = edit.create(params, rules, job_id=new)
                stored = job_rows.insert(tx, job, next_run_at=first_run(job, now), now=now)
                writing.note(tx, now, by, "cron.add", stored)
                return writing.planned(tx, stored, now, days), "added"
            self._config_jobs.refuse_owned(current)
            wish = edit.create({**params, "id": current.job.id}, rules, job_id=current.job.id)
            job = writing.converged(current.job, wish, params)
            return writing.changed(tx, current, job, now=now, by=by, days=days)

        told, action = await self._change(work)
        shown = await self._shown(str(told["id"]))
        if key is None:
            return {**told, **shown}
        made = {"created": action == "added", "updated": action == "updated"}
        return {**made, "job": told, **shown}

    async def update(
        self,
        ref: str,
        patch: Mapping[str, Any],
        *,
        by: str,
        expected_revision: str | None = None,
    ) -> dict[str, Any]:
        """`cron.update`: the job as it stands now. A patch that changes nothing writes nothing."""
        now = self._clock.now()
        rules, days = self._strict(now), self._settings().days

        def work(tx: Tx) -> tuple[StoredJob, str | None]:
            current = reading.find(tx, ref)
            self._config_jobs.refuse_owned(current)
            if expected_revision is not None and expected_revision != current.revision:
                raise Conflict(
                    f"job {current.job.id} was not changed",
                    why="it changed since it was read",
                    fix=f"read it again: engine cron get {current.job.id}",
                    currentRevision=current.revision,
                )
            job = edit.patch(current.job, patch, rules)
            asked = patch.get("enabled")
            return writing.changed(
                tx,
                current,
                job,
                now=now,
                by=by,
                days=days,
                again=asked is True,
                off=asked is False,
            )

        told, _ = await self._change(work)
        return {**told, **await self._shown(str(told["id"]))}

    async def remove(self, ref: str, *, by: str, force: bool = False) -> dict[str, Any]:
        """`cron.remove`: the job goes, its runs stay on record.

        A run that goes on ends as it will, or at once with ``force``.
        """
        now = self._clock.now()

        def work(tx: Tx) -> str:
            try:
                current = reading.find(tx, ref)
            except InvalidJob:  # nobody can read it: its id is enough to be rid of it
                if not job_rows.delete(tx, ref):
                    raise
                audit.note(tx, now=now, actor=by, action="cron.remove", subject=ref)
                return ref
            self._config_jobs.refuse_owned(current, removal=True)
            job_rows.delete(tx, current.job.id)
            writing.removed(tx, now, by, writing.REMOVALS[0], current)
            return current.job.id

        job_id = await self._database.write(work)
        self._bus.publish("cron", {"action": "removed", "jobId": job_id})
        if force:
            self._cancel(job_id, f"its job was removed by {by}")
        else:
            self._withdraw(job_id, REMOVED)
        self._poke()
        return {"ok": True, "removed": True}

    async def run(
        self, ref: str, *, mode: str = "force", by: str, process: str | None = None
    ) -> dict[str, Any]:
        """`cron.run`: ``{ok, enqueued, runId}``, or ``{ok, ran: false, reason}``.

        A forced run asks neither whether the job is due nor whether it is enabled, and leaves
        its next slot where it is. A run because it is due takes that slot, or the scheduler
        would serve it as well. ``process`` is the one the caller means: `cron.status` names it.
        """
        now = self._clock.now()
        if process is not None and process != self._boot_id:
            raise Conflict(
                f"job {ref} was not run",
                why="the gateway has been restarted since",
                fix=f"engine cron run {ref}",
                processInstanceId=self._boot_id,
            )
        try:
            stored = await self._database.read(lambda tx: reading.find(tx, ref))
        except InvalidJob:  # its definition cannot be read: `cron.status` names it
            return {"ok": True, "ran": False, "reason": "invalid-spec"}
        job = stored.job
        refusal = self._not_now(stored, mode, now)
        if refusal is not None:
            return {"ok": True, "ran": False, "reason": refusal}
        run = self._manual_run(job, now, by)
        due = stored.state.next_run_at if mode == "due" else None
        slot = None if due is None else _slot_due(stored, now)
        run = replace(run, slot=slot)
        days = self._settings().days
        following = None if due is None else _following(job, slot or due, now, days)

        def work(tx: Tx) -> bool:
            reading.find(tx, job.id)  # it may have been removed since
            if due is None:
                run_rows.insert(tx, [run])
            elif not run_rows.claim(tx, [Claim(job.id, due, following, (run,))]):
                return False
            writing.note(tx, now, by, "cron.run", stored, runId=run.id)
            return True

        self._starting.add(job.id)
        try:
            if not await self._database.write(work):
                return {"ok": True, "ran": False, "reason": "not-due"}
            if (other := self._active(job.id)) is not None:
                # Its slot came while the row was written: the job is running by now.
                await self._database.write(lambda tx: writing.overtaken(tx, run, other, now))
                return {"ok": True, "ran": False, "reason": "already-running"}
            self._dispatch(job, run)
        finally:
            self._starting.discard(job.id)
        return {"ok": True, "enqueued": True, "runId": run.id}

    async def bring_in(self, params: Mapping[str, Any], *, by: str) -> dict[str, Any]:
        """`cron.import`: jobs from elsewhere, in one transaction; see `Imports`."""
        return await self._imports.bring_in(params, by=by)

    # -- the config's jobs ---------------------------------------------------------------

    async def reconcile(
        self, entries: Mapping[str, Any], *, places: Mapping[str, Place] | None = None
    ) -> dict[str, int]:
        """Make the stored config jobs those of `cron.jobs`; returns how many changed how (§13).

        All entries are judged before any is applied, and all are applied in one transaction:
        one bad entry raises `ConfigInvalid` and the previous set keeps running.
        """
        now = self._clock.now()
        settings, config_jobs = self._settings(), self._config_jobs
        wish = config_jobs.judged(entries, places or {}, self._rules(now))

        def plan(stored: Sequence[StoredJob]) -> Plan:
            return config_jobs.plan(
                wish,
                stored,
                now=now,
                removal=settings.config_removal,
                orphan_retention=settings.orphan_retention,
            )

        made, told = await self._database.write(
            lambda tx: writing.apply(tx, wish.jobs, plan, now, settings.days)
        )
        config_jobs.applied(wish)
        counts = {act.value: len(made.of(act)) for act in Act}
        if told:
            self._tell_all(told)
            self._bus.publish("cron", {"action": "configApplied", **counts})
            log.info("jobs of the config applied", extra=counts)
        return counts

    async def rezone(self) -> int:
        """Move the jobs whose zone nobody gave to the default one, if it is another than before.

        Returns how many. The config's jobs move when they are reconciled (cron.md §3.1).
        """
        now, settings = self._clock.now(), self._settings()

        def work(tx: Tx) -> list[tuple[StoredJob, str]]:
            before = meta.get(tx, _ZONE)
            if before == settings.tz:
                return []
            meta.put(tx, _ZONE, settings.tz)
            # The first start of a store has nothing to move.
            return [] if before is None else writing.rezoned(tx, settings.tz, now, settings.days)

        moved = await self._database.write(work)
        if moved:
            extra = {"zone": settings.tz, "jobs": len(moved)}
            log.warning("the default zone changed; jobs that name none follow it", extra=extra)
            self._tell_all(moved)
        return len(moved)

    def file_told(self, problems: Sequence[str]) -> None:
        """Keep for `cron.status` why the file on disk is not in force; nothing: it is."""
        self._config_jobs.file_told(problems)

    # -- the system's own jobs -----------------------------------------------------------

    async def sync_heartbeats(self, beats: Sequence[Job]) -> None:
        """Make the stored heartbeat jobs these, one per agent that beats (design.md §1).

        A beat whose schedule is unchanged keeps its next slot: a restart or a reload never
        moves the cadence. Agents that no longer beat keep their row, disabled.
        """
        await self._sync(JobQuery(kinds=("heartbeat",), enabled=None), beats)

    async def sync_tasks(self, tasks: Sequence[Job]) -> None:
        """Make the stored tasks of checklists these (heartbeat.md §25-14); others are off."""
        await self._sync(JobQuery(source=Source.SYSTEM.value, enabled=None), tasks)

    async def _sync(self, query: JobQuery, wish: Sequence[Job]) -> None:
        now = self._clock.now()

        def work(tx: Tx) -> bool:
            page = job_rows.select(tx, query)
            left = {
                stored.job.id: stored
                for stored in page.jobs
                if not _waits_for_its_instant(stored.job)
            }
            for torn in {job.id for job in wish}.intersection(page.unreadable):
                job_rows.delete(tx, torn)  # all of it is in the config: it is made anew
                log.warning("a stored beat cannot be read; it is made anew", extra={"job": torn})
            changed = [writing.sync(tx, left.pop(job.id, None), job, now) for job in wish]
            for stored in left.values():
                changed.append(writing.sync(tx, stored, replace(stored.job, enabled=False), now))
            return any(changed)

        if await self._database.write(work):
            self._poke()

    # -- parts ---------------------------------------------------------------------------

    async def _shown(self, job_id: str) -> dict[str, Any]:
        """Return where the words of a job would go now; nothing if it is gone again."""
        way = self._settings().way

        def work(tx: Tx) -> dict[str, Any]:
            stored = job_rows.get(tx, job_id)
            return {} if stored is None else {"deliveryPreview": reading.preview(tx, stored, way)}

        return await self._database.read(work)

    async def _change(
        self, work: Callable[[Tx], tuple[StoredJob, str | None]]
    ) -> tuple[dict[str, Any], str | None]:
        """Write, then tell: one event of what changed, and the timer; returns the job as told."""
        stored, action = await self._database.write(work)
        wire = self._wire(stored)
        if action is not None:
            self._tell(stored, action, dict(wire))
            self._poke()
        return wire, action

    def _tell(self, stored: StoredJob, action: str, wire: dict[str, Any] | None = None) -> None:
        payload: dict[str, Any] = {"action": action, "jobId": stored.job.id}
        if action != "removed":
            payload["job"] = wire or self._wire(stored)
            if stored.job.enabled and stored.state.next_run_at is not None:
                payload["nextRunAtMs"] = ms(stored.state.runs_next_at)
        self._bus.publish("cron", payload)

    def _tell_all(self, told: Sequence[tuple[StoredJob, str]]) -> None:
        for stored, action in told:
            self._tell(stored, action)
            if action == "removed":
                self._withdraw(stored.job.id, REMOVED)
        if told:
            self._poke()

    def _not_now(self, stored: StoredJob, mode: str, now: datetime) -> str | None:
        """Return why a manual run is not started (cron.md §8)."""
        job, next_run_at = stored.job, stored.state.next_run_at
        if isinstance(job.payload, SYSTEMS_OWN):
            raise InvalidJob(
                f"job {job.id} was not run",
                why="it is the system's: a heartbeat is woken, not run",
                fix='engine system event --mode now --text "look again"',
            )
        if mode not in _MODES:
            raise InvalidInput(f"mode {mode!r} is not known", fix="use force, due or if-enabled")
        if self._active(job.id) is not None or job.id in self._starting:
            return "already-running"
        if mode != "force" and not job.enabled:
            return "disabled"
        if mode == "due" and (next_run_at is None or next_run_at > now):
            return "not-due"
        return None

    def _manual_run(self, job: Job, now: datetime, by: str) -> Run:
        run = claimed(job, "cron", Trigger.MANUAL, now, self._boot_id)
        return replace(run, wake={"source": "manual", "by": by})

    def _strict(self, now: datetime) -> edit.Rules:
        """Return the rules for a definition somebody writes now, who can name something else."""
        return replace(self._rules(now), faults=self._settings().faults)

    def _rules(self, now: datetime) -> edit.Rules:
        settings = self._settings()
        return edit.Rules(
            now=now,
            default_tz=settings.tz,
            default_agent=settings.default_agent,
            agents=settings.agents,
            channels=settings.channels,
            calendars=tuple(settings.calendars),
            misfire=settings.misfire,
        )

    def _wire(self, stored: StoredJob) -> dict[str, Any]:
        return pages.wire_job(stored, default_agent=self._settings().default_agent)

    def _noticed(self, event: Event) -> None:
        if event.name == "cron":
            self._counted = None


def _waits_for_its_instant(job: Job) -> bool:
    """Whether a job of the system is no part of the config: a look at one alert (§25 row 13)."""
    return isinstance(job.payload, Errand) and isinstance(job.schedule, At)


def _slot_due(stored: StoredJob, now: datetime) -> datetime | None:
    """Return the slot that is due; None: it is a retry that is due, which has none."""
    job, state = stored.job, stored.state
    if isinstance(job.schedule, At):
        return None if state.next_run_at == state.retry_at else state.next_run_at
    slot = coming_slot(job.schedule, state.next_run_at, state.retry_at)
    return slot if slot is not None and slot <= now else None


def _following(job: Job, slot: datetime, now: datetime, days: Days) -> datetime | None:
    """Return the slot after one that is served by hand, as the loop would."""
    coming = None if isinstance(job.schedule, At) else job.schedule.next_after(slot)
    return brought_forward(job, not_beyond(coming, job.policies.until), now, days)
