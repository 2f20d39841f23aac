"""Jobs of OpenClaw, of every generation of its store (cron.md §22-11, §19 "normalise").

Its files: `cron/jobs.json` with state inside or in `jobs-state.json`, logs in `cron/runs/`.
Its database: rows of `cron_jobs` whose `job_json` and `state_json` say the same, and of
`cron_run_logs` or `task_runs`. Ids and history are kept; what is due next is computed anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from jobs.errors import InvalidSchedule, UnreadableSource
from jobs.importing import documents, past
from jobs.importing.openclaw_job import job_of
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
from jobs.normal import first_line
from jobs.written import JUST_NOW, parse_at

KIND: Final = "openclaw"
_ID: Final = ("id", "jobId")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What the reader must know of this place and time."""

    now: datetime
    channels: Mapping[str, str] = field(default_factory=dict)  # how it is spelt: ours; empty: any


def read(
    store: Any,
    how: Reading,
    *,
    states: Any = None,
    logs: Mapping[str, str] | None = None,
    what: str = "jobs.json",
) -> Report:
    """Return the jobs of a `jobs.json`; ``states`` is its `jobs-state.json`, ``logs`` file to text.

    Raises `UnreadableSource` for what is no such file. A row that is none is a remark.
    """
    notes = Notes()
    rows = documents.listed_jobs(store, what)
    beside = states.get("jobs") if isinstance(states, Mapping) else None
    if states is not None and not isinstance(beside, Mapping):
        notes.add(
            Weight.CHANGED, "jobs-state.json", "it has no object of jobs: states are not kept"
        )
    runs = _logged(logs or {}, notes)
    entries = []
    for number, row in enumerate(rows):
        where = f"jobs[{number}]"
        if not isinstance(row, Mapping):
            notes.add(Weight.LEFT_OUT, where, "it is no object", "", documents.quoted(row))
            continue
        ident = _ident(row)
        state = _state(beside.get(ident), row) if isinstance(beside, Mapping) else row.get("state")
        entries.append(_entry(where, row, state, runs.pop(ident, ()), how, notes))
    return _report(entries, runs, notes)


def from_rows(
    rows: Iterable[Mapping[str, Any]],
    how: Reading,
    *,
    logged: Iterable[Mapping[str, Any]] = (),
    finished: Iterable[Mapping[str, Any]] = (),
) -> Report:
    """Return the jobs of its database, from rows of `cron_jobs`, `cron_run_logs`, `task_runs`."""
    notes = Notes()
    runs = _runs_of_rows(logged, finished, notes)
    entries = []
    for number, row in enumerate(rows):
        where = f"cron_jobs {shortened(str(row.get('job_id') or number), 60)}"
        job = _object(row.get("job_json"))
        if job is None:
            text = str(row.get("job_json"))
            notes.add(Weight.LEFT_OUT, where, "its job_json is no object", "", text)
            continue
        job = {**job, "id": row.get("job_id") or job.get("id")}
        if row.get("enabled") is not None:
            job["enabled"] = bool(row["enabled"])
        if row.get("agent_id"):
            job["agentId"] = row["agent_id"]
        state = _object(row.get("state_json")) or job.get("state")
        entries.append(_entry(where, job, state, runs.pop(_ident(job), ()), how, notes))
    return _report(entries, runs, notes)


def _report(
    entries: Sequence[Entry | None],
    left: Mapping[str, Sequence[Mapping[str, Any]]],
    notes: Notes,
) -> Report:
    orphans = sum(len(runs) for runs in left.values())
    if orphans:
        why = f"{orphans} runs of {len(left)} jobs that are gone are not taken over"
        notes.add(Weight.NOTE, "run log", why)
    found = [entry for entry in entries if entry is not None]
    return Report(kind=KIND, entries=unique(found, notes), remarks=notes.all)


def _ident(row: Mapping[str, Any]) -> str:
    for key in _ID:
        value = row.get(key)
        if isinstance(value, str | int) and not isinstance(value, bool) and str(value).strip():
            return str(value).strip()
    return f"cron-{digest(documents.quoted(row))}"


def _state(beside: Any, row: Mapping[str, Any]) -> Any:
    """Return the state of the file beside; what stands in the row itself is older."""
    if isinstance(beside, Mapping) and isinstance(beside.get("state"), Mapping):
        return beside["state"]
    return row.get("state")


def _entry(
    where: str,
    row: Mapping[str, Any],
    state: Any,
    runs: Sequence[Mapping[str, Any]],
    how: Reading,
    notes: Notes,
) -> Entry | None:
    ident = _ident(row)
    name = row.get("name")
    if isinstance(name, str) and name.strip():
        where = f"{where} ({shortened(first_line(name), 40)})"
    job = job_of(row, where, how.channels, notes)
    if job is None:
        return None
    made = job_id("openclaw", ident)
    chosen = ident if made == f"openclaw-{ident}" else made
    if chosen != ident:
        notes.add(Weight.CHANGED, where, f"its id {shortened(ident, 60)!r} is none here: {chosen}")
    state = dict(state) if isinstance(state, Mapping) else {}
    if state.pop("runningAtMs", None) is not None:
        notes.add(Weight.NOTE, where, "it was running when the store was read")
    job = {"id": chosen, **_settled(job, state, where, how.now, notes)}
    return Entry(
        key=key_of(KIND, ident), where=where, job=job, state=_kept(state), runs=tuple(runs)
    )


def _settled(
    job: dict[str, Any], state: Mapping[str, Any], where: str, now: datetime, notes: Notes
) -> dict[str, Any]:
    """Switch off a one-shot whose instant has passed: it has had its run, or missed it."""
    schedule = job["schedule"]
    if schedule.get("kind") != "at" or not job.get("enabled", True):
        return job
    try:
        passed = now - parse_at(str(schedule.get("at")), now=now) > JUST_NOW
    except InvalidSchedule:
        return job  # refused at the desk, in its own words
    if not passed:
        return job
    if state.get("lastRunStatus", state.get("lastStatus")) in ("ok", "error", "skipped"):
        notes.add(Weight.NOTE, where, "it has had its run: brought over switched off")
    else:
        fix = "engine cron run, with the job's id, runs it now"
        notes.add(Weight.HELD, where, "its instant has passed without a run", fix)
    return {**job, "enabled": False}


def _kept(state: Mapping[str, Any]) -> dict[str, Any]:
    known = past.STATE_KEYS
    return {key: value for key, value in state.items() if key in known and value is not None}


# -- run logs ------------------------------------------------------------------------------------


def _logged(logs: Mapping[str, str], notes: Notes) -> dict[str, list[Mapping[str, Any]]]:
    runs: dict[str, list[Mapping[str, Any]]] = {}
    for name, text in logs.items():
        for _, entry in documents.lines(text, name, notes):
            if entry.get("action", "finished") == "finished" and isinstance(
                entry.get("jobId"), str
            ):
                runs.setdefault(entry["jobId"].strip(), []).append(entry)
    return runs


def _runs_of_rows(
    logged: Iterable[Mapping[str, Any]], finished: Iterable[Mapping[str, Any]], notes: Notes
) -> dict[str, list[Mapping[str, Any]]]:
    runs: dict[str, list[Mapping[str, Any]]] = {}
    lost = 0
    for row in logged:
        entry = _object(row.get("entry_json"))
        lost += entry is None
        if entry is not None:
            runs.setdefault(str(row.get("job_id")), []).append(entry)
    for row in finished:
        entry = _object(row.get("detail_json"))
        if entry is None or entry.get("kind") != "cron-run":
            continue  # a look that led to no run
        told = {
            "ts": row.get("ended_at") or row.get("last_event_at") or row.get("created_at"),
            "error": row.get("error"),
            "summary": row.get("terminal_summary"),
            "sessionKey": row.get("child_session_key"),
            **{key: value for key, value in entry.items() if key not in ("kind", "storeKey")},
        }
        runs.setdefault(str(row.get("source_id")), []).append(told)
    if lost:
        notes.add(Weight.LEFT_OUT, "cron_run_logs", f"{lost} rows hold no entry that can be read")
    return runs


def _object(text: Any) -> dict[str, Any] | None:
    if not isinstance(text, str):
        return None
    try:
        value = documents.parsed(text, "a row")
    except UnreadableSource:
        return None
    return value if isinstance(value, dict) else None
