"""Jobs of nanobot: `cron/jobs.json`, and what its `action.jsonl` still has to add (cron.md §22-11).

Its file is camelCase, its actions are snake_case. A job answers in the chat it was made in.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from jobs.importing import documents, past
from jobs.importing.report import (
    Entry,
    Notes,
    Report,
    Weight,
    digest,
    job_id,
    key_of,
    shortened,
    unique,
)
from jobs.wallclock import EPOCH
from jobs.written import JUST_NOW

KIND: Final = "nanobot"
_HUMP: Final = re.compile(r"_([a-z])")
_JOB: Final = (
    *("id", "name", "enabled", "schedule", "payload", "state"),
    *("createdAtMs", "updatedAtMs", "deleteAfterRun"),
)
_PAYLOAD: Final = (
    *("kind", "message", "deliver", "channel", "to", "sessionKey"),
    *("originChannel", "originChatId"),
)
_SILENT: Final = frozenset({"channelMeta", "originMetadata"})  # of its chat clients
_MS: Final = timedelta(milliseconds=1)


def read(
    store: Any,
    *,
    now: datetime,
    zone: str,
    channels: Mapping[str, str],
    actions: str = "",
    what: str = "jobs.json",
) -> Report:
    """Return the jobs of a `jobs.json`; ``actions`` is the text of the `action.jsonl` beside it.

    ``zone`` is the host's, in which its expressions without one are meant; ``channels`` spell
    its channels as ours. Raises `UnreadableSource` for what is no such file.
    """
    notes = Notes()
    rows = documents.listed_jobs(store, what)
    entries = []
    for where, row in _merged(rows, actions, notes):
        if not isinstance(row, Mapping):
            notes.add(Weight.LEFT_OUT, where, "it is no object", "", documents.quoted(row))
            continue
        entry = _entry(where, _camel(row), now, zone, channels, notes)
        if entry is not None:
            entries.append(entry)
    return Report(kind=KIND, entries=unique(entries, notes), remarks=notes.all)


def _merged(rows: list[Any], actions: str, notes: Notes) -> list[tuple[str, Any]]:
    """Return the rows as they stand once the waiting actions are done."""
    merged: dict[str, tuple[str, Any]] = {}
    for number, row in enumerate(rows):
        ident = row.get("id") if isinstance(row, Mapping) else None
        key = str(ident) if ident else f"#{number}"
        if key in merged:
            notes.add(Weight.LEFT_OUT, merged[key][0], f"jobs[{number}] has the same id")
        merged[key] = (f"jobs[{number}]", row)
    for number, action in documents.lines(actions, "action.jsonl", notes):
        params = action.get("params")
        if "action" not in action or not isinstance(params, Mapping):
            continue
        if action["action"] == "del":
            merged.pop(str(params.get("job_id")), None)
        elif params.get("id"):
            merged[str(params["id"])] = (f"action.jsonl line {number}", params)
    return list(merged.values())


def _camel(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the object with its own keys in one spelling; inner ones as well."""
    made: dict[str, Any] = {}
    for key, value in values.items():
        name = _HUMP.sub(lambda found: found[1].upper(), str(key))
        inner = _camel(value) if isinstance(value, Mapping) else value
        if isinstance(inner, list):
            inner = [_camel(one) if isinstance(one, Mapping) else one for one in inner]
        made[name] = inner
    return made


def _entry(
    where: str,
    row: Mapping[str, Any],
    now: datetime,
    zone: str,
    channels: Mapping[str, str],
    notes: Notes,
) -> Entry | None:
    payload = row.get("payload")
    payload = dict(payload) if isinstance(payload, Mapping) else {}
    ident = str(row.get("id") or f"job-{digest(documents.quoted(row))}").strip()
    where = f"{where} ({shortened(str(row.get('name') or ident), 40)})"
    if payload.get("kind", "agent_turn") != "agent_turn":
        why = "it is one of nanobot's own jobs (system_event)"
        notes.add(Weight.LEFT_OUT, where, why, "heartbeats here are in the config")
        return None
    schedule = _schedule(row.get("schedule"), row, zone, where, notes)
    if schedule is None:
        return None
    documents.dropped(row, _JOB, "", where, notes)
    documents.dropped(payload, (*_PAYLOAD, *_SILENT), "payload.", where, notes)
    made = job_id(KIND, ident)
    job: dict[str, Any] = {
        "id": ident if made == f"{KIND}-{ident}" else made,
        "enabled": row.get("enabled") is not False,
        "schedule": schedule,
        "payload": {"kind": "agentTurn", "message": payload.get("message")},
        **_place(payload, channels, where, notes),
    }
    for key in ("name", "createdAtMs", "updatedAtMs"):
        if row.get(key):
            job[key] = row[key]
    if schedule["kind"] == "at":
        job["deleteAfterRun"] = row.get("deleteAfterRun") is True
    if job["delivery"]["mode"] == "none":
        job["enabled"] = False  # a job that can tell nobody would only cost
    state = row.get("state")
    state = dict(state) if isinstance(state, Mapping) else {}
    history = state.pop("runHistory", None)
    _settle(job, state, where, now, notes)
    runs = _runs(history, ident, where, notes)
    kept = {k: v for k, v in state.items() if k in past.STATE_KEYS and v is not None}
    return Entry(key=key_of(KIND, ident), where=where, job=job, state=kept, runs=tuple(runs))


def _schedule(
    given: Any, row: Mapping[str, Any], zone: str, where: str, notes: Notes
) -> dict[str, Any] | None:
    schedule = dict(given) if isinstance(given, Mapping) else {}
    match schedule.get("kind"):
        case "at" if schedule.get("atMs"):
            return {"kind": "at", "at": str(schedule["atMs"])}
        case "every" if schedule.get("everyMs"):
            made = {"kind": "every", "everyMs": schedule["everyMs"]}
            created = past.instant(row.get("createdAtMs"))
            # Its next run is one period after the last: the grid goes on from there.
            state = row.get("state")
            last = past.instant(state.get("lastRunAtMs")) if isinstance(state, Mapping) else None
            anchor = last or created
            if anchor is not None:
                made["anchorMs"] = (anchor - EPOCH) // _MS
            return made
        case "cron" if schedule.get("expr"):
            return {
                "kind": "cron",
                "expr": schedule["expr"],
                "tz": schedule.get("tz") or zone,
                "staggerMs": 0,
            }
        case _:
            why = "it has no schedule that could ever fire"
            notes.add(Weight.LEFT_OUT, where, why, "", documents.quoted(given))
            return None


def _place(
    payload: Mapping[str, Any], channels: Mapping[str, str], where: str, notes: Notes
) -> dict[str, Any]:
    """Return where it speaks: the chat it was made in, or what older releases named."""
    named = payload.get("originChannel") or payload.get("channel")
    to = payload.get("originChatId") or payload.get("to")
    if not named or not to:
        why = "it is bound to no chat: what it says goes to the last route"
        notes.add(Weight.CHANGED, where, why, "engine cron edit, with the job's id and --channel")
        return {"delivery": {"mode": "announce", "channel": "last"}}
    channel = channels.get(str(named).strip().lower())
    if channel is None:
        why = f"{shortened(str(named), 40)!r} is no channel here: switched off"
        told = documents.quoted({"channel": named, "to": to})
        notes.add(Weight.HELD, where, why, "give it another channel and enable it", told)
        return {"delivery": {"mode": "none"}}
    return {"delivery": {"mode": "announce", "channel": channel, "to": str(to)}}


def _settle(
    job: dict[str, Any], state: Mapping[str, Any], where: str, now: datetime, notes: Notes
) -> None:
    """Switch off a one-shot whose instant has passed (cron.md §5)."""
    schedule = job["schedule"]
    if schedule["kind"] != "at" or not job["enabled"]:
        return
    digits = schedule["at"]
    at = past.instant(int(digits)) if digits.isdecimal() and len(digits) < 16 else None
    if at is None or now - at <= JUST_NOW:
        return
    job["enabled"] = False
    if state.get("lastStatus"):
        notes.add(Weight.NOTE, where, "it has had its run: brought over switched off")
    else:
        fix = "engine cron run, with the job's id, runs it now"
        notes.add(Weight.HELD, where, "its instant has passed without a run", fix)


def _runs(history: Any, ident: str, where: str, notes: Notes) -> list[Mapping[str, Any]]:
    if history is None:
        return []
    rows = history if isinstance(history, list) else []
    found = [row for row in rows if isinstance(row, Mapping) and past.instant(row.get("runAtMs"))]
    if not isinstance(history, list) or len(found) < len(rows):
        wrong = documents.quoted([row for row in rows if row not in found] or history)
        notes.add(Weight.LEFT_OUT, where, "some of its runs cannot be read", "", wrong)
    return [{"jobId": ident, "action": "finished", **row} for row in found]
