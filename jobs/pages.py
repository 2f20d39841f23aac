"""Jobs and runs as the wire shows them: pages, run entries, previews (cron.md §11.4, §14)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from difflib import get_close_matches
from typing import Any, Final

from jobs.codec import stored_to_wire
from jobs.errors import InvalidInput
from jobs.ledger import Outcome, Run, RunStatus
from jobs.model import DeliverySpec, StoredJob
from jobs.wallclock import ms

LIMIT_MOST: Final = 200
LIMIT_USUAL: Final = 50
STATUSES: Final[Mapping[str, tuple[RunStatus, ...]]] = {
    "ok": (RunStatus.OK,),
    "error": (RunStatus.FAILED,),
    "skipped": (RunStatus.SKIPPED, RunStatus.MISSED),
    "running": (RunStatus.CLAIMED, RunStatus.RUNNING, RunStatus.DEFERRED),
}
_WORDS: Final = {status: word for word, group in STATUSES.items() for status in group}
_DELIVERED: Final = {
    "delivered": "delivered",
    "failed": "not-delivered",
    "expired": "not-delivered",
    "cancelled": "not-delivered",
}
_MS: Final = timedelta(milliseconds=1)
_COMPACT: Final = ("id", "name", "displayName", "enabled", "agentId", "schedule", "sessionTarget")


def page(
    key: str, items: Sequence[Mapping[str, Any]], *, total: int, offset: int, limit: int
) -> dict[str, Any]:
    """Return one page with all the metadata a client checks (protocol.md §12 point 9)."""
    end = offset + len(items)
    more = bool(items) and end < total
    return {
        key: list(items),
        "total": total,
        "offset": offset,
        "limit": limit,
        "hasMore": more,
        "nextOffset": end if more else None,
    }


def listed(word: str, known: Iterable[str], what: str) -> str:
    """Return a word out of a closed list; one that is not in it is refused with the list."""
    words = sorted(known)
    if word in words:
        return word
    near = get_close_matches(word, words, 1)
    raise InvalidInput(
        f"{what} {word!r} is not known",
        why=f'did you mean "{near[0]}"?' if near else "",
        fix=f"use one of: {', '.join(words)}",
    )


def snapshot(revisions: Iterable[tuple[str, str]]) -> str:
    """Return a mark of which definitions a listing covers; no run ever changes it."""
    digest = hashlib.sha256()
    for job_id, revision in sorted(revisions):
        digest.update(f"{job_id}\0{revision}\n".encode())
    return digest.hexdigest()[:32]


def wire_job(stored: StoredJob, *, default_agent: str) -> dict[str, Any]:
    """Return a job as clients of either wire version read it (protocol.md §13)."""
    wire = stored_to_wire(stored)
    wire["effectiveAgentId"] = stored.job.agent_id or default_agent
    wire["nextRunAtMs"] = ms(stored.state.next_run_at) if stored.job.enabled else None
    return wire


def compact(wire: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a list needs of a job: no prompt, no policy."""
    kept = {key: wire[key] for key in _COMPACT if key in wire}
    for key in ("nextRunAtMs", "effectiveAgentId", "configRevision", "state"):
        kept[key] = wire[key]
    return kept | {"payload": {"kind": wire["payload"]["kind"]}}


def delivery_preview(delivery: DeliverySpec) -> dict[str, str]:
    """Say where a job's words would go as it is configured; the run resolves it."""
    if delivery.mode == "none":
        return {"label": "none", "detail": "nothing is delivered"}
    if delivery.mode == "webhook":
        return {"label": f"webhook -> {delivery.to}", "detail": "explicit"}
    channel = delivery.channel or "last"
    place = f"{channel}:{delivery.to}" if delivery.to else channel
    thread = f" (thread {delivery.thread_id})" if delivery.thread_id else ""
    detail = "explicit" if channel != "last" else "the last route when it runs"
    return {"label": f"announce -> {place}{thread}", "detail": detail}


def run_status(run: Run) -> str:
    """Return the older product's word for a stored status (design.md §5)."""
    return _WORDS[run.status]


def delivery_status(run: Run, state: str | None) -> str:
    """Return what became of a run's words (design.md §5); ``state`` is that of its message."""
    if state is not None:
        return _DELIVERED.get(state, "unknown")
    if run.delivery_key is not None:
        return "unknown"  # its message was pruned
    if run.status is not RunStatus.OK:
        return "not-requested"
    silent = run.outcome in (Outcome.ACKNOWLEDGED, Outcome.EMPTY) and bool(run.target)
    return "suppressed" if silent or run.reason is not None else "not-requested"


def run_entry(run: Run, *, delivery: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return one row of the run log; ``delivery`` tells of its message.

    ``{state, error?, reason?, fix?}``: where it stands, and what a person can do about it.
    """
    state = None if delivery is None else str(delivery["state"])
    status = delivery_status(run, state)
    failed = run.status is RunStatus.FAILED  # errorReason says why
    entry: dict[str, Any] = {
        "ts": ms(run.ended_at or run.started_at or run.claimed_at or run.requested_at),
        "jobId": run.job_id,
        "jobName": run.job_name,
        "runId": run.id,
        "action": "finished" if run.status.final else "started",
        "status": run_status(run),
        "error": (run.error or {}).get("message"),
        "errorReason": (run.error or {}).get("class"),
        "summary": run.reply.get("preview") or run.because or None,
        "delivered": True if status == "delivered" else None,
        "deliveryStatus": status,
        "deliveryError": None if delivery is None else delivery.get("error"),
        "deliveryReason": None if delivery is None else delivery.get("reason") or None,
        "deliveryFix": None if delivery is None else delivery.get("fix") or None,
        "delivery": {"resolved": dict(run.target)} if run.target else None,
        "agentId": run.agent_id,
        "sessionKey": run.session_key,
        "runAtMs": ms(run.started_at or run.claimed_at),
        "durationMs": _took(run.started_at, run.ended_at),
        "nextRunAtMs": ms(run.next_due_at),
        "model": run.model,
        "provider": run.provider,
        "usage": _usage(run),
        "scheduledForMs": ms(run.slot),
        "scheduledToMs": ms(run.slot_to),
        "count": run.count if run.count > 1 else None,
        "nominalLocal": run.nominal_local,
        "tz": run.tz,
        "dst": run.dst,
        "trigger": run.trigger.value,
        "attempt": run.attempt,
        "retryOf": run.retry_of,
        "skipReason": None if failed or run.reason is None else run.reason.value,
        "because": run.because or None,
        "eventId": run.reply.get("eventId"),  # its words are those of the beat that takes it up
        "latenessMs": _took(run.slot, run.started_at),
        "costUsd": None if run.usage is None else run.usage.cost_usd,
    }
    return {key: value for key, value in entry.items() if value is not None}


def _usage(run: Run) -> dict[str, int] | None:
    usage = run.usage
    if usage is None:
        return None
    return {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
        "cache_read_tokens": usage.cache_read_tokens,
        "cache_write_tokens": usage.cache_write_tokens,
    }


def _took(start: datetime | None, end: datetime | None) -> int | None:
    return None if start is None or end is None else (end - start) // _MS
