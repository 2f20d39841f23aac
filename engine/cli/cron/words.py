"""Jobs and runs from the wire, in words for people: rows, facts, schedules (cron.md §16). Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from engine.cli.cron import remarks as cron_remarks
from engine.cli.render import duration, one_line, relative, stamp
from jobs.addresses import address_shown
from jobs.duration import format_duration
from jobs.ledger import LEFT_OUT, SCHEDULER_OFF, SkipReason
from jobs.policies import KEYS

_UNTIL_RESUMED: Final = "until: engine cron resume {}"
_HUMP: Final = re.compile(r"[A-Z]")
_REASONS: Final = frozenset(SkipReason)
_MISSED: Final = (SkipReason.MISSED_DOWNTIME, SkipReason.MISSED_GRACE_EXCEEDED)
_ON_ITS_WAY: Final = ("queued", "sending")
JOB_HEAD: Final = (
    "ID",
    "NAME",
    "SCHEDULE",
    "NEXT",
    "LAST",
    "STATUS",
    "TARGET",
    "DELIVERY",
    "AGENT",
)
JOB_SPARE: Final = ("AGENT", "TARGET", "DELIVERY", "LAST")  # the first to go where room is short
RUN_HEAD: Final = ("WHEN", "JOB", "STATUS", "TOOK", "DELIVERY", "SUMMARY")


def job_row(job: Mapping[str, Any], previews: Mapping[str, Any], now: datetime) -> list[str]:
    """One job as a row of `JOB_HEAD`."""
    state = job.get("state") or {}
    preview = previews.get(str(job["id"])) or {}
    return [
        str(job["id"]),
        str(job.get("displayName") or job.get("name") or "-"),
        _spread_words(job),
        relative(state.get("nextRunAtMs") if _goes_on(job) else None, now),
        relative(state.get("lastRunAtMs"), now),
        status_word(job),
        str(job.get("sessionTarget") or "-"),
        str(preview.get("label") or (job.get("delivery") or {}).get("mode") or "-"),
        str(job.get("agentId") or job.get("effectiveAgentId") or "-"),
    ]


def schedule_words(schedule: Mapping[str, Any]) -> str:
    """`every 30m`, `cron 0 7 * * * @ Asia/Shanghai (stagger 5m)` (cron.md §16)."""
    match schedule.get("kind"):
        case "at":
            at = str(schedule.get("at"))
            return f"at {at[:16].replace('T', ' ')}Z" if at.endswith("Z") else f"at {at}"
        case "every":
            return f"every {_span(schedule.get('everyMs'))}"
        case "cron":
            where = f" @ {schedule['tz']}" if schedule.get("tz") else ""
            spread = schedule.get("staggerMs")
            stagger = f" (stagger {_span(spread)})" if spread else ""
            return f"cron {schedule.get('expr')}{where}{stagger}"
        case "dayparts":  # of beats and their tasks
            grids = [schedule.get("base"), *(one["schedule"] for one in schedule["parts"])]
            return ", ".join(dict.fromkeys(schedule_words(one) for one in grids if one))
        case other:
            return str(other or "-")


def _span(ms: Any) -> str:
    """A span as it may be written in a schedule, exactly."""
    return format_duration(timedelta(milliseconds=ms)) if isinstance(ms, int) else duration(ms)


def status_facts(told: Mapping[str, Any], where: ZoneInfo, now: datetime) -> dict[str, object]:
    """The scheduler, fact by fact; what is not known is left out."""
    rows: dict[str, object] = {
        "scheduler": "on" if told.get("enabled", True) else "off (cron.enabled)",
        "jobs": told.get("jobs"),
        "running": told.get("running"),
        "queued": told.get("queued"),
        "next job": _when(told.get("nextRunAtMs"), where, now),
        "last 24 h": f"{told.get('missed24h', 0)} missed, {told.get('errors24h', 0)} failed",
        "zone": told.get("tz"),
        "store": told.get("storePath"),
        "config": "; ".join(str(one) for one in told.get("configErrors") or ()),
        "set aside": ", ".join(str(one["jobId"]) for one in told.get("quarantined") or ()),
    }
    return {key: value for key, value in rows.items() if value not in (None, "")}


def _spread_words(job: Mapping[str, Any]) -> str:
    """The schedule, and how late the job's own place in its stagger window makes it."""
    late = cron_remarks.spread(job)
    return schedule_words(job.get("schedule") or {}) + (f" +{late}" if late else "")


def status_word(job: Mapping[str, Any]) -> str:
    """`disabled|paused (by …)|running|ok|error (3x)|skipped|idle`."""
    state = job.get("state") or {}
    if not job.get("enabled", True):
        return "disabled"
    if paused := state.get("paused"):
        return f"paused (by {paused.get('by', '?')})"
    if state.get("runningAtMs"):
        return "running"
    word = str(state.get("lastRunStatus") or state.get("lastStatus") or "idle")
    errors = int(state.get("consecutiveErrors") or 0)
    return f"error ({errors}x)" if word == "error" and errors > 1 else word


def job_facts(job: Mapping[str, Any], where: ZoneInfo, now: datetime) -> dict[str, object]:
    """One job, fact by fact; what is not known is left out."""
    state, payload = job.get("state") or {}, job.get("payload") or {}
    rows: dict[str, object] = {
        "id": job["id"],
        "name": job.get("name"),
        "description": job.get("description"),
        "status": status_word(job),
        "schedule": _spread_words(job),
        "paused": paused_words(job, where),
        "next": _when(state.get("nextRunAtMs"), where, now) if _goes_on(job) else None,
        "left out": ", ".join(stamp(int(slot), where) for slot in state.get("skips") or ()),
        "last": _when(state.get("lastRunAtMs"), where, now),
        "last error": state.get("lastError"),
        "last skip": state.get("lastSkipReason"),
        "payload": _payload_words(payload),
        "model": payload.get("model"),
        "session": job.get("sessionTarget"),
        "delivery": _delivery_words(job),
        "agent": job.get("agentId") or f"{job.get('effectiveAgentId', 'main')} (the default)",
        "source": job.get("source"),
        "orphaned": _orphaned(state.get("orphanedAtMs"), where),
        **{_spaced(key): _told(key, job[key], where) for key in sorted(KEYS) if key in job},
        "runs": f"{state.get('runCount', 0)} ({state.get('okCount', 0)} ok,"
        f" {state.get('errorCount', 0)} failed, {state.get('skipCount', 0)} skipped,"
        f" {state.get('missedCount', 0)} missed)",
    }
    return {key: value for key, value in rows.items() if value not in (None, "")}


def _goes_on(job: Mapping[str, Any]) -> bool:
    return bool(job.get("enabled", True)) and not (job.get("state") or {}).get("paused")


def paused_words(job: Mapping[str, Any], where: ZoneInfo) -> str | None:
    """By whom a job is held, until when and why (cron.md §22 row 5); None if it is not."""
    overlay = (job.get("state") or {}).get("paused")
    if not overlay:
        return None
    until = overlay.get("untilMs")
    end = (
        f"until {stamp(until, where)} {where.key}"
        if until
        else _UNTIL_RESUMED.format(job.get("id"))
    )
    note = f" ({overlay['note']})" if overlay.get("note") else ""
    return f"since {stamp(overlay.get('atMs'), where)} by {overlay.get('by')}, {end}{note}"


def _spaced(key: str) -> str:
    """`maxRunsPerDay` as `max runs per day`; `Ms` goes with its value, which is told in units."""
    return _HUMP.sub(lambda found: f" {found[0].lower()}", key.removesuffix("Ms"))


def _told(key: str, value: Any, where: ZoneInfo) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{_spaced(one)} {_told(one, part, where)}" for one, part in value.items())
    if key == "until" and isinstance(value, int):
        return f"{stamp(value, where)} {where.key}"
    if key.endswith("Ms") and isinstance(value, int):
        return format_duration(timedelta(milliseconds=value))
    if isinstance(value, list | tuple):
        return " ".join(str(part) for part in value)
    return str(value)


def _when(at_ms: int | None, where: ZoneInfo, now: datetime) -> str | None:
    if at_ms is None:
        return None
    return f"{stamp(at_ms, where)} {where.key} ({relative(at_ms, now)})"


def _orphaned(at_ms: int | None, where: ZoneInfo) -> str | None:
    return None if at_ms is None else f"taken out of the config {stamp(at_ms, where)}"


def _payload_words(payload: Mapping[str, Any]) -> str:
    words = payload.get("message") or payload.get("text") or " ".join(payload.get("argv") or ())
    return f"{payload.get('kind')}: {one_line(words, 80)}" if words else str(payload.get("kind"))


def _delivery_words(job: Mapping[str, Any]) -> str:
    """`announce -> telegram:42 (resolved from last)` where the gateway looked, else the wish."""
    delivery = job.get("delivery") or {}
    mode = delivery.get("mode", "none")
    if mode == "announce" and (shown := job.get("deliveryPreview")):
        return f"{shown['label']} ({shown['detail']})"
    if mode == "none":
        return "none"
    where = ":".join(
        str(part) for part in (delivery.get("channel") or "last", delivery.get("to")) if part
    )
    place = address_shown(str(delivery.get("to") or "")) if mode == "webhook" else where
    return f"{mode} -> {place}"


def _arrival(entry: Mapping[str, Any]) -> str:
    """What became of a run's words; an event has none of its own, the beat it woke speaks."""
    word = str(entry.get("deliveryStatus") or "-")
    if entry.get("deliveryState") in _ON_ITS_WAY:
        return "retried" if entry.get("deliveryError") else "on its way"
    if word != "not-requested":
        return word
    return "by its beat" if entry.get("eventId") else "-"


def run_row(entry: Mapping[str, Any], where: ZoneInfo, now: datetime) -> list[str]:
    """One run as a row of `RUN_HEAD`."""
    status = _status(entry)
    if reason := _reason(entry):
        status = f"{status} ({reason})"
    return [
        stamp(_when_it_was(entry), where, now),
        str(entry.get("jobName") or entry.get("jobId") or "-"),
        status,
        duration(entry.get("durationMs")),
        _arrival(entry),
        one_line(entry.get("error") or _unheard(entry) or entry.get("summary") or "-"),
    ]


def _when_it_was(entry: Mapping[str, Any]) -> Any:
    """When it ran; of a slot that did not run, the slot: its row may have come much later."""
    slot = entry.get("scheduledForMs")
    if entry.get("status") == "skipped" and slot is not None:
        return slot
    return entry.get("runAtMs") or entry.get("ts")


def _reason(entry: Mapping[str, Any]) -> Any:
    if LEFT_OUT in str(entry.get("because")):
        return "left out by hand"
    return entry.get("skipReason") or entry.get("errorReason")


def _status(entry: Mapping[str, Any]) -> str:
    """The word of a run; the wire has fewer: none for what waits, and none for a missed slot."""
    reason = entry.get("skipReason")
    if reason in _MISSED:
        return "missed"
    if entry.get("status") == "running" and reason is not None:
        return "waiting"
    return str(entry.get("status") or entry.get("action"))


def _unheard(entry: Mapping[str, Any]) -> str:
    """Why nobody heard of a run, and what a person can do about it."""
    kind = entry.get("deliveryReason")
    if kind and entry.get("deliveryStatus") == "not-delivered":
        said = entry.get("deliveryError")
        why = f"{kind}: {said}" if said and said != kind else str(kind)
        fix = str(entry.get("deliveryFix") or "nothing")
        return why if fix.startswith("nothing") else f"{why}. Fix: {fix}"
    reason = entry.get("skipReason")
    if reason not in _REASONS:
        return ""
    why = str(entry.get("because") or SkipReason(reason).sentence).rstrip(".")
    agent, job = entry.get("agentId"), entry.get("jobId")
    fix = SkipReason(reason).fix_for("cron", agent=agent, job=job)
    if why == SCHEDULER_OFF:
        fix = "engine config set cron.enabled true"
    waits = entry.get("status") == "running" or LEFT_OUT in why
    return why if waits or fix.startswith("nothing") else f"{why}. Fix: {fix}"
