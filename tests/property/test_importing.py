"""Whatever a source says, it is read or refused; and what is exported comes back as it was."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from hypothesis import HealthCheck, assume, given, settings, strategies as st

from jobs import codec
from jobs.edit import Rules, create
from jobs.errors import EngineError, InvalidSchedule, UnreadableSource
from jobs.exporting import config, crontab as to_crontab, document
from jobs.importing import crontab, nanobot, oncalendar, openclaw, own, past, systemd, units
from jobs.importing.report import Report, Weight
from jobs.model import HeartbeatBeat, Job, Source
from tests.property.test_codec import JOBS

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
RULES = Rules(now=NOW, past=True)
HOW = openclaw.Reading(now=NOW, channels={"telegram": "telegram"})

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["cron", "at", "every", "agentTurn", "systemEvent", "announce", "0 7 * * *"])
)
KEYS = st.sampled_from(
    [
        *("id", "jobId", "name", "enabled", "schedule", "payload", "delivery", "state", "kind"),
        *("expr", "tz", "at", "atMs", "everyMs", "anchorMs", "staggerMs", "message", "text"),
        *("argv", "mode", "channel", "to", "threadId", "sessionTarget", "sessionKey", "trigger"),
        *("runHistory", "runAtMs", "status", "lastRunStatus", "thinking", "deliver", "agentId"),
        *("failureAlert", "createdAtMs", "originChannel", "originChatId", "run_history", "x"),
    ]
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=6),
    max_leaves=20,
)
ROWS = st.lists(st.dictionaries(KEYS, JSON, max_size=8) | JSON, max_size=4)
LINES = st.lists(
    st.text(st.sampled_from("0123456789*/,-~%@#=\\\"' \tabcMTZWDF\x00é\ud800"), max_size=30)
    | st.sampled_from(["* * * * * x", "@daily y", "A=b", "CRON_TZ=UTC", "0 1 * * 1 root z"]),
    max_size=8,
)
EVENTS = st.text(st.sampled_from("0123456789*/,.-~: MonFriTZ@"), max_size=25)


def judged(report: Report) -> None:
    """Every entry is a job or is refused in words, and its past never stumbles."""
    for entry in report.entries:
        with suppress(EngineError, TypeError, ValueError, KeyError, AttributeError, OverflowError):
            create(entry.job, RULES)
        past.columns(entry.to_json().get("state", {}), RULES.now)
        for run in entry.runs:
            past.run_of(
                run, job_id="a", job_name="A", agent_id=None, source=report.kind, now=RULES.now
            )
    for remark in report.remarks:
        json.dumps(remark.to_json())


@given(LINES, st.booleans() | st.none())
def test_no_line_of_a_crontab_is_lost(lines: list[str], column: bool | None) -> None:
    how = crontab.Reading(zone="UTC", user_column=column, users=frozenset({"root"}))
    report = crontab.read("\n".join(lines), how)
    judged(report)
    said = [n for n, line in enumerate(lines, 1) if line.strip(" \t\r").rstrip("\r")]
    spoken = {n for n in said if not lines[n - 1].strip(" \t\r").startswith("#")}
    told = {entry.where for entry in report.entries}
    told |= {one.where for one in report.remarks if one.weight is Weight.LEFT_OUT}
    silent = {n for n in spoken if f"line {n}" not in told}
    assert all("=" in lines[n - 1] for n in silent)  # an assignment is no job


@given(ROWS)
def test_any_json_is_read_or_refused_as_openclaws(rows: list[Any]) -> None:
    report = openclaw.read({"version": 1, "jobs": rows}, HOW)
    judged(report)
    assert len(report.entries) <= len(rows)
    lost = {one.where for one in report.remarks if one.weight is Weight.LEFT_OUT}
    assert len(report.entries) + len(lost) >= len(rows)


@given(JSON, JSON)
def test_any_document_is_read_or_refused(store: Any, states: Any) -> None:
    with suppress(UnreadableSource):
        judged(openclaw.read(store, HOW, states=states, logs={"x": json.dumps(states)}))
    with suppress(UnreadableSource):
        judged(own.read({"format": "engine-cron", "version": 1, "jobs": store}))


@given(ROWS, st.text(max_size=40))
def test_any_json_is_read_or_refused_as_nanobots(rows: list[Any], actions: str) -> None:
    channels = {"telegram": "telegram"}
    judged(nanobot.read(rows, now=NOW, zone="UTC", channels=channels, actions=actions))


@given(EVENTS)
def test_any_text_is_a_calendar_event_or_refused(text: str) -> None:
    with suppress(InvalidSchedule):
        oncalendar.read(text)


@given(st.lists(LINES, min_size=1, max_size=2), LINES)
def test_any_text_is_a_unit_or_refused(timer: list[list[str]], service: list[str]) -> None:
    head = "[Timer]\nOnCalendar=daily\n"
    with suppress(UnreadableSource):
        texts = {
            "a.timer": [head + "\n".join(lines) for lines in timer],
            "a.service": [
                "[Service]\nExecStart=/x\n" + "\n".join(f"ExecStart={s}" for s in service)
            ],
        }
        judged(systemd.read(texts, zone="UTC"))
    with suppress(ValueError):
        units.words(" ".join(service))


# Most definitions somebody rolls contradict themselves; enough do not.
@settings(suppress_health_check=[HealthCheck.filter_too_much])
@given(JOBS)
def test_what_is_exported_comes_back_as_it_was(job: Job) -> None:
    kept = _possible(job)
    (entry,) = own.read(document.document([codec.job_to_json(kept)])).entries
    again = create(entry.job, RULES, source=kept.source)
    again = replace(again, created_at=kept.created_at, updated_at=kept.updated_at)
    assert again == kept
    json.dumps(config.entries([codec.job_to_json(kept)]))
    assert to_crontab.crontab([codec.job_to_json(kept)]).text.endswith("\n")


def _possible(job: Job) -> Job:
    """The job as somebody could have made it."""
    assume(not isinstance(job.payload, HeartbeatBeat))
    try:
        made = create(codec.job_to_json(replace(job, extra={})), RULES)
    except EngineError:
        assume(False)
        raise
    source = job.source if job.source in (Source.RUNTIME, Source.IMPORT) else Source.RUNTIME
    return replace(made, source=source, created_at=job.created_at, updated_at=job.updated_at)
