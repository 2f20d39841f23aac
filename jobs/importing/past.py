"""What a job did before it came here: as columns of its state, and as rows of the ledger.

Wire shapes of cron.md §1.2 and §11.4 in, values of the store out. What has the wrong type says
nothing; nothing here refuses. A row has no slot, so it can take none from the scheduler.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from jobs.ledger import Run, RunStatus, SkipReason, Trigger, Usage
from jobs.wallclock import EPOCH, ms

LONGEST: Final = 16_000  # characters of a summary or an error
_MS: Final = timedelta(milliseconds=1)
_LATEST: Final = 253_370_764_800_000  # year 9999
_STATUSES: Final = {
    "ok": RunStatus.OK,
    "error": RunStatus.FAILED,
    "skipped": RunStatus.SKIPPED,
}
_COUNTERS: Final = {
    "consecutiveErrors": "consecutive_errors",
    "consecutiveSkipped": "consecutive_skipped",
    "scheduleErrorCount": "schedule_errors",
    "runCount": "run_count",
    "okCount": "ok_count",
    "errorCount": "error_count",
    "skipCount": "skip_count",
    "missedCount": "missed_count",
}
STATE_KEYS: Final = frozenset(
    {
        *_COUNTERS,
        *("lastRunAtMs", "lastRunStatus", "lastStatus", "lastError", "lastErrorReason"),
        *("lastDurationMs", "lastSkipReason", "autoDisabled", "paused"),
    }
)
_MAPPED: Final = frozenset(
    {
        *("ts", "jobId", "jobName", "action", "status", "runAtMs", "durationMs", "summary"),
        *("error", "errorReason", "model", "provider", "usage", "sessionKey", "agentId"),
        *("trigger", "attempt", "skipReason", "because", "tz", "nextRunAtMs"),
    }
)
_BLANK_EVENT: Final = "main job requires non-empty systemEvent text"


def instant(value: Any) -> datetime | None:
    """Return the instant of milliseconds that came from outside."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return EPOCH + int(value) * _MS if 0 < value < _LATEST else None


def count(value: Any) -> int | None:
    """Return a number of something that came from outside."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 10**15:
        return None
    return int(value)


def text(value: Any) -> str | None:
    """Return words that came from outside; half characters are none."""
    if not isinstance(value, str) or not value.strip():
        return None
    return value.encode("utf-8", "replace").decode()[:LONGEST]


def tallied(state: Mapping[str, Any], runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the state with its runs counted, if nobody counted them."""
    if "runCount" in state or not runs:
        return dict(state)
    ended = [run.get("status") for run in runs]
    counts = {
        "runCount": sum(status in _STATUSES for status in ended),
        "okCount": ended.count("ok"),
        "errorCount": ended.count("error"),
        "skipCount": ended.count("skipped"),
    }
    return {**counts, **state}


def columns(state: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """Return the state columns a new job begins with; its next slot is computed, never taken."""
    made: dict[str, Any] = {}
    if (last := instant(state.get("lastRunAtMs"))) is not None and last <= now:
        made["last_run_at"] = last
    status = state.get("lastRunStatus", state.get("lastStatus"))
    if isinstance(status, str) and status in _STATUSES:
        made["last_status"] = status
    if (error := text(state.get("lastError"))) is not None:
        made["last_error"] = error
    if (took := count(state.get("lastDurationMs"))) is not None:
        made["last_duration_ms"] = took
    reason = _reason(state.get("lastSkipReason") or state.get("lastErrorReason"))
    if reason is not None:
        made["last_reason"] = reason.value
    off = state.get("autoDisabled")
    if isinstance(off, Mapping) and (why := text(off.get("reason"))) is not None:
        made["auto_disabled"] = why
    if isinstance(state.get("paused"), Mapping) and state["paused"]:
        made["paused"] = _overlay(state["paused"])
    told = {name: count(state.get(key)) for key, name in _COUNTERS.items()}
    return made | {name: value for name, value in told.items() if value}


def _overlay(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return a pause as it is stored (§22 row 5); an end that is no instant is none."""
    words = {key: text(given.get(key)) for key in ("by", "note")}
    instants = {key: ms(instant(given.get(key))) for key in ("atMs", "untilMs")}
    told = {key: value for key, value in {**words, **instants}.items() if value is not None}
    return {"by": "the import", **told}


def is_ahead(entry: Mapping[str, Any], now: datetime) -> bool:
    """Whether an entry of a run log tells of a time to come: no run did, by our clock."""
    told = (instant(entry.get("runAtMs")), instant(entry.get("ts")))
    return any(at is not None and at > now for at in told)


def run_of(
    entry: Mapping[str, Any],
    *,
    job_id: str,
    job_name: str,
    agent_id: str | None,
    source: str,
    now: datetime,
) -> Run | None:
    """Return one entry of a run log as a row of the ledger; None if it does not say how it ended.

    Nothing `is_ahead` becomes a row, and no run lasts beyond ``now``. The same entry gives the
    same row whenever it is read: its id is made of what it says.
    """
    status = _STATUSES.get(str(entry.get("status")))
    began = instant(entry.get("runAtMs"))
    ended = instant(entry.get("ts")) or began
    if status is None or ended is None or is_ahead(entry, now):
        return None
    took = count(entry.get("durationMs"))
    began = began or (ended - took * _MS if took is not None and took < 10**12 else ended)
    ended = min(now, max(began, ended if took is None else began + min(took, 10**12) * _MS))
    error = text(entry.get("error"))
    failed = status is RunStatus.FAILED
    because = text(entry.get("because")) or (error if status is RunStatus.SKIPPED else None)
    summary = text(entry.get("summary"))
    return Run(
        id=_id(entry, job_id, ended),
        job_id=job_id,
        kind="cron",
        agent_id=text(entry.get("agentId")) or agent_id,
        trigger=_trigger(entry),
        status=status,
        reason=None if status is RunStatus.OK else _skipped(entry, error, status),
        because=because or "",
        tz=text(entry.get("tz")),
        job_name=job_name,
        session_key=text(entry.get("sessionKey")),
        claimed_at=began,
        started_at=began,
        ended_at=ended,
        attempt=count(entry.get("attempt")) or 1,
        wake={"source": "import", "by": source},
        facts={"imported": _others(entry, source)},
        reply={} if summary is None else {"preview": summary},
        usage=_usage(entry.get("usage")),
        model=text(entry.get("model")),
        provider=text(entry.get("provider")),
        error={"class": text(entry.get("errorReason")) or "error", "message": error or ""}
        if failed
        else None,
        next_due_at=instant(entry.get("nextRunAtMs")),
    )


def _id(entry: Mapping[str, Any], job_id: str, ended: datetime) -> str:
    """Return an id like `jobs.ids` makes them: it sorts by time."""
    said = json.dumps([job_id, entry], sort_keys=True, default=str)
    digest = hashlib.sha256(said.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{(ended - EPOCH) // _MS:012x}{digest[:12]}"


def _trigger(entry: Mapping[str, Any]) -> Trigger:
    word = str(entry.get("trigger") or "")
    if word in tuple(Trigger):
        return Trigger(word)
    manual = str(entry.get("runId") or "").startswith("manual")
    return Trigger.MANUAL if manual else Trigger.SCHEDULE


def _skipped(entry: Mapping[str, Any], error: str | None, status: RunStatus) -> SkipReason | None:
    reason = _reason(entry.get("skipReason") or entry.get("errorReason"))
    if reason is not None or status is RunStatus.FAILED:
        return reason
    if error == _BLANK_EVENT:
        return SkipReason.EMPTY_EVENT
    return _reason(error)


def _reason(word: Any) -> SkipReason | None:
    return SkipReason(word) if isinstance(word, str) and word in tuple(SkipReason) else None


def _usage(value: Any) -> Usage | None:
    if not isinstance(value, Mapping):
        return None
    found = {
        name: count(value.get(key))
        for key, name in (
            ("input_tokens", "input_tokens"),
            ("output_tokens", "output_tokens"),
            ("cache_read_tokens", "cache_read_tokens"),
            ("cache_write_tokens", "cache_write_tokens"),
        )
    }
    given = {name: tokens for name, tokens in found.items() if tokens is not None}
    return Usage(**given) if given else None


def _others(entry: Mapping[str, Any], source: str) -> dict[str, Any]:
    """Return what has no column of its own, so that nothing is lost."""
    rest = {key: value for key, value in entry.items() if key not in _MAPPED and value is not None}
    if len(json.dumps(rest, default=str)) > LONGEST:
        rest = {key: value for key, value in rest.items() if not isinstance(value, Mapping | list)}
    return {"from": source, **_whole(rest)}


def _whole(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values without half characters, which JSON can spell and no store keeps."""
    told = json.dumps(values, ensure_ascii=False, default=str)
    made: dict[str, Any] = json.loads(told.encode("utf-8", "replace"))
    return made
