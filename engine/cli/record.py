"""The sentence of a beat that came over the wire: the same words as from the store."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from engine.ledger.explain import sentence
from engine.messages.address import Route
from engine.messages.delivery import Delivery, State
from jobs.ledger import Outcome, Run, RunStatus, SkipReason, Trigger
from jobs.wallclock import at, instant


def record_sentence(record: Mapping[str, Any], *, zone: ZoneInfo, now: datetime) -> str:
    """Say what a record means; a sentence that came with it is taken as it is."""
    if explained := record.get("explain"):
        return str(explained)
    run = _run(record)
    return sentence(run, _delivery(record, run), zone=zone, now=now)


def _run(record: Mapping[str, Any]) -> Run:
    status, outcome = _status(record)
    ended = at(int(record.get("ts") or 0))
    return Run(
        id=str(record.get("runId") or ""),
        job_id="",
        kind="heartbeat",
        agent_id=record.get("agentId"),
        trigger=Trigger.WAKE,
        status=status,
        outcome=outcome,
        reason=_reason(record.get("skipReason")),
        because=str(record.get("because") or ""),
        started_at=ended - timedelta(milliseconds=int(record.get("durationMs") or 0)),
        ended_at=ended,
        wake={"source": record.get("wakeReason")},
        target=record.get("target") or {},
        reply={"preview": record.get("preview") or ""},
        error=_error(record, status),
        next_due_at=instant(record.get("nextDueAt")),
    )


def _status(record: Mapping[str, Any]) -> tuple[RunStatus, Outcome | None]:
    """Undo the older product's words (design.md §5)."""
    spoke = bool(record.get("preview") or record.get("delivery"))
    match record.get("status"):
        case "ok-empty":
            return RunStatus.OK, Outcome.EMPTY
        case "ok-token":
            return RunStatus.OK, Outcome.ACKNOWLEDGED
        case "sent":
            return RunStatus.OK, Outcome.ALERT
        case "skipped":
            return (RunStatus.OK, Outcome.ALERT) if spoke else (RunStatus.SKIPPED, None)
        case "failed":
            sent = bool(record.get("delivery"))
            return (RunStatus.OK, Outcome.ALERT) if sent else (RunStatus.FAILED, Outcome.FAILED)
        case other:
            known = other in (RunStatus.CLAIMED, RunStatus.RUNNING, RunStatus.DEFERRED)
            return (RunStatus(str(other)) if known else RunStatus.OK), None


def _reason(word: object) -> SkipReason | None:
    try:
        return SkipReason(str(word)) if word else None
    except ValueError:  # a newer gateway's reason: `because` tells it
        return None


def _error(record: Mapping[str, Any], status: RunStatus) -> Mapping[str, Any] | None:
    if record.get("error"):
        return dict(record["error"])
    if status is RunStatus.FAILED and record.get("reason"):
        return {"message": str(record["reason"])}
    return None


def _delivery(record: Mapping[str, Any], run: Run) -> Delivery | None:
    told = record.get("delivery")
    if not isinstance(told, Mapping):
        return None
    target = run.target
    route = Route(
        channel=str(target.get("channel") or ""),
        account_id=str(target.get("accountId") or ""),
        to=str(target.get("to") or ""),
    )
    ended = run.ended_at or at(0)
    return Delivery(
        key=str(told.get("key") or ""),
        route=route,
        text="",
        kind="heartbeat",
        created_at=ended,
        expires_at=ended,
        state=State(str(told.get("state"))),
        reason=told.get("reason"),
        next_attempt_at=instant(told.get("nextAttemptMs")),
        message_ids=(str(record["messageId"]),) if record.get("messageId") else (),
    )
