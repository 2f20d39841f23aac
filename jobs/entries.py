"""One run of the log as the wire shows it, and what a job's state says of its last (cron.md §11.4).

Execution and delivery are two facts: the run's row tells of the first, its message in the
outbox of the second. What is derived here is stored nowhere, so it cannot grow old.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from jobs.ledger import SCHEDULED_FOR, Outcome, Run, RunStatus, SkipReason
from jobs.model import JobState
from jobs.wallclock import ms

STATUSES: Final[Mapping[str, tuple[RunStatus, ...]]] = {
    "ok": (RunStatus.OK,),
    "error": (RunStatus.FAILED,),
    "skipped": (RunStatus.SKIPPED, RunStatus.MISSED),
    "running": (RunStatus.CLAIMED, RunStatus.RUNNING, RunStatus.DEFERRED),
}
DELIVERIES: Final = ("delivered", "not-delivered", "unknown", "not-requested", "suppressed")
_WORDS: Final = {status: word for word, group in STATUSES.items() for status in group}
_DELIVERED: Final = {
    "delivered": "delivered",
    "failed": "not-delivered",
    "expired": "not-delivered",
    "cancelled": "not-delivered",
}
_SOURCES: Final[Mapping[SkipReason | None, str]] = {
    SkipReason.PREFLIGHT_UNREACHABLE: "model-preflight",
    SkipReason.AGENT_TOOL_FAILURE: "tool",
}
_MS: Final = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """Where a run's message stands, and what a person can do about it."""

    state: str
    error: str | None = None
    reason: str | None = None  # class of the fault
    fix: str | None = None


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


def run_entry(
    run: Run,
    *,
    sent: Sent | None = None,
    alarm: Sent | None = None,
    session_id: str | None = None,
) -> dict[str, Any]:
    """Return one row of the run log; ``alarm`` is the message that told of its failure."""
    status = delivery_status(run, sent.state if sent else None)
    failed = run.status is RunStatus.FAILED  # errorReason says why
    entry: dict[str, Any] = {
        "ts": ms(run.ended_at or run.started_at or run.claimed_at or run.requested_at),
        "jobId": run.job_id,
        "jobName": run.job_name,
        "runId": run.id,
        "action": "finished" if run.status.final else "started",
        "status": run_status(run),
        "completionStatus": completion(run, status),
        "error": (run.error or {}).get("message"),
        "errorReason": (run.error or {}).get("class"),
        "summary": run.reply.get("preview") or run.because or None,
        "diagnostics": diagnostics(run, sent) or None,
        "delivered": _arrived(status),
        "deliveryStatus": status,
        "deliveryState": sent.state if sent and status == "unknown" else None,
        "deliveryError": sent.error if sent else None,
        "deliveryReason": sent.reason or None if sent else None,
        "deliveryFix": sent.fix or None if sent else None,
        "delivery": _delivery(run, status),
        "failureNotificationDelivery": _notification(alarm) or None,
        "agentId": run.agent_id,
        "sessionId": session_id,
        "sessionKey": run.session_key,
        "runAtMs": ms(run.started_at or run.claimed_at),
        "durationMs": _took(run.started_at, run.ended_at),
        "nextRunAtMs": ms(run.next_due_at),
        "model": run.model,
        "provider": run.provider,
        "usage": usage_words(run),
        "scheduledForMs": _meant(run),
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
        "held": run.facts.get("held"),  # the gateway was suspended when it came due
        "eventId": run.reply.get("eventId"),  # its words are those of the beat that takes it up
        "latenessMs": _took(run.slot, run.started_at),
        "costUsd": None if run.usage is None else run.usage.cost_usd,
    }
    return {key: value for key, value in entry.items() if value is not None}


def last_run(run: Run, sent: Sent | None) -> dict[str, Any]:
    """Return what a job's state says of its last run beside what is stored (cron.md §1.2)."""
    status = delivery_status(run, sent.state if sent else None)
    told = diagnostics(run, sent)
    silent = "silent" if run.reason is None else run.reason.value
    facts = {
        "lastScheduledForMs": _meant(run),
        "lastDelivered": _arrived(status),
        "lastDeliveryStatus": status,
        "lastDeliveryError": sent.error if sent and status == "not-delivered" else None,
        "deliverySuppressionReason": silent if status == "suppressed" else None,
        "lastDiagnostics": told or None,
        "lastDiagnosticSummary": told[-1]["message"] if told else None,
    }
    return {key: value for key, value in facts.items() if value is not None}


def last_alarm(state: JobState, sent: Sent | None) -> dict[str, Any]:
    """Return whether anybody heard of the job's last trouble (cron.md §1.2, §10.4)."""
    alarm = state.alarm
    if "lastMs" not in alarm:
        return {}
    nobody = Sent(state="failed", error=str(alarm["because"])) if "because" in alarm else None
    told = _notification(sent or nobody)
    return {
        "lastFailureAlertAtMs": alarm["lastMs"],
        **{f"lastFailureNotification{key.capitalize()}": value for key, value in told.items()},
    }


def diagnostics(run: Run, sent: Sent | None = None) -> list[dict[str, Any]]:
    """Return what went wrong, part by part: ``{ts, source, severity, message, …}``."""
    at = ms(run.ended_at)
    found: list[dict[str, Any]] = []
    code = run.facts.get("exitCode")
    if run.status is RunStatus.FAILED:
        source = "exec" if code is not None else _SOURCES.get(run.reason, "agent-run")
        message = (run.error or {}).get("message") or run.because
        found.append({"ts": at, "source": source, "severity": "error", "message": message})
        if code is not None:
            found[0]["exitCode"] = code
    elif run.status is RunStatus.SKIPPED:
        source = _SOURCES.get(run.reason, "cron-preflight")
        found.append({"ts": at, "source": source, "severity": "warning", "message": run.because})
    if remark := run.reply.get("remark"):
        told = {"source": "model-preflight", "severity": "warning", "message": remark}
        found.append({"ts": at, **told})
    if sent and _DELIVERED.get(sent.state) == "not-delivered":
        message = sent.error or sent.state
        found.append({"ts": at, "source": "delivery", "severity": "error", "message": message})
    return found


def completion(run: Run, delivery: str) -> str | None:
    """Return whether all that was asked for came to pass: the work, and the words."""
    if not run.status.final:
        return None
    if run.status is not RunStatus.OK:
        return "failed" if run.status is RunStatus.FAILED else "skipped"
    if delivery in ("delivered", "not-requested", "suppressed") or run.target.get("bestEffort"):
        return "succeeded"
    return "failed" if delivery == "not-delivered" else "unknown"


def _arrived(status: str) -> bool | None:
    return {"delivered": True, "not-delivered": False}.get(status)


def _delivery(run: Run, status: str) -> dict[str, Any] | None:
    """Return where the words were meant to go, and where they went."""
    by_tool = run.reply.get("sentTo")
    if not run.target and not by_tool:
        return None
    resolved = {key: value for key, value in run.target.items() if key != "requested"}
    words = {
        "intended": run.target.get("requested"),
        "resolved": resolved or None,
        "messageToolSentTo": by_tool,
        "fallbackUsed": run.delivery_key is not None,
        "delivered": _arrived(status),
    }
    return {key: value for key, value in words.items() if value is not None}


def _notification(alarm: Sent | None) -> dict[str, Any]:
    if alarm is None:
        return {}
    status = _DELIVERED.get(alarm.state, "unknown")
    words = {"delivered": _arrived(status), "status": status, "error": alarm.error}
    return {key: value for key, value in words.items() if value is not None}


def _meant(run: Run) -> int | None:
    """Return the slot a run serves, or stands for."""
    stands_for = run.facts.get(SCHEDULED_FOR)
    return ms(run.slot) if stands_for is None else int(stands_for)


def usage_words(run: Run) -> dict[str, int] | None:
    """Return what a run used, in the words of the wire."""
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
