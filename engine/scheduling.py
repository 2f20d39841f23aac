"""The one desk at which jobs change: RPC, command line, config and the agents' tool.

Every change is one transaction of job and audit row; the `cron` event and the re-armed
timer follow the commit. No other job is ever recomputed (cron.md §6). What a definition may
say is decided by `jobs.edit`, what the config's jobs become by `jobs.declared`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import uuid4

from engine.clock import Clock
from engine.events import Bus, Event
from engine.store import audit, outbox
from jobs import edit, pages
from jobs.codec import ms, revision
from jobs.errors import ConfigOwned, Conflict, InvalidInput, InvalidJob, JobNotFound
from jobs.ids import new_id
from jobs.model import (
    HeartbeatBeat,
    Job,
    Misfire,
    Run,
    RunStatus,
    Source,
    StoredJob,
    Trigger,
)
from jobs.schedule import At, Every
from jobs.store import jobs as job_rows, runs as run_rows
from jobs.store.base import JobQuery, RunQuery
from jobs.store.db import Database, Tx
from jobs.store.rows import instant
from jobs.written import JUST_NOW, whole_ms

_CLEARED: Final[Mapping[str, Any]] = {
    "retry_at": None,
    "consecutive_errors": 0,
    "consecutive_skipped": 0,
    "schedule_errors": 0,
    "auto_disabled": None,
}
_STATUS_AGE: Final = timedelta(seconds=5)
_DAY: Final = timedelta(days=1)
_SCAN: Final = 500
_SCAN_MOST: Final = 20_000  # rows a filter outside SQL looks at


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulingSettings:
    """What the config says to this desk."""

    tz: str
    enabled: bool = True  # cron.enabled and ENGINE_SKIP_CRON
    default_agent: str = "main"
    agents: tuple[str, ...] = ()  # empty: any
    channels: tuple[str, ...] = ()  # configured ones
    misfire: Misfire = field(default_factory=Misfire)


@dataclass(frozen=True, slots=True)
class Place:
    """Where the config declares a job."""

    file: str
    line: int


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
        poke: Callable[[], None],
        boot_id: str,
    ) -> None:
        self._database = database
        self._clock = clock
        self._bus = bus
        self._settings = settings
        self._dispatch = dispatch
        self._active = active
        self._poke = poke
        self._boot_id = boot_id
        self._places: Mapping[str, Place] = {}
        self._starting: set[str] = set()  # manual runs between the question and the dispatch
        self._counted: tuple[datetime, dict[str, Any]] | None = None
        bus.listen(self._noticed)

    # -- reading -------------------------------------------------------------------------

    async def status(self) -> dict[str, Any]:
        """`cron.status`; counted at most once in five seconds while nothing happens."""
        now = self._clock.now()
        settings = self._settings()
        if self._counted is None or not timedelta() <= now - self._counted[0] < _STATUS_AGE:
            self._counted = (now, await self._database.read(lambda tx: _counts(tx, now)))
        where = self._database.path
        return {
            "enabled": settings.enabled,
            "storePath": "" if where is None else str(where),
            "storage": "sqlite",
            "tz": settings.tz,
            **self._counted[1],
        }

    async def list(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """`cron.list`: one page, enabled jobs only unless asked, next run first."""
        settings = self._settings()
        query = _job_query(params, settings.default_agent)
        limit = query.limit or pages.LIMIT_USUAL

        def work(tx: Tx) -> dict[str, Any]:
            found = job_rows.select(tx, query)
            jobs = [pages.wire_job(j, default_agent=settings.default_agent) for j in found.jobs]
            if params.get("compact"):
                jobs = [pages.compact(job) for job in jobs]
            answer = pages.page(
                "jobs", jobs, total=found.total, offset=query.offset, limit=limit
            ) | {"snapshotRevision": pages.snapshot(job_rows.revisions(tx, query))}
            if params.get("includeDeliveryPreviews"):
                answer["deliveryPreviews"] = {
                    stored.job.id: pages.delivery_preview(stored.job.delivery)
                    for stored in found.jobs
                }
            return answer

        return await self._database.read(work)

    async def get(self, ref: str) -> dict[str, Any]:
        """`cron.get`."""
        return self._wire(await self._database.read(lambda tx: job_rows.find(tx, ref)))

    async def runs(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """`cron.runs`: one page of the run log, newest first (cron.md §11.4)."""
        ref = params.get("jobId") or params.get("id")
        if ref is not None:
            _check_log_id(str(ref))
        elif params.get("scope") == "job":
            raise InvalidInput("invalid cron.runs params: id is required for scope job")

        def work(tx: Tx) -> dict[str, Any]:
            job_id = None
            if ref is not None and params.get("scope") != "all":
                job_id = _logged_id(tx, str(ref))
            query = _run_query(params, job_id)
            keep = _entry_filter(params)
            if keep is None:
                found = run_rows.page(tx, query)
                entries = [_entry(tx, run) for run in found.entries]
                total = found.total
            else:
                entries, total = _sifted(tx, query, keep)
            return pages.page(
                "entries", entries, total=total, offset=query.offset, limit=query.limit
            )

        return await self._database.read(work)

    # -- changing ------------------------------------------------------------------------

    async def add(self, params: Mapping[str, Any], *, by: str) -> dict[str, Any]:
        """`cron.add`: the job; with a ``declarationKey`` ``{created, updated, job}`` (§1).

        The same key again converges: the job it names takes the new definition.
        """
        now = self._clock.now()
        rules = self._rules(now)
        key = _declaration_key(params)
        new = str(uuid4())

        def work(tx: Tx) -> tuple[StoredJob, str | None]:
            current = _declared_as(tx, key)
            if current is None:
                job = edit.create(params, rules, job_id=new)
                stored = job_rows.insert(tx, job, next_run_at=first_run(job, now), now=now)
                _note(tx, now, by, "cron.add", stored)
                return stored, "added"
            self._refuse_owned(current)
            wish = edit.create({**params, "id": current.job.id}, rules, job_id=current.job.id)
            job = _converged(current.job, wish, params)
            return self._replace(tx, current, job, now, by, "cron.add")

        stored, action = await self._change(work)
        if key is None:
            return self._wire(stored)
        return {
            "created": action == "added",
            "updated": action == "updated",
            "job": self._wire(stored),
        }

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
        rules = self._rules(now)

        def work(tx: Tx) -> tuple[StoredJob, str | None]:
            current = _find(tx, ref)
            self._refuse_owned(current)
            if expected_revision is not None and expected_revision != current.revision:
                raise Conflict(
                    f"job {current.job.id} was not changed",
                    why="it changed since it was read",
                    fix=f"read it again: engine cron get {current.job.id}",
                    currentRevision=current.revision,
                )
            job = edit.patch(current.job, patch, rules)
            again = patch.get("enabled") is True
            return self._replace(tx, current, job, now, by, "cron.update", again=again)

        stored, _ = await self._change(work)
        return self._wire(stored)

    async def remove(self, ref: str, *, by: str) -> dict[str, Any]:
        """`cron.remove`: the job goes, its runs stay; a run that goes on ends as it will."""
        now = self._clock.now()

        def work(tx: Tx) -> tuple[StoredJob, str | None]:
            current = _find(tx, ref)
            self._refuse_owned(current)
            job_rows.delete(tx, current.job.id)
            _note(tx, now, by, "cron.remove", current)
            return current, "removed"

        await self._change(work)
        return {"ok": True, "removed": True}

    async def run(self, ref: str, *, mode: str = "force", by: str) -> dict[str, Any]:
        """`cron.run`: ``{ok, enqueued, runId}``, or ``{ok, ran: false, reason}``.

        A forced run asks neither whether the job is due nor whether it is enabled, and leaves
        its next slot where it is.
        """
        now = self._clock.now()
        stored = await self._database.read(lambda tx: _find(tx, ref))
        job = stored.job
        refusal = self._not_now(stored, mode, now)
        if refusal is not None:
            return {"ok": True, "ran": False, "reason": refusal}
        run = self._manual_run(job, now, by)

        def work(tx: Tx) -> None:
            run_rows.insert(tx, [run])
            _note(tx, now, by, "cron.run", stored, runId=run.id)

        self._starting.add(job.id)
        try:
            await self._database.write(work)
            self._dispatch(job, run)
        finally:
            self._starting.discard(job.id)
        return {"ok": True, "enqueued": True, "runId": run.id}

    # -- the system's own jobs -----------------------------------------------------------

    async def sync_heartbeats(self, beats: Sequence[Job]) -> None:
        """Make the stored heartbeat jobs these, one per agent that beats (design.md §1).

        A beat whose schedule is unchanged keeps its next slot: a restart or a reload never
        moves the cadence. Agents that no longer beat keep their row, disabled.
        """
        now = self._clock.now()

        def work(tx: Tx) -> bool:
            query = JobQuery(kinds=("heartbeat",), enabled=None)
            left = {stored.job.id: stored for stored in job_rows.select(tx, query).jobs}
            changed = [_sync(tx, left.pop(beat.id, None), beat, now) for beat in beats]
            for stored in left.values():
                changed.append(_sync(tx, stored, replace(stored.job, enabled=False), now))
            return any(changed)

        if await self._database.write(work):
            self._poke()

    # -- parts ---------------------------------------------------------------------------

    async def _change(
        self, work: Callable[[Tx], tuple[StoredJob, str | None]]
    ) -> tuple[StoredJob, str | None]:
        """Write, then tell: one event of what changed, and the timer."""
        stored, action = await self._database.write(work)
        if action is not None:
            self._tell(stored, action)
            self._poke()
        return stored, action

    def _tell(self, stored: StoredJob, action: str) -> None:
        payload: dict[str, Any] = {"action": action, "jobId": stored.job.id}
        if action != "removed":
            payload["job"] = self._wire(stored)
            if stored.job.enabled and stored.state.next_run_at is not None:
                payload["nextRunAtMs"] = ms(stored.state.next_run_at)
        self._bus.publish("cron", payload)

    def _replace(
        self,
        tx: Tx,
        current: StoredJob,
        job: Job,
        now: datetime,
        by: str,
        action: str,
        *,
        again: bool = False,
    ) -> tuple[StoredJob, str | None]:
        """Give a stored job a new definition; its counters and last run stay."""
        revived = again and (not current.job.enabled or current.state.auto_disabled is not None)
        if not revived and revision(job) == current.revision:
            return current, None
        rescheduled = job.schedule != current.job.schedule
        state: dict[str, Any] = {}
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
            **state,
        )
        _note(tx, now, by, action, stored, previous=current.revision)
        return stored, "updated"

    def _refuse_owned(self, stored: StoredJob) -> None:
        job = stored.job
        if job.source is Source.SYSTEM or isinstance(job.payload, HeartbeatBeat):
            raise InvalidJob(
                f"job {job.id} was not changed",
                why="it is the system's",
                fix="change the agent's heartbeat block in the config",
            )
        if job.source is Source.CONFIG and stored.state.orphaned_at is None:
            raise self._owned_by_config(job)

    def _owned_by_config(self, job: Job) -> ConfigOwned:
        key = job.id.removeprefix("cfg:")
        place = self._places.get(key)
        where = "the config" if place is None else f"{place.file}:{place.line}"
        path = f"cron.jobs.{key}"
        return ConfigOwned(
            f'job "{key}" is defined in {where} ({path}); edit the config, or run'
            f" 'engine cron adopt {key}' to take it over at runtime",
            fix=f"edit {path} in {where}",
            file="" if place is None else place.file,
            line=0 if place is None else place.line,
            key=path,
        )

    def _not_now(self, stored: StoredJob, mode: str, now: datetime) -> str | None:
        """Return why a manual run is not started (cron.md §8)."""
        job, next_run_at = stored.job, stored.state.next_run_at
        if isinstance(job.payload, HeartbeatBeat):
            raise InvalidJob(
                f"job {job.id} was not run",
                why="a heartbeat is woken, not run",
                fix='engine system event --mode now --text "look again"',
            )
        if mode not in ("force", "due", "if-enabled"):
            raise InvalidInput(f"mode {mode!r} is not known", fix="use force, due or if-enabled")
        if self._active(job.id) is not None or job.id in self._starting:
            return "already-running"
        if mode != "force" and not job.enabled:
            return "disabled"
        if mode == "due" and (next_run_at is None or next_run_at > now):
            return "not-due"
        return None

    def _manual_run(self, job: Job, now: datetime, by: str) -> Run:
        return Run(
            id=new_id(now),
            job_id=job.id,
            kind="cron",
            agent_id=job.agent_id,
            trigger=Trigger.MANUAL,
            status=RunStatus.CLAIMED,
            job_name=job.name,
            requested_at=now,
            claimed_at=now,
            wake={"source": "manual", "by": by},
            boot_id=self._boot_id,
        )

    def _rules(self, now: datetime) -> edit.Rules:
        settings = self._settings()
        return edit.Rules(
            now=now,
            default_tz=settings.tz,
            default_agent=settings.default_agent,
            agents=settings.agents,
            channels=settings.channels,
            misfire=settings.misfire,
        )

    def _wire(self, stored: StoredJob) -> dict[str, Any]:
        return pages.wire_job(stored, default_agent=self._settings().default_agent)

    def _noticed(self, event: Event) -> None:
        if event.name == "cron":
            self._counted = None


def first_run(job: Job, now: datetime) -> datetime | None:
    """Return when a new job is due first; an instant that has just passed is due now (§5)."""
    if not job.enabled:
        return None
    if isinstance(job.schedule, At):
        return max(job.schedule.at, whole_ms(now)) if job.schedule.at > now - JUST_NOW else None
    return job.schedule.next_after(now)


def next_run(current: StoredJob, job: Job, now: datetime) -> datetime | None:
    """Return when a changed job is due next; with its old schedule its slot stands."""
    unmoved = job.schedule == current.job.schedule and current.job.enabled
    if job.enabled and unmoved and current.state.auto_disabled is None:
        return current.state.next_run_at
    return first_run(job, now)


def _sync(tx: Tx, current: StoredJob | None, beat: Job, now: datetime) -> bool:
    """Store one heartbeat job as it should be; says whether anything changed."""
    if current is None:
        made = replace(beat, created_at=whole_ms(now), updated_at=whole_ms(now))
        job_rows.insert(tx, made, next_run_at=first_run(made, now), now=now)
        return True
    job = replace(beat, created_at=current.job.created_at, updated_at=whole_ms(now))
    if revision(job) == current.revision:
        return False
    job_rows.update(tx, job, next_run_at=next_run(current, job, now), now=now)
    return True


def _converged(current: Job, wish: Job, params: Mapping[str, Any]) -> Job:
    """Return the wish with what only its creation would have chosen anew taken from before."""
    given = params.get("schedule")
    anchored = isinstance(given, Mapping) and bool({"anchor", "anchorMs"} & given.keys())
    before, after = current.schedule, wish.schedule
    if isinstance(before, Every) and isinstance(after, Every) and not anchored:
        wish = replace(wish, schedule=before if before.period == after.period else after)
    return replace(wish, created_at=current.created_at)


def _declaration_key(params: Mapping[str, Any]) -> str | None:
    key = params.get("declarationKey")
    if isinstance(key, str) and key.strip().startswith("config:"):
        raise InvalidJob(
            f"declarationKey {key!r} was refused", why="config: is for jobs of the config file"
        )
    return key.strip() if isinstance(key, str) and key.strip() else None


def _declared_as(tx: Tx, key: str | None) -> StoredJob | None:
    if key is None:
        return None
    try:
        found = job_rows.find(tx, key)
    except (JobNotFound, Conflict):
        return None
    return found if found.job.declaration_key == key else None


def _find(tx: Tx, ref: str) -> StoredJob:
    try:
        return job_rows.find(tx, ref)
    except JobNotFound as error:
        raise JobNotFound(
            f"unknown cron job id: {ref}", fix="engine cron list --all", job_id=ref
        ) from error


def _note(
    tx: Tx, now: datetime, by: str, action: str, stored: StoredJob, **more: str | None
) -> None:
    detail = {"name": stored.job.name, "revision": stored.revision, **more}
    audit.note(tx, now=now, actor=by, action=action, subject=stored.job.id, detail=detail)


def _counts(tx: Tx, now: datetime) -> dict[str, Any]:
    counted = run_rows.counts(tx, now - _DAY)
    by_status: dict[str, int] = {}
    for (kind, status, _), count in counted.items():
        if kind == "cron":
            by_status[status] = by_status.get(status, 0) + count
    return {
        "jobs": job_rows.select(tx, JobQuery(enabled=None, limit=0)).total,
        "nextWakeAtMs": ms(job_rows.next_due(tx)),
        "running": by_status.get(RunStatus.RUNNING, 0),
        "queued": by_status.get(RunStatus.CLAIMED, 0) + by_status.get(RunStatus.DEFERRED, 0),
        "missed24h": by_status.get(RunStatus.MISSED, 0),
        "errors24h": by_status.get(RunStatus.FAILED, 0),
    }


# -- queries -----------------------------------------------------------------------------------

_SORTS: Final = {"nextRunAtMs": "next_run_at", "updatedAtMs": "updated_at", "name": "name"}


def _job_query(params: Mapping[str, Any], default_agent: str) -> JobQuery:
    system = bool(params.get("includeSystem"))
    return JobQuery(
        kinds=("cron", "heartbeat") if system else ("cron",),
        enabled=_enabled(params),
        agent_id=params.get("agentId"),
        default_agent=default_agent,
        schedule_kind=_unless_all(params.get("scheduleKind")),
        last_status=_unless_all(params.get("lastRunStatus")),
        text=params.get("query"),
        sort=_SORTS.get(str(params.get("sortBy") or "nextRunAtMs"), "next_run_at"),
        descending=params.get("sortDir") == "desc",
        limit=_limit(params),
        offset=_offset(params),
    )


def _enabled(params: Mapping[str, Any]) -> bool | None:
    word = params.get("enabled")
    if word is None:
        return None if params.get("includeDisabled") else True
    return {"enabled": True, "disabled": False}.get(str(word))


def _unless_all(word: Any) -> str | None:
    return None if word in (None, "all") else str(word)


def _limit(params: Mapping[str, Any]) -> int:
    limit = params.get("limit") or pages.LIMIT_USUAL
    return max(1, min(int(limit), pages.LIMIT_MOST))


def _offset(params: Mapping[str, Any]) -> int:
    return max(0, int(params.get("offset") or 0))


def _run_query(params: Mapping[str, Any], job_id: str | None) -> RunQuery:
    words = _words(params, "status", "statuses")
    statuses = tuple(
        str(status) for word in words for status in pages.STATUSES.get(word, (RunStatus(word),))
    )
    reason = params.get("reason")
    return RunQuery(
        job_id=job_id,
        run_id=params.get("runId"),
        kind="cron" if job_id is None else None,
        agent_id=params.get("agentId"),
        statuses=statuses,
        reasons=() if reason is None else (str(reason),),
        since=instant(params.get("sinceMs")),
        until=instant(params.get("untilMs")),
        text=params.get("query"),
        descending=params.get("sortDir") != "asc",
        limit=_limit(params),
        offset=_offset(params),
    )


def _words(params: Mapping[str, Any], one: str, many: str) -> tuple[str, ...]:
    found = list(params.get(many) or ())
    if params.get(one) is not None:
        found.append(params[one])
    return tuple(str(word) for word in found if word != "all")


def _entry_filter(params: Mapping[str, Any]) -> Callable[[Mapping[str, Any]], bool] | None:
    """Return the filter for what only the finished entry says; None if nobody asks for it."""
    deliveries = _words(params, "deliveryStatus", "deliveryStatuses")
    trigger = params.get("trigger")
    if not deliveries and trigger is None:
        return None

    def keep(entry: Mapping[str, Any]) -> bool:
        return (not deliveries or entry["deliveryStatus"] in deliveries) and (
            trigger is None or entry["trigger"] == trigger
        )

    return keep


def _sifted(
    tx: Tx, query: RunQuery, keep: Callable[[Mapping[str, Any]], bool]
) -> tuple[list[dict[str, Any]], int]:
    """Return one page of what passes a filter, and how many of the newest rows do."""
    found: list[dict[str, Any]] = []
    for offset in range(0, _SCAN_MOST, _SCAN):
        batch = run_rows.page(tx, replace(query, limit=_SCAN, offset=offset)).entries
        found.extend(entry for run in batch if keep(entry := _entry(tx, run)))
        if len(batch) < _SCAN:
            break
    return found[query.offset : query.offset + query.limit], len(found)


def _entry(tx: Tx, run: Run) -> dict[str, Any]:
    sent = None if run.delivery_key is None else outbox.get(tx, run.delivery_key)
    if sent is None:
        return pages.run_entry(run)
    error = (sent.last_error or {}).get("detail") or sent.reason
    return pages.run_entry(run, delivery={"state": sent.state.value, "error": error})


def _check_log_id(ref: str) -> None:
    if any(sign in ref for sign in ("/", "\\", "\0")) or ref in (".", ".."):
        raise InvalidInput("invalid cron.runs params: invalid id", why=f"got {ref!r}")


def _logged_id(tx: Tx, ref: str) -> str:
    """Return the id whose runs are meant; a removed job's runs are found by its id."""
    try:
        return _find(tx, ref).job.id
    except JobNotFound:
        if run_rows.page(tx, RunQuery(job_id=ref, limit=1)).total:
            return ref
        raise


class AgentJobs:
    """The same desk for the tool `cron` of the agents, which keeps each to its own jobs (§18)."""

    def __init__(self, scheduling: Scheduling) -> None:
        self._scheduling = scheduling

    async def list_jobs(self, *, agent_id: str) -> Mapping[str, Any]:
        """Jobs of one agent, disabled ones too."""
        params = {"agentId": agent_id, "includeDisabled": True, "limit": pages.LIMIT_MOST}
        return await self._scheduling.list(params)

    async def get_job(self, job_id: str) -> Mapping[str, Any]:
        """One job."""
        return await self._scheduling.get(job_id)

    async def add_job(self, job: Mapping[str, Any], *, by: str) -> Mapping[str, Any]:
        """Create a job."""
        return await self._scheduling.add(job, by=by)

    async def update_job(
        self, job_id: str, patch: Mapping[str, Any], *, by: str
    ) -> Mapping[str, Any]:
        """Change a job."""
        return await self._scheduling.update(job_id, patch, by=by)

    async def remove_job(self, job_id: str, *, by: str) -> Mapping[str, Any]:
        """Delete a job."""
        return await self._scheduling.remove(job_id, by=by)

    async def run_job(self, job_id: str, *, by: str) -> Mapping[str, Any]:
        """Run a job now; returns before it has run."""
        return await self._scheduling.run(job_id, by=by)
