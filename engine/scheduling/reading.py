"""What the desk tells of jobs and runs: queries over one open transaction."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from engine.messages.delivery import Delivery
from engine.messages.fault import remedy
from engine.store import outbox, sessions
from jobs import entries, pages
from jobs.errors import InvalidInput, JobNotFound
from jobs.ledger import Run, RunStatus, SkipReason, Trigger
from jobs.model import Job, StoredJob
from jobs.store import jobs as job_rows, runs as run_rows
from jobs.store.base import JobQuery, RunQuery
from jobs.store.db import Tx
from jobs.wallclock import instant, ms

_DAY: Final = timedelta(days=1)
_SCAN: Final = 500
_SCAN_MOST: Final = 20_000  # rows a filter outside SQL looks at
_SORTS: Final = {"nextRunAtMs": "next_run_at", "updatedAtMs": "updated_at", "name": "name"}


def find(tx: Tx, ref: str) -> StoredJob:
    """Return the job meant by an id, a config key or an exact unique name."""
    try:
        return job_rows.find(tx, ref)
    except JobNotFound as error:
        raise JobNotFound(
            f"unknown cron job id: {ref}", fix="engine cron list --all", job_id=ref
        ) from error


Way = Callable[[Tx, Job], Mapping[str, Any]]


def unknown_way(_tx: Tx, _job: Job) -> Mapping[str, Any]:
    """Nobody knows where words would go."""
    return {}


def preview(tx: Tx, stored: StoredJob, way: Way) -> dict[str, str]:
    """Say where a job's words would go now (cron.md §10.2)."""
    return pages.delivery_preview(stored.job.delivery, way(tx, stored.job))


def wire(tx: Tx, stored: StoredJob, default_agent: str) -> dict[str, Any]:
    """Return a job as clients read it, with what became of its last run's words."""
    told = pages.wire_job(stored, default_agent=default_agent)
    state = stored.state
    last = None if state.last_status is None else run_rows.last_ended(tx, stored.job.id)
    if last is not None:
        told["state"] |= entries.last_run(last, _sent(tx, last.delivery_key))
    told["state"] |= entries.last_alarm(state, _sent(tx, state.alarm.get("key")))
    return told


def listing(
    tx: Tx, params: Mapping[str, Any], default_agent: str, way: Way = unknown_way
) -> dict[str, Any]:
    """Return one page of jobs (cron.md §14): enabled ones unless asked, next run first."""
    query = _job_query(params, default_agent)
    found = job_rows.select(tx, query)
    jobs = [wire(tx, stored, default_agent) for stored in found.jobs]
    if params.get("compact"):
        jobs = [pages.compact(job) for job in jobs]
    answer = pages.page("jobs", jobs, total=found.total, offset=query.offset, limit=_limit(params))
    if found.unreadable:
        answer["unreadable"] = list(found.unreadable)
    answer["snapshotRevision"] = found.snapshot
    if params.get("includeDeliveryPreviews"):
        answer["deliveryPreviews"] = {
            stored.job.id: preview(tx, stored, way) for stored in found.jobs
        }
    return answer


def run_log(tx: Tx, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return one page of runs (cron.md §11.4), newest first."""
    ref = params.get("jobId") or params.get("id")
    job_id = None
    if ref is not None and params.get("scope") != "all":
        job_id = _logged_id(tx, str(ref))
    query = _run_query(params, job_id)
    keep = _entry_filter(params)
    if keep is None:
        found = run_rows.page(tx, query)
        rows, total = [_entry(tx, run) for run in found.entries], found.total
    else:
        rows, total = _sifted(tx, query, keep)
    return pages.page("entries", rows, total=total, offset=query.offset, limit=query.limit)


def check_log(params: Mapping[str, Any]) -> None:
    """Refuse what can name no run log."""
    ref = params.get("jobId") or params.get("id")
    if ref is None:
        if params.get("scope") == "job":
            raise InvalidInput(
                "invalid cron.runs params: id is required for scope job",
                fix="engine cron list --all",
            )
        return
    if any(sign in str(ref) for sign in ("/", "\\", "\0")) or ref in (".", ".."):
        raise InvalidInput(
            "invalid cron.runs params: invalid id", why=f"got {ref!r}", fix="engine cron list --all"
        )


def counts(tx: Tx, now: datetime) -> dict[str, Any]:
    """Return how many jobs there are and what became of the runs of a day."""
    counted = run_rows.counts(tx, now - _DAY)
    by_status: dict[str, int] = {}
    for (kind, status, _), count in counted.items():
        if kind == "cron":
            by_status[status] = by_status.get(status, 0) + count
    return {
        "jobs": job_rows.count(tx, JobQuery(enabled=None)),
        "nextWakeAtMs": ms(job_rows.next_due(tx)),  # of beats too
        "nextRunAtMs": ms(job_rows.next_run(tx)),
        "running": by_status.get(RunStatus.RUNNING, 0),
        "queued": by_status.get(RunStatus.CLAIMED, 0) + by_status.get(RunStatus.DEFERRED, 0),
        "missed24h": by_status.get(RunStatus.MISSED, 0),
        "errors24h": by_status.get(RunStatus.FAILED, 0),
        "runs24h": by_status,
        "quarantined": [
            {"jobId": job_id, "reason": why} for job_id, why in job_rows.quarantined(tx)
        ],
    }


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
    statuses = tuple(str(status) for word in words for status in _statuses(word))
    reason = params.get("reason")
    return RunQuery(
        job_id=job_id,
        run_id=params.get("runId"),
        kind="cron" if job_id is None else None,
        agent_id=params.get("agentId"),
        statuses=statuses,
        reasons=() if reason is None else (pages.listed(str(reason), SkipReason, "reason"),),
        since=instant(params.get("sinceMs")),
        until=instant(params.get("untilMs")),
        text=params.get("query"),
        descending=params.get("sortDir") != "asc",
        limit=_limit(params),
        offset=_offset(params),
    )


def _statuses(word: str) -> tuple[RunStatus, ...]:
    """Return what is stored for the older product's word, or for one of ours."""
    pages.listed(word, {*entries.STATUSES, *RunStatus}, "status")
    return entries.STATUSES.get(word) or (RunStatus(word),)


def _words(params: Mapping[str, Any], one: str, many: str) -> tuple[str, ...]:
    found = list(params.get(many) or ())
    if params.get(one) is not None:
        found.append(params[one])
    return tuple(str(word) for word in found if word != "all")


def _entry_filter(params: Mapping[str, Any]) -> Callable[[Mapping[str, Any]], bool] | None:
    """Return the filter for what only the finished entry says; None if nobody asks for it."""
    deliveries = _words(params, "deliveryStatus", "deliveryStatuses")
    for word in deliveries:
        pages.listed(word, entries.DELIVERIES, "deliveryStatus")
    trigger = params.get("trigger")
    if trigger is not None:
        pages.listed(str(trigger), Trigger, "trigger")
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
    session = sessions.get(tx, run.session_key) if run.session_key else None
    failed = run.status is RunStatus.FAILED
    return entries.run_entry(
        run,
        sent=_sent(tx, run.delivery_key),
        alarm=_sent(tx, f"alarm:{run.id}") if failed else None,
        session_id=session.session_id if session else None,
    )


def _sent(tx: Tx, key: str | None) -> entries.Sent | None:
    found = None if key is None else outbox.get(tx, key)
    return None if found is None else _told(found)


def _told(delivery: Delivery) -> entries.Sent:
    last = delivery.last_error or {}
    kind = str(last.get("class") or delivery.reason or "")
    said = " ".join(str(part) for part in (last.get("code"), last.get("detail")) if part)
    error = said or delivery.reason  # a body alone may read like praise: `500 ok`
    state = delivery.state.value
    fix = remedy(kind, delivery.route.channel, delivery.route.account_id)
    return entries.Sent(state=state, error=error, reason=kind, fix=fix)


def _logged_id(tx: Tx, ref: str) -> str:
    """Return the id whose runs are meant; a removed job's are found by its id, key or name."""
    try:
        return find(tx, ref).job.id
    except JobNotFound:
        for job_id in (ref, f"cfg:{ref}", run_rows.last_named(tx, ref)):
            if job_id and run_rows.page(tx, RunQuery(job_id=job_id, limit=1)).total:
                return job_id
        raise
